package vmwarevsphere

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// seen is what a vCenter tells of a virtual machine.
type seen struct {
	token      string
	power      types.VirtualMachinePowerState
	connection types.VirtualMachineConnectionState
	tools      string // running status
	installed  string // version status
	address    string // the one that VMware Tools take for the main one
	nics       []types.GuestNicInfo
}

// look asks for several virtual machines at once.
func (c *center) look(ctx context.Context, vms []string) (map[string]seen, error) {
	ctx, cancel := wait.Within(ctx, callLimit, "ask "+c.url.Host+" for its virtual machines")
	defer cancel()
	for {
		spec := types.PropertyFilterSpec{PropSet: []types.PropertySpec{{Type: machineType, PathSet: []string{
			"config.instanceUuid", "runtime.powerState", "runtime.connectionState",
			"guest.toolsRunningStatus", "guest.toolsVersionStatus2", "guest.ipAddress", "guest.net",
		}}}}
		for _, vm := range vms {
			spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: vmRef(vm)})
		}
		all, err := c.retrieve(ctx, spec)
		var missing *types.ManagedObjectNotFound
		if _, ok := fault.As(err, &missing); ok && slices.Contains(vms, missing.Obj.Value) {
			// One that is gone spoils the answer of all.
			vms = slices.DeleteFunc(slices.Clone(vms), func(vm string) bool { return vm == missing.Obj.Value })
			if len(vms) > 0 {
				continue
			}
			return nil, nil
		}
		if err != nil {
			return nil, c.explain(ctx, "ask "+c.url.Host+" for its virtual machines", err)
		}
		answers := make(map[string]seen, len(all))
		for ref, p := range all {
			answers[ref.Value] = seenOf(p)
		}
		return answers, nil
	}
}

func seenOf(p properties) seen {
	s := seen{
		token:      p.text("config.instanceUuid"),
		power:      types.VirtualMachinePowerState(p.text("runtime.powerState")),
		connection: types.VirtualMachineConnectionState(p.text("runtime.connectionState")),
		tools:      p.text("guest.toolsRunningStatus"),
		installed:  p.text("guest.toolsVersionStatus2"),
		address:    p.text("guest.ipAddress"),
	}
	if list, ok := p["guest.net"].(types.ArrayOfGuestNicInfo); ok {
		s.nics = list.GuestNicInfo
	}
	return s
}

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return drivers.Status{}, err
	}
	vm := st.VM
	var c *center
	var err error
	if vm != "" {
		if c, err = d.connect(ctx); err != nil {
			return drivers.Status{}, err
		}
		s, found, err := c.status.Get(ctx, vm)
		if err != nil {
			return drivers.Status{}, err
		}
		if found && s.token == st.Token {
			return d.status(s), nil
		}
	}
	c, ref, err := d.found(ctx) // it may have been registered anew
	if err != nil {
		return drivers.Status{}, err
	}
	s, found, err := c.status.Get(ctx, ref.Value)
	if err == nil && !found {
		err = fmt.Errorf("find virtual machine %s: %w", st.Name, drivers.ErrNotFound)
	}
	return d.status(s), err
}

// status says what was seen in the words of all drivers.
func (d *driver) status(s seen) drivers.Status {
	status := drivers.Status{State: stateOf(s), User: d.cfg.SSHUser, SSHPort: d.cfg.SSHPort}
	if status.State != drivers.Running {
		return status
	}
	client, peer := d.addresses(s)
	if client.IsValid() {
		status.Host = client.String()
	}
	if peer.IsValid() && peer != client {
		status.Peer = peer.String()
	}
	return status
}

func stateOf(s seen) drivers.State {
	switch s.connection {
	case types.VirtualMachineConnectionStateInvalid, types.VirtualMachineConnectionStateOrphaned, types.VirtualMachineConnectionStateInaccessible:
		return drivers.Error
	}
	switch s.power {
	case types.VirtualMachinePowerStatePoweredOn:
		return drivers.Running
	case types.VirtualMachinePowerStateSuspended:
		return drivers.Saved
	case types.VirtualMachinePowerStatePoweredOff:
		return drivers.Stopped
	}
	return drivers.None
}

// addresses returns where clients reach the machine, and where others do.
func (d *driver) addresses(s seen) (client, peer netip.Addr) {
	network := cmpName(d.cfg.ClientNetwork, first(d.cfg.Networks))
	client = s.addressOn(network, d.cfg.IPv6)
	if !client.IsValid() && d.cfg.ClientNetwork == "" && !s.perAdapter() {
		client = s.addressOn("", d.cfg.IPv6)
	}
	if fixed, err := netip.ParsePrefix(d.state.Value.Address); err == nil {
		client = fixed.Addr() // known without VMware Tools
	}
	if d.cfg.PeerNetwork != "" {
		peer = s.addressOn(d.cfg.PeerNetwork, d.cfg.IPv6)
		if fixed := d.cfg.fixedFor(d.cfg.PeerNetwork); fixed.IsValid() {
			peer = fixed.Addr()
		}
	}
	return client, peer
}

func cmpName(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// addressOn returns the guest's address on a network; an empty name is any. It
// leaves out adapters that the guest made itself, as the Engine's bridge.
func (s seen) addressOn(network string, v6 bool) netip.Addr {
	nics := slices.Clone(s.nics)
	nics = slices.DeleteFunc(nics, func(n types.GuestNicInfo) bool { return n.DeviceConfigId < 0 })
	slices.SortStableFunc(nics, func(a, b types.GuestNicInfo) int { return int(a.DeviceConfigId - b.DeviceConfigId) })
	if !s.perAdapter() && (network == "" || len(nics) < 2) {
		nics = nil // the main address is all there is
	}
	var onNetwork, all []netip.Addr
	for _, n := range nics {
		addrs := usable(n)
		all = append(all, addrs...)
		if network != "" && sameName(n.Network, network) {
			onNetwork = append(onNetwork, addrs...)
		}
	}
	if len(onNetwork) == 0 && network != "" && slices.ContainsFunc(nics, func(n types.GuestNicInfo) bool { return sameName(n.Network, network) }) {
		return netip.Addr{} // its adapter has none yet; that of another is not what was asked for
	}
	if network == "" || len(onNetwork) == 0 {
		onNetwork = all
	}
	if a := preferred(onNetwork, v6); a.IsValid() || len(nics) > 0 {
		return a
	}
	if a, err := netip.ParseAddr(s.address); err == nil && reachable(a) {
		return a
	}
	return netip.Addr{}
}

// perAdapter tells whether any adapter's address is told.
func (s seen) perAdapter() bool {
	return slices.ContainsFunc(s.nics, func(n types.GuestNicInfo) bool {
		return len(n.IpAddress) > 0 || n.IpConfig != nil && len(n.IpConfig.IpAddress) > 0
	})
}

// sameName tells whether a network's name is what a user called it, perhaps
// with a path before it.
func sameName(name, called string) bool {
	return name == called || len(called) > len(name) && called[len(called)-len(name)-1] == '/' && called[len(called)-len(name):] == name
}

// usable returns an adapter's addresses that others can reach.
func usable(n types.GuestNicInfo) []netip.Addr {
	var all []netip.Addr
	add := func(text string) {
		if a, err := netip.ParseAddr(text); err == nil && reachable(a) && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	if n.IpConfig != nil {
		for _, a := range n.IpConfig.IpAddress {
			switch types.NetIpConfigInfoIpAddressStatus(a.State) {
			case types.NetIpConfigInfoIpAddressStatusDuplicate, types.NetIpConfigInfoIpAddressStatusInvalid,
				types.NetIpConfigInfoIpAddressStatusTentative, types.NetIpConfigInfoIpAddressStatusInaccessible:
			default:
				add(a.IpAddress)
			}
		}
		return all
	}
	for _, text := range n.IpAddress {
		add(text)
	}
	return all
}

func reachable(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified()
}

func preferred(addrs []netip.Addr, v6 bool) netip.Addr {
	for _, a := range addrs {
		if a.Is6() == v6 {
			return a
		}
	}
	if len(addrs) > 0 {
		return addrs[0]
	}
	return netip.Addr{}
}

// silence says why a running machine has no address; nil: it has one.
func (d *driver) silence(s seen) error {
	if s.power != types.VirtualMachinePowerStatePoweredOn {
		return errors.New("it does not run: it was powered off, or its guest shut itself down")
	}
	client, peer := d.addresses(s)
	if client.IsValid() && (d.cfg.PeerNetwork == "" || peer.IsValid()) {
		return nil
	}
	if s.installed == string(types.VirtualMachineToolsVersionStatusGuestToolsNotInstalled) && s.tools != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		return errors.New("VMware Tools are not installed in the guest")
	}
	if s.tools != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		return errors.New("VMware Tools do not run in the guest yet, or are not installed")
	}
	network := cmpName(d.cfg.ClientNetwork, first(d.cfg.Networks))
	if client.IsValid() {
		network = d.cfg.PeerNetwork
	}
	return errors.New("VMware Tools run, but the guest has no address" + adaptersText(s, network))
}

// adaptersText says what each adapter has.
func adaptersText(s seen, network string) string {
	text := ""
	if network != "" {
		text = " on " + network
	}
	for _, n := range s.nics {
		if n.DeviceConfigId < 0 {
			continue
		}
		state := "connected"
		if !n.Connected {
			state = "not connected"
		}
		text += fmt.Sprintf("; adapter %s on %q is %s and has %d addresses", n.MacAddress, n.Network, state, len(n.IpAddress))
	}
	if len(s.nics) == 0 {
		text += "; no adapter is told of"
	}
	return text
}
