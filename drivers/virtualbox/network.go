package virtualbox

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// network is a host-only network: an interface of this computer, or, on macOS
// since 7.0, a network of VirtualBox's own.
type network struct {
	Name string `json:"name"`
	ID   string `json:"id,omitempty"`  // GUID
	Net  bool   `json:"net,omitempty"` // a network without an interface

	lower, upper netip.Addr // what such a network's own DHCP server gives away
}

// internal returns the name that DHCP servers know the network by.
func (n network) internal() string {
	if n.Net {
		return "hostonly-" + n.Name
	}
	return "HostInterfaceNetworking-" + n.Name
}

// Keys of VirtualBox's global extra data. They say what machines of a store made
// and share: it is removed with the last machine that uses it.
func (d *driver) markMaking() string { return "machine/" + d.env.StoreID + "/making" }
func (d *driver) markNetwork(id string) string {
	return "machine/" + d.env.StoreID + "/network/" + id
}

// markMachine says whose a virtual machine is. Its description does too, which is gone
// with its settings.
func (d *driver) markMachine(uuid string) string {
	return "machine/" + d.env.StoreID + "/vm/" + uuid
}
func (d *driver) markDHCP(internal string) string {
	return "machine/" + d.env.StoreID + "/dhcp/" + internal
}

// usesNets tells whether host-only networks are without interfaces here.
func (d *driver) usesNets(v version) bool { return d.world.os == "darwin" && v.atLeast(7, 0, 0) }

// ensureNetwork returns the host-only network on which this computer has the
// address cidr: the one that is there, else a new one. The lock is held.
func (d *driver) ensureNetwork(ctx context.Context, t *tool, v version, cidr netip.Prefix) (network, error) {
	if d.usesNets(v) {
		return d.ensureNet(ctx, t, cidr)
	}
	adapters, err := t.list(ctx, "hostonlyifs", "Name")
	if err != nil {
		return network{}, err
	}
	marks, err := d.marks(ctx, t)
	if err != nil {
		return network{}, err
	}
	n, ready, err := d.findAdapter(ctx, t, adapters, marks, cidr)
	if err != nil || ready {
		return n, err
	}
	if n.Name == "" {
		if err := d.checkRange(cidr, v); err != nil {
			return network{}, err
		}
		if err := d.checkOverlap(cidr, adapters); err != nil {
			return network{}, err
		}
		if n, err = d.makeAdapter(ctx, t, adapters); err != nil {
			return network{}, err
		}
	}
	return n, d.configureAdapter(ctx, t, n, cidr)
}

// findAdapter returns the adapter for cidr and whether it has that address. One
// without was made by us, and then something came between.
func (d *driver) findAdapter(ctx context.Context, t *tool, adapters []record, marks map[string]string, cidr netip.Prefix) (n network, ready bool, err error) {
	var same []network
	for _, r := range adapters {
		p, ok := prefixOf(r["IPAddress"], r["NetworkMask"])
		if ok && p == cidr {
			same = append(same, network{Name: r["Name"], ID: r["GUID"]})
		}
	}
	if len(same) > 1 {
		d.env.Note(ctx, fmt.Sprintf("%d host-only interfaces have the address %s: %s is used. Remove the others with VBoxManage hostonlyif remove, or traffic may take the wrong one",
			len(same), cidr, same[0].Name))
	}
	if len(same) > 0 {
		return same[0], true, d.adopt(ctx, t, adapters, marks, same)
	}
	for _, r := range adapters { // ours that lost its address, as after a reboot
		if marks[d.markNetwork(r["GUID"])] == cidr.String() {
			return network{Name: r["Name"], ID: r["GUID"]}, false, nil
		}
	}
	if n, ok := d.halfMade(adapters, marks); ok {
		return n, false, nil
	}
	return network{}, false, clash(adapters, cidr)
}

// sameAdapter returns the adapter that has an address.
func sameAdapter(adapters []record, cidr netip.Prefix) (network, bool) {
	for _, r := range adapters {
		if p, ok := prefixOf(r["IPAddress"], r["NetworkMask"]); ok && p == cidr {
			return network{Name: r["Name"], ID: r["GUID"]}, true
		}
	}
	return network{}, false
}

// clash refuses a range that another adapter has an address of.
func clash(adapters []record, cidr netip.Prefix) error {
	for _, r := range adapters {
		if p, ok := prefixOf(r["IPAddress"], r["NetworkMask"]); ok && p.Overlaps(cidr) {
			return &drivers.HintError{
				Err:    fmt.Errorf("host-only interface %s has the address %s, in the range of %s: %w", r["Name"], p, cidr, drivers.ErrConflict),
				Advice: fmt.Sprintf("use it with --%s-hostonly-cidr %s, or choose another range, such as 192.168.59.1/24", Name, p),
			}
		}
	}
	return nil
}

// halfMade returns the adapter that a process of ours made and did not mark: its
// making was announced with those that were there before.
func (d *driver) halfMade(adapters []record, marks map[string]string) (network, bool) {
	before, making := marks[d.markMaking()]
	if !making {
		return network{}, false
	}
	for _, r := range adapters {
		if !slices.Contains(strings.Split(before, "|"), r["GUID"]) && marks[d.markNetwork(r["GUID"])] == "" {
			return network{Name: r["Name"], ID: r["GUID"]}, true
		}
	}
	return network{}, false
}

// adopt ends a making that was interrupted after the adapter had its address, which
// the first of its kind has by itself.
func (d *driver) adopt(ctx context.Context, t *tool, adapters []record, marks map[string]string, same []network) error {
	n, ok := d.halfMade(adapters, marks)
	if !ok {
		if _, making := marks[d.markMaking()]; making {
			return t.do(ctx, "setextradata", "global", d.markMaking())
		}
		return nil
	}
	if !slices.Contains(same, n) {
		return nil
	}
	cidr := ""
	for _, r := range adapters {
		if r["GUID"] == n.ID {
			if p, ok := prefixOf(r["IPAddress"], r["NetworkMask"]); ok {
				cidr = p.String()
			}
		}
	}
	return d.markMade(ctx, t, n, cidr)
}

var createdLine = regexp.MustCompile(`(?m)^Interface '(.+)' was successfully created`)

// makeAdapter makes a host-only interface.
func (d *driver) makeAdapter(ctx context.Context, t *tool, before []record) (network, error) {
	var ids []string
	for _, r := range before {
		ids = append(ids, r["GUID"])
	}
	if err := t.do(ctx, "setextradata", "global", d.markMaking(), cmp.Or(strings.Join(ids, "|"), "none")); err != nil {
		return network{}, err
	}
	out, err := t.run(ctx, "hostonlyif", "create")
	if err != nil {
		return network{}, fmt.Errorf("make a host-only interface: %w", err)
	}
	m := createdLine.FindStringSubmatch(strings.ReplaceAll(out, "\r\n", "\n"))
	if m == nil {
		return network{}, fmt.Errorf("make a host-only interface: VBoxManage said %q", firstLine(out))
	}
	now, err := t.list(ctx, "hostonlyifs", "Name")
	if err != nil {
		return network{}, err
	}
	for _, r := range now {
		if r["Name"] == m[1] {
			return network{Name: m[1], ID: r["GUID"]}, nil
		}
	}
	return network{}, fmt.Errorf("make a host-only interface: %s was made and is not there", m[1])
}

// configureAdapter marks a new adapter, gives it its address and looks whether it
// has it: VBoxManage takes much without doing it.
func (d *driver) configureAdapter(ctx context.Context, t *tool, n network, cidr netip.Prefix) error {
	if err := d.markMade(ctx, t, n, cidr.String()); err != nil {
		return err
	}
	if err := t.do(ctx, "hostonlyif", "ipconfig", n.Name, "--ip", cidr.Addr().String(), "--netmask", maskOf(cidr)); err != nil {
		return fmt.Errorf("give %s the address %s: %w", n.Name, cidr, err)
	}
	now, err := t.list(ctx, "hostonlyifs", "Name")
	if err != nil {
		return err
	}
	for _, r := range now {
		if r["Name"] != n.Name {
			continue
		}
		if p, ok := prefixOf(r["IPAddress"], r["NetworkMask"]); ok && p == cidr {
			return nil
		}
		return &drivers.HintError{
			Err:    fmt.Errorf("give %s the address %s: VirtualBox has left it at %s", n.Name, cidr, cmp.Or(r["IPAddress"], "none")),
			Advice: "look at the interface in VirtualBox's network manager",
		}
	}
	return fmt.Errorf("host-only interface %s: %w", n.Name, drivers.ErrNotFound)
}

// markMade notes that the network is this store's.
func (d *driver) markMade(ctx context.Context, t *tool, n network, cidr string) error {
	if err := t.do(ctx, "setextradata", "global", d.markNetwork(n.ID), cidr); err != nil {
		return err
	}
	return t.do(ctx, "setextradata", "global", d.markMaking())
}

// marks returns VirtualBox's global extra data.
func (d *driver) marks(ctx context.Context, t *tool) (map[string]string, error) {
	out, err := t.run(ctx, "getextradata", "global", "enumerate")
	if err != nil {
		return nil, fmt.Errorf("read VirtualBox's extra data: %w", err)
	}
	return parseExtraData(out), nil
}

// ensureNet is ensureNetwork for networks without interfaces. Their name says that
// they are ours.
func (d *driver) ensureNet(ctx context.Context, t *tool, cidr netip.Prefix) (network, error) {
	nets, err := t.list(ctx, "hostonlynets", "Name")
	if err != nil {
		return network{}, err
	}
	for _, r := range nets {
		if p, ok := prefixOf(r["LowerIP"], r["NetworkMask"]); ok && p.Masked() == cidr.Masked() {
			n := network{Name: r["Name"], ID: r["GUID"], Net: true, lower: p.Addr()}
			n.upper, _ = netip.ParseAddr(r["UpperIP"])
			if r["State"] == "Disabled" {
				return n, t.do(ctx, "hostonlynet", "modify", "--name", n.Name, "--enable")
			}
			return n, nil
		}
	}
	if err := d.checkRange(cidr, version{7, 0, 0}); err != nil {
		return network{}, err
	}
	if err := d.checkOverlap(cidr, nil); err != nil {
		return network{}, err
	}
	n := network{Name: d.netName(cidr), Net: true, lower: cidr.Addr()}
	n.upper, _ = pool(cidr)
	n.upper = n.upper.Prev()
	if err := t.do(ctx, "hostonlynet", "add", "--name", n.Name, "--netmask", maskOf(cidr),
		"--lower-ip", n.lower.String(), "--upper-ip", n.upper.String(), "--enable"); err != nil {
		return network{}, fmt.Errorf("make host-only network %s: %w", n.Name, err)
	}
	return n, nil
}

func (d *driver) netName(cidr netip.Prefix) string {
	return d.netPrefix() + strings.ReplaceAll(cidr.String(), "/", "-")
}

func (d *driver) netPrefix() string { return "machine-" + d.env.StoreID + "-" }
