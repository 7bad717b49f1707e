package vspheresim

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// What VMware Tools do in machines.
const (
	ToolsRunning   = "running"
	ToolsNever     = "never"     // they are not installed
	ToolsNoAddress = "noaddress" // they run, and the guest gets no address
)

// SetTools says what VMware Tools do in machines that boot from now on.
func (c *Cloud) SetTools(how string) error {
	switch how {
	case ToolsRunning, ToolsNever, ToolsNoAddress:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tools = how
		return nil
	}
	return fmt.Errorf("tools %q: not %s, %s or %s", how, ToolsRunning, ToolsNever, ToolsNoAddress)
}

// Set sets one of the cloud's knobs: "tools", see SetTools, or "sessions" to
// "expired".
func (c *Cloud) Set(name, value string) error {
	switch {
	case name == "tools":
		return c.SetTools(value)
	case name == "sessions" && value == "expired":
		c.ExpireSessions()
		return nil
	}
	return fmt.Errorf("no knob %s=%s", name, value)
}

// guest is what runs in a machine. What is done to its host is done in order.
type guest struct {
	addr     netip.Addr
	boots    int           // a guest of an earlier boot says nothing any more
	launched bool          // touched in order only
	last     chan struct{} // closed when all that was asked for is done
}

// then does something to a machine's host after all that was asked for before.
func (c *Cloud) then(vm types.ManagedObjectReference, do func(ctx context.Context, g *guest) error) {
	c.mu.Lock()
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	g := c.guest(vm)
	before, done := g.last, make(chan struct{})
	g.last = done
	c.ops.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.ops.Done()
		defer close(done)
		<-before
		if err := do(c.ctx, g); err != nil && c.ctx.Err() == nil {
			log.Printf("vspheresim: %s: %v", vm.Value, err)
		}
	}()
}

// guest is called with c.mu held.
func (c *Cloud) guest(vm types.ManagedObjectReference) *guest {
	g := c.guests[vm]
	if g == nil {
		g = &guest{last: make(chan struct{})}
		close(g.last)
		c.guests[vm] = g
	}
	return g
}

// booting tells which boot of a machine this is, from 1.
func (c *Cloud) booting(vm types.ManagedObjectReference) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.guest(vm)
	g.boots++
	return g.boots
}

// boot makes a machine's host run. The machine is locked by the caller.
func (c *Cloud) boot(vm *simulator.VirtualMachine) {
	seed := seedOf(vm)
	n := c.booting(vm.Self)
	c.then(vm.Self, func(ctx context.Context, g *guest) error {
		var err error
		if g.launched {
			err = c.hosts.Start(ctx, vm.Self.Value)
		} else {
			err = c.launch(ctx, vm.Self, g, seed)
		}
		if err != nil {
			c.wentOff(vm, n)
			return fmt.Errorf("boot: %w", err)
		}
		c.speak(vm, g, n, seed.hostname)
		c.watch(vm, n)
		return nil
	})
}

func (c *Cloud) launch(ctx context.Context, vm types.ManagedObjectReference, g *guest, seed seed) error {
	c.mu.Lock()
	addr := c.address(seed.static)
	g.addr = addr
	c.mu.Unlock()
	if !addr.IsValid() {
		return errors.New("no address is left")
	}
	err := c.hosts.Launch(ctx, host.Spec{
		ID: vm.Value, Hostname: seed.hostname, Private: addr, User: "ubuntu", Keys: seed.keys, UserData: seed.userData,
	})
	g.launched = err == nil
	return err
}

// address returns the address asked for if it is of the network and nobody
// has it, or else the next one; none if there is none left. It is called with
// c.mu held.
func (c *Cloud) address(asked netip.Addr) netip.Addr {
	private, _ := c.hosts.Networks()
	taken := map[netip.Addr]bool{}
	for _, g := range c.guests {
		taken[g.addr] = true
	}
	if private.Contains(asked) && !taken[asked] {
		return asked
	}
	first := private.Masked().Addr()
	for range 16 {
		first = first.Next()
	}
	if !c.last.IsValid() {
		c.last = first.Prev()
	}
	for addr, tries := c.last.Next(), 0; tries < 1<<16; addr, tries = addr.Next(), tries+1 {
		if !private.Contains(addr.Next()) { // the last one is not given away
			addr = first
		}
		if !taken[addr] {
			c.last = addr
			return addr
		}
	}
	return netip.Addr{}
}

// wentOff powers a machine off whose host does not run any more, unless it was
// booted again meanwhile.
func (c *Cloud) wentOff(vm *simulator.VirtualMachine, boot int) {
	ctx := c.asked()
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn && c.boots(vm.Self) == boot {
			off(ctx, vm)
		}
	})
}

// boots tells how often a machine was booted.
func (c *Cloud) boots(vm types.ManagedObjectReference) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guest(vm).boots
}

// watch powers a machine off when its guest has shut itself down. It looks until
// the machine is booted again or gone.
func (c *Cloud) watch(vm *simulator.VirtualMachine, boot int) {
	ref := vm.Self
	timer := time.AfterFunc(look, func() {
		c.mu.Lock()
		g := c.guests[ref]
		current := g != nil && g.boots == boot && c.ctx.Err() == nil
		c.mu.Unlock()
		if !current {
			return
		}
		c.then(ref, func(ctx context.Context, g *guest) error {
			running, err := c.hosts.Running(ctx, ref.Value)
			switch {
			case err != nil:
				return fmt.Errorf("look at the host: %w", err)
			case running:
				c.watch(vm, boot)
			default:
				c.wentOff(vm, boot)
			}
			return nil
		})
	})
	context.AfterFunc(c.ctx, func() { timer.Stop() })
}

// look is how often it is looked whether a guest has shut itself down.
const look = time.Second

// off is called with the machine locked.
func off(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.powerState", Val: types.VirtualMachinePowerStatePoweredOff},
		{Name: "summary.runtime.powerState", Val: types.VirtualMachinePowerStatePoweredOff},
	})
	silence(ctx, vm)
}

// halt shuts a machine's host down, at once if hard; else the machine is
// powered off when that is done.
func (c *Cloud) halt(ref types.ManagedObjectReference, hard bool) {
	boot := c.boots(ref)
	c.then(ref, func(ctx context.Context, g *guest) error {
		if !g.launched {
			return nil
		}
		if err := c.hosts.Stop(ctx, ref.Value, hard); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		vm, ok := c.registry().Get(ref).(*simulator.VirtualMachine)
		if !hard && ok {
			c.wentOff(vm, boot)
		}
		return nil
	})
}

// restart reboots a machine's host. The machine is locked by the caller.
func (c *Cloud) restart(vm *simulator.VirtualMachine) {
	hostname := seedOf(vm).hostname
	n := c.booting(vm.Self)
	c.then(vm.Self, func(ctx context.Context, g *guest) error {
		if err := c.hosts.Restart(ctx, vm.Self.Value); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
		c.speak(vm, g, n, hostname)
		c.watch(vm, n)
		return nil
	})
}

// forget removes a machine's host.
func (c *Cloud) forget(vm types.ManagedObjectReference) {
	c.then(vm, func(ctx context.Context, g *guest) error {
		err := c.hosts.Remove(ctx, vm.Value)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.guests, vm)
		return err
	})
}

// silence makes the guest tell nothing. The machine is locked by the caller.
func silence(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	status := types.VirtualMachineToolsStatusToolsNotRunning
	running := string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.toolsStatus", Val: status},
		{Name: "guest.toolsRunningStatus", Val: running},
		{Name: "guest.guestState", Val: string(types.VirtualMachineGuestStateNotRunning)},
		{Name: "guest.ipAddress", Val: ""},
		{Name: "guest.hostName", Val: ""},
		{Name: "guest.net", Val: []types.GuestNicInfo(nil)},
		{Name: "summary.guest.toolsStatus", Val: status},
		{Name: "summary.guest.toolsRunningStatus", Val: running},
		{Name: "summary.guest.ipAddress", Val: ""},
		{Name: "summary.guest.hostName", Val: ""},
	})
}

// speak makes the guest tell what VMware Tools tell, unless it is another
// boot's by now.
func (c *Cloud) speak(vm *simulator.VirtualMachine, g *guest, boot int, hostname string) {
	c.mu.Lock()
	tools, current := c.tools, g.boots == boot
	c.mu.Unlock()
	if tools == ToolsNever || !current {
		return
	}
	addr := g.addr.String()
	if tools == ToolsNoAddress {
		addr = ""
	}
	ctx := c.asked()
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
			return
		}
		status := types.VirtualMachineToolsStatusToolsOk
		running := string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
		ctx.Update(vm, []types.PropertyChange{
			{Name: "guest.toolsStatus", Val: status},
			{Name: "guest.toolsRunningStatus", Val: running},
			{Name: "guest.guestState", Val: string(types.VirtualMachineGuestStateRunning)},
			{Name: "guest.hostName", Val: hostname},
			{Name: "guest.net", Val: c.cards(vm, addr)},
			{Name: "guest.ipAddress", Val: addr},
			{Name: "summary.guest.toolsStatus", Val: status},
			{Name: "summary.guest.toolsRunningStatus", Val: running},
			{Name: "summary.guest.hostName", Val: hostname},
			{Name: "summary.guest.ipAddress", Val: addr},
		})
	})
}

// cards tells what a guest says about its network cards; the first has the address.
func (c *Cloud) cards(vm *simulator.VirtualMachine, addr string) []types.GuestNicInfo {
	private, _ := c.hosts.Networks()
	var all []types.GuestNicInfo
	for _, d := range object.VirtualDeviceList(vm.Config.Hardware.Device).SelectByType((*types.VirtualEthernetCard)(nil)) {
		card := d.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
		info := types.GuestNicInfo{
			Network: c.network(card.Backing), MacAddress: card.MacAddress, Connected: true, DeviceConfigId: card.Key,
		}
		if len(all) == 0 && addr != "" {
			info.IpAddress = []string{addr}
			info.IpConfig = &types.NetIpConfigInfo{IpAddress: []types.NetIpConfigInfoIpAddress{{
				IpAddress: addr, PrefixLength: int32(private.Bits()), State: string(types.NetIpConfigInfoIpAddressStatusPreferred),
			}}}
		}
		all = append(all, info)
	}
	return all
}

// network returns the name of the network behind a card.
func (c *Cloud) network(backing types.BaseVirtualDeviceBackingInfo) string {
	switch b := backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		return b.DeviceName
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}
		if pg, ok := c.registry().Get(ref).(*simulator.DistributedVirtualPortgroup); ok {
			return pg.Name
		}
	}
	return ""
}
