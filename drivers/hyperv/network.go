package hyperv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// defaultSwitch is the id that Windows gives to its Default Switch on every computer.
const defaultSwitch = "c08cb7b8-9b3c-408e-8e30-5e16a3aeb444"

// natName is the name of a store's switch for a subnet, and of the translation that
// belongs to it, which can carry no other mark.
func (d *driver) natName(subnet string) string {
	return d.natPrefix() + strings.ReplaceAll(subnet, "/", "-")
}

func (d *driver) natPrefix() string {
	store := d.env.StoreID
	if len(store) > 12 {
		store = store[:12]
	}
	return "machine-nat-" + store + "-"
}

// ensureSwitch finds the switch for the machine, or makes it if it is one with address
// translation.
func (d *driver) ensureSwitch(ctx context.Context, t *tool) (vswitch, error) {
	n, err := t.networks(ctx)
	if err != nil {
		return vswitch{}, err
	}
	if d.state.Value.Subnet == "" {
		return d.chooseSwitch(n)
	}
	subnet, err := parseSubnet(d.state.Value.Subnet)
	if err != nil {
		return vswitch{}, err
	}
	s, there, err := d.natSwitch(n, subnet)
	if err != nil || there {
		return s, err
	}
	name := d.natName(subnet.String())
	s, err = t.makeNat(ctx, makeNatArgs{
		Name: name, Notes: localvm.Marks(localvm.MarkStore, d.env.StoreID, localvm.MarkCreator, d.env.Creator),
		Gateway: gatewayOf(subnet).String(), Bits: subnet.Bits(), Subnet: subnet.String(),
	})
	if err != nil {
		return s, d.explainNat(subnet, err)
	}
	return s, nil
}

func (d *driver) explainNat(subnet netip.Prefix, err error) error {
	err = fmt.Errorf("make a network with address translation for %s: %w", subnet, err)
	if errors.Is(err, drivers.ErrPermission) {
		return &drivers.HintError{Err: err, Advice: "networks are for administrators to make: do it once as one, after that the group Hyper-V Administrators suffices"}
	}
	return &drivers.HintError{
		Err: err,
		Advice: "another network may have this range, or a part of it, or Windows may translate for another network and allow no second: see Get-NetNat and Get-NetIPAddress, " +
			"and give another range with --hyperv-nat, or the switch that is there with --hyperv-virtual-switch",
	}
}

// natSwitch finds a switch on which this computer is the gateway of the subnet, and
// translates its addresses, as far as that can be seen. Whose it is does not matter.
func (d *driver) natSwitch(n networks, subnet netip.Prefix) (vswitch, bool, error) {
	gateway := netip.PrefixFrom(gatewayOf(subnet), subnet.Bits())
	translated := !n.NatsKnown || slices.ContainsFunc(n.Nats, func(r nat) bool { return r.Subnet == subnet.String() })
	for _, s := range n.Switches {
		for _, text := range s.Addresses {
			p, err := netip.ParsePrefix(text)
			switch {
			case err != nil || !p.Overlaps(subnet):
			case p == gateway && translated:
				return s, true, nil
			case s.Name == d.natName(subnet.String()): // half made
			default:
				return s, false, &drivers.HintError{
					Err:    fmt.Errorf("switch %q has the address %s, which is in the way of %s: %w", s.Name, p, subnet, drivers.ErrConflict),
					Advice: "give another range with --hyperv-nat, or use the switch with --hyperv-virtual-switch",
				}
			}
		}
	}
	for _, o := range n.Others {
		if p, err := netip.ParsePrefix(o.Address); err == nil && p.Overlaps(subnet) && !p.Addr().IsLoopback() {
			return vswitch{}, false, &drivers.HintError{
				Err:    fmt.Errorf("this computer has the address %s on %q, which is in the way of %s: %w", p, o.Name, subnet, drivers.ErrConflict),
				Advice: "give another range with --hyperv-nat",
			}
		}
	}
	for _, r := range n.Nats {
		p, err := netip.ParsePrefix(r.Subnet)
		if err == nil && p.Overlaps(subnet) && r.Name != d.natName(subnet.String()) {
			return vswitch{}, false, &drivers.HintError{
				Err:    fmt.Errorf("Windows translates addresses of %s for %q, which is in the way of %s: %w", p, r.Name, subnet, drivers.ErrConflict),
				Advice: "give another range with --hyperv-nat, or remove that one: Remove-NetNat as an administrator",
			}
		}
	}
	return vswitch{}, false, nil
}

// chooseSwitch returns the named switch, else the Default Switch; never another one.
func (d *driver) chooseSwitch(n networks) (vswitch, error) {
	var names []string
	for _, s := range n.Switches {
		switch {
		case d.cfg.Switch == "" && strings.EqualFold(s.ID, defaultSwitch), d.cfg.Switch != "" && s.Name == d.cfg.Switch:
			return s, d.checkSwitch(s)
		}
		names = append(names, fmt.Sprintf("%q (%s)", s.Name, s.Type))
	}
	for _, s := range n.Switches {
		if d.cfg.Switch != "" && strings.EqualFold(s.Name, d.cfg.Switch) {
			return s, d.checkSwitch(s)
		}
	}
	slices.Sort(names)
	have := "Hyper-V has " + strings.Join(names, ", ")
	if len(names) == 0 {
		have = "Hyper-V has none"
	}
	if d.cfg.Switch == "" {
		return vswitch{}, &drivers.HintError{
			Err:    fmt.Errorf("find the Default Switch: %w; %s", drivers.ErrNotFound, have),
			Advice: "Windows Server has no Default Switch: name a switch with --hyperv-virtual-switch, or have one made with --hyperv-nat 192.168.144.0/24",
		}
	}
	return vswitch{}, &drivers.OptionError{
		Option: Name + "-virtual-switch", Err: fmt.Errorf("there is no switch %q; %s", d.cfg.Switch, have), Advice: d.nearestSwitch(n),
	}
}

// checkSwitch refuses a switch on which a machine could not be reached.
func (d *driver) checkSwitch(s vswitch) error {
	if s.Type != "Private" {
		return nil
	}
	return &drivers.OptionError{
		Option: Name + "-virtual-switch", Err: fmt.Errorf("%q is a Private switch: this computer cannot reach machines on it", s.Name),
		Advice: "take an Internal or External switch, or none for the Default Switch",
	}
}

func (d *driver) nearestSwitch(n networks) string {
	var all []string
	for _, s := range n.Switches {
		all = append(all, s.Name)
	}
	if near := drivers.Nearest(d.cfg.Switch, all); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "leave it out for the Default Switch, or have one made with --hyperv-nat 192.168.144.0/24"
}

// chooseAddress chooses a static address on a network with address translation. Taken
// are those of all stores' machines.
func (d *driver) chooseAddress(all map[string]vm, folder string) error {
	st := &d.state.Value
	if st.Subnet == "" {
		return nil
	}
	subnet, err := parseSubnet(st.Subnet)
	if err != nil {
		return err
	}
	own, _ := d.ours(all, folder)
	taken := map[netip.Addr]string{gatewayOf(subnet): "this computer"}
	for _, v := range all {
		if a, err := netip.ParseAddr(localvm.ParseMarks(v.Notes)[localvm.MarkIP]); err == nil && v.ID != own.ID {
			taken[a] = "virtual machine " + v.Name
		}
	}
	want := st.Address
	if want == "" {
		want = d.cfg.IP
	}
	if a, err := netip.ParseAddr(want); err == nil {
		if who, ok := taken[a]; !ok {
			st.Address = a.String()
			return nil
		} else if d.cfg.IP != "" {
			return fmt.Errorf("%w --%s-ip: %s has the address %s", drivers.ErrConflict, Name, who, a)
		}
	}
	a, ok := firstFree(subnet, taken)
	if !ok {
		return &drivers.HintError{
			Err:    fmt.Errorf("no address is free in %s: %w", subnet, drivers.ErrQuota),
			Advice: "give another range with --hyperv-nat",
		}
	}
	st.Address = a.String()
	return nil
}

// firstFree looks for an address from the 20th on, as the first ones are those that
// people give by hand, and then among these.
func firstFree(subnet netip.Prefix, taken map[netip.Addr]string) (netip.Addr, bool) {
	const skip, most = 20, 1 << 12
	free := func(a netip.Addr) bool { return subnet.Contains(a) && a != localvm.LastOf(subnet) && taken[a] == "" }
	var early []netip.Addr
	a := subnet.Masked().Addr().Next()
	for i := 1; i < most && subnet.Contains(a); i, a = i+1, a.Next() {
		switch {
		case i < skip:
			early = append(early, a)
		case free(a):
			return a, true
		}
	}
	for _, a := range early {
		if free(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// nameServers returns those that this computer asks, as far as a guest can reach them.
func (d *driver) nameServers(ctx context.Context, t *tool, subnet netip.Prefix) ([]netip.Addr, error) {
	texts, err := t.nameServers(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask which name servers this computer uses: %w", err)
	}
	var servers []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err == nil && a.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !subnet.Contains(a) && len(servers) < 3 {
			servers = append(servers, a)
		}
	}
	if len(servers) == 0 {
		servers = []netip.Addr{netip.AddrFrom4([4]byte{1, 1, 1, 1}), netip.AddrFrom4([4]byte{8, 8, 8, 8})}
		d.env.Note(ctx, "this computer has no name server that a machine could ask: it asks 1.1.1.1 and 8.8.8.8")
	}
	return servers, nil
}
