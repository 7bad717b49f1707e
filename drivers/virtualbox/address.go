package virtualbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// pool returns the addresses that a DHCP server of ours gives away: as
// docker-machine's, the upper part of the last 256.
func pool(cidr netip.Prefix) (lower, upper netip.Addr) {
	upper = localvm.LastOf(cidr).Prev()
	size := 155
	if cidr.Bits() > 24 {
		size = 1 << (31 - cidr.Bits()) // the upper half
	}
	lower = upper
	for range size - 1 {
		if lower.Prev() == cidr.Addr() || lower.Prev() == cidr.Masked().Addr() {
			break
		}
		lower = lower.Prev()
	}
	return lower, upper
}

// ensureDHCP makes a DHCP server on the network unless there is one.
func (d *driver) ensureDHCP(ctx context.Context, t *tool, n network, cidr netip.Prefix) error {
	servers, err := t.list(ctx, "dhcpservers", "NetworkName")
	if err != nil {
		return err
	}
	for _, r := range servers {
		if r["NetworkName"] != n.internal() {
			continue
		}
		if p, ok := prefixOf(r["LowerIPAddress"], r["NetworkMask"]); !ok || p.Masked() != cidr.Masked() {
			if err := d.replaceDHCP(ctx, t, n, cidr, r["LowerIPAddress"]); err != nil {
				return err
			}
			break
		}
		if r["Enabled"] == "No" {
			return t.do(ctx, "dhcpserver", "modify", "--netname", n.internal(), "--enable")
		}
		return nil
	}
	lower, upper := pool(cidr)
	server := lower
	lower = lower.Next()
	if err := t.do(ctx, "setextradata", "global", d.markDHCP(n.internal()), cidr.String()); err != nil {
		return err
	}
	err = t.do(ctx, "dhcpserver", "add", "--netname", n.internal(), "--ip", server.String(), "--netmask", maskOf(cidr),
		"--lowerip", lower.String(), "--upperip", upper.String(), "--enable")
	if err != nil {
		return fmt.Errorf("make a DHCP server on %s: %w", n.Name, err)
	}
	return nil
}

// replaceDHCP removes a DHCP server that gives addresses of another range, if it was
// left behind: the network is one that we made. VirtualBox begins with one for the
// first interface, and old programs leave more.
func (d *driver) replaceDHCP(ctx context.Context, t *tool, n network, cidr netip.Prefix, lower string) error {
	marks, err := d.marks(ctx, t)
	if err != nil {
		return err
	}
	if _, ours := marks[d.markNetwork(n.ID)]; !ours {
		return &drivers.HintError{
			Err: fmt.Errorf("DHCP server of %s gives addresses from %s, which is not in %s: %w", n.Name,
				cmp.Or(lower, "nowhere"), cidr.Masked(), drivers.ErrConflict),
			Advice: "remove it with VBoxManage dhcpserver remove --netname " + n.internal() + ", and one that fits is made",
		}
	}
	d.env.Note(ctx, fmt.Sprintf("a DHCP server for %s was left from before, with addresses from %s: it is replaced", n.Name, cmp.Or(lower, "nowhere")))
	return d.dropDHCP(ctx, t, n.internal())
}

// chooseAddress returns a free address for a machine. Taken are those of other
// machines, and what DHCP servers of the network may give away.
func (d *driver) chooseAddress(ctx context.Context, t *tool, n network, cidr netip.Prefix, all map[string]vm) (netip.Addr, error) {
	taken := map[netip.Addr]string{cidr.Addr(): "this computer"}
	for _, v := range all {
		if a, err := netip.ParseAddr(v.Marks[localvm.MarkIP]); err == nil && v.UUID != d.state.Value.UUID {
			taken[a] = "virtual machine " + v.Name
		}
	}
	if a, err := netip.ParseAddr(d.cfg.IP); err == nil {
		if who, ok := taken[a]; ok {
			return netip.Addr{}, fmt.Errorf("%w --%s-ip: %s has the address %s", drivers.ErrConflict, Name, who, a)
		}
		return a, nil
	}
	servers, err := t.list(ctx, "dhcpservers", "NetworkName")
	if err != nil {
		return netip.Addr{}, err
	}
	within := func(lower, upper netip.Addr) func(netip.Addr) bool {
		return func(a netip.Addr) bool { return lower.Compare(a) <= 0 && a.Compare(upper) <= 0 }
	}
	given := within(n.lower, n.upper)
	for _, r := range servers {
		lower, lerr := netip.ParseAddr(r["LowerIPAddress"])
		upper, uerr := netip.ParseAddr(r["UpperIPAddress"])
		if r["NetworkName"] == n.internal() && errors.Join(lerr, uerr) == nil {
			given = within(lower, upper)
			if server, err := netip.ParseAddr(r["Dhcpd IP"]); err == nil {
				taken[server] = "the DHCP server"
			}
		}
	}
	if a, ok := firstFree(cidr, func(a netip.Addr) bool { return taken[a] != "" || given(a) }); ok {
		return a, nil
	}
	return netip.Addr{}, &drivers.HintError{
		Err:    fmt.Errorf("no address is free on %s in %s: %w", n.Name, cidr.Masked(), drivers.ErrQuota),
		Advice: "name one with --virtualbox-ip, or another network with --virtualbox-hostonly-cidr",
	}
}

// firstFree looks for an address from the 30th on, as the first ones are the ones
// that people give to virtual machines by hand, and then among those.
func firstFree(cidr netip.Prefix, taken func(netip.Addr) bool) (netip.Addr, bool) {
	const skip, most = 29, 1 << 12
	from := cidr.Masked().Addr().Next()
	a := from
	for range skip {
		a = a.Next()
	}
	for i, start := 0, a; i < most && cidr.Contains(start) && start != localvm.LastOf(cidr); i, start = i+1, start.Next() {
		if !taken(start) {
			return start, true
		}
	}
	for i, start := 0, from; i < skip && cidr.Contains(start) && start != localvm.LastOf(cidr); i, start = i+1, start.Next() {
		if !taken(start) {
			return start, true
		}
	}
	return netip.Addr{}, false
}
