package virtualbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// sweep removes the networks and DHCP servers that this store's machines made and
// no virtual machine uses, whoever's it is. The lock is held, so that no machine is
// on its way to one of them; one whose create was interrupted makes it again.
func (d *driver) sweep(ctx context.Context, t *tool) error {
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	used := func(name string) bool {
		for _, v := range all {
			if v.Lost || slices.Contains(v.Nets, name) { // of a lost one nobody knows
				return true
			}
		}
		return false
	}
	marks, err := d.marks(ctx, t)
	if err != nil {
		return err
	}
	for key := range marks {
		id, ok := strings.CutPrefix(key, d.markMachine(""))
		if _, exists := all[id]; !ok || exists {
			continue
		}
		if err := t.do(ctx, "setextradata", "global", key); err != nil {
			return err
		}
	}
	for key := range marks {
		internal, ok := strings.CutPrefix(key, d.markDHCP(""))
		if !ok || used(nameOf(internal)) {
			continue
		}
		if err := d.dropDHCP(ctx, t, internal); err != nil {
			return err
		}
	}
	if d.world.os == "darwin" {
		if err := d.sweepNets(ctx, t, used); err != nil {
			return err
		}
	}
	return d.sweepAdapters(ctx, t, marks, used)
}

// nameOf returns the network that an internal name stands for.
func nameOf(internal string) string {
	if name, ok := strings.CutPrefix(internal, "HostInterfaceNetworking-"); ok {
		return name
	}
	return strings.TrimPrefix(internal, "hostonly-")
}

func (d *driver) dropDHCP(ctx context.Context, t *tool, internal string) error {
	err := t.do(ctx, "dhcpserver", "remove", "--netname", internal)
	if err != nil && !strings.Contains(callText(err), "Failed to find DHCP server") {
		return fmt.Errorf("remove the DHCP server of %s: %w", nameOf(internal), err)
	}
	return t.do(ctx, "setextradata", "global", d.markDHCP(internal))
}

func (d *driver) sweepAdapters(ctx context.Context, t *tool, marks map[string]string, used func(string) bool) error {
	_, making := marks[d.markMaking()]
	ours := map[string]bool{}
	for key := range marks {
		if id, ok := strings.CutPrefix(key, d.markNetwork("")); ok {
			ours[id] = true
		}
	}
	if len(ours) == 0 && !making {
		return nil
	}
	adapters, err := t.list(ctx, "hostonlyifs", "Name")
	if err != nil {
		return err
	}
	if n, ok := d.halfMade(adapters, marks); ok {
		ours[n.ID] = true
	}
	for _, r := range adapters {
		if !ours[r["GUID"]] {
			continue
		}
		delete(ours, r["GUID"])
		if used(r["Name"]) {
			continue
		}
		err := t.do(ctx, "hostonlyif", "remove", r["Name"])
		if err != nil && !strings.Contains(callText(err), "could not be found") {
			return fmt.Errorf("remove host-only interface %s: %w", r["Name"], err)
		}
		if err := t.do(ctx, "setextradata", "global", d.markNetwork(r["GUID"])); err != nil {
			return err
		}
	}
	for id := range ours { // somebody removed it
		if err := t.do(ctx, "setextradata", "global", d.markNetwork(id)); err != nil {
			return err
		}
	}
	if !making {
		return nil
	}
	return t.do(ctx, "setextradata", "global", d.markMaking())
}

func (d *driver) sweepNets(ctx context.Context, t *tool, used func(string) bool) error {
	v, err := t.version(ctx)
	if err != nil || !d.usesNets(v) {
		return err
	}
	nets, err := t.list(ctx, "hostonlynets", "Name")
	if err != nil {
		return err
	}
	for _, r := range nets {
		if !strings.HasPrefix(r["Name"], d.netPrefix()) || used(r["Name"]) {
			continue
		}
		if err := t.do(ctx, "hostonlynet", "remove", "--name", r["Name"]); err != nil {
			return fmt.Errorf("remove host-only network %s: %w", r["Name"], err)
		}
	}
	return nil
}
