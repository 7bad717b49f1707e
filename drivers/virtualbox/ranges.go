package virtualbox

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// allowed returns the ranges in which VirtualBox lets host-only networks be, and
// whether it minds at all: since 6.1.28, not on Windows. They are 192.168.56.0/21
// unless a file says otherwise.
func allowed(os string, v version, read func() ([]byte, error)) (ranges []netip.Prefix, minds bool, err error) {
	if os == "windows" || !v.atLeast(6, 1, 28) {
		return nil, false, nil
	}
	text, err := read()
	if errors.Is(err, fs.ErrNotExist) {
		return []netip.Prefix{netip.MustParsePrefix("192.168.56.0/21")}, true, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("read what VirtualBox allows: %w", err)
	}
	return parseNetworks(string(text)), true, nil
}

// parseNetworks reads networks.conf: lines of "* RANGE [RANGE...]". What it cannot
// read it leaves out, as VirtualBox does.
func parseNetworks(text string) []netip.Prefix {
	var all []netip.Prefix
	for _, line := range splitLines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "*" {
			continue
		}
		for _, f := range fields[1:] {
			if p, err := netip.ParsePrefix(f); err == nil {
				all = append(all, p.Masked())
			}
		}
	}
	return all
}

// checkRange refuses a range that VirtualBox would refuse.
func (d *driver) checkRange(cidr netip.Prefix, v version) error {
	ranges, minds, err := allowed(d.world.os, v, func() ([]byte, error) { return os.ReadFile(d.world.networks) })
	if err != nil || !minds {
		return err
	}
	if slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= cidr.Bits() && r.Contains(cidr.Addr()) }) {
		return nil
	}
	var words []string
	for _, r := range ranges {
		words = append(words, r.String())
	}
	may := strings.Join(words, ", ")
	if may == "" {
		may = "nothing"
	}
	return &drivers.HintError{
		Err: fmt.Errorf("%w --%s-hostonly-cidr: VirtualBox allows no host-only network in %s, but %s",
			drivers.ErrOption, Name, cidr.Masked(), may),
		Advice: fmt.Sprintf("leave the option out, or allow the range: echo '* %s' | sudo tee -a %s (a file that exists replaces VirtualBox's own 192.168.56.0/21)",
			cidr.Masked(), d.world.networks),
	}
}

// hostAddr is an address that this computer has.
type hostAddr struct {
	nic    string
	prefix netip.Prefix
}

// hostAddrs returns this computer's IPv4 addresses.
func hostAddrs() ([]hostAddr, error) {
	nics, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list this computer's interfaces: %w", err)
	}
	var all []hostAddr
	for _, nic := range nics {
		addrs, err := nic.Addrs()
		if err != nil {
			continue // it went away
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				all = append(all, hostAddr{nic.Name, p})
			}
		}
	}
	return all, nil
}

// checkOverlap refuses a range that another network of this computer has.
func (d *driver) checkOverlap(cidr netip.Prefix, adapters []record) error {
	addrs, err := d.world.addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ours := a.prefix.Addr() == cidr.Addr() || slices.ContainsFunc(adapters, func(r record) bool { return r["Name"] == a.nic })
		if ours || a.prefix.Bits() == 32 || !a.prefix.Overlaps(cidr.Masked()) {
			continue
		}
		return &drivers.HintError{
			Err: fmt.Errorf("%w --%s-hostonly-cidr: %s overlaps with %s of this computer's interface %s",
				drivers.ErrConflict, Name, cidr.Masked(), a.prefix.Masked(), a.nic),
			Advice: "choose another range within 192.168.56.0/21, such as --virtualbox-hostonly-cidr 192.168.59.1/24",
		}
	}
	return nil
}

// portFree tells whether 127.0.0.1:port can be listened at.
func portFree(port int) bool {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// pickPort returns a port of 127.0.0.1 that can be listened at.
func pickPort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
