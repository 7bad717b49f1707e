package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

const sshPort = 22

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return drivers.Status{}, err
	}
	if st.UUID == "" && !st.Legacy {
		return drivers.Status{}, fmt.Errorf("virtual machine %s: %w", d.env.Machine, drivers.ErrNotFound)
	}
	t, err := d.tool()
	if err != nil {
		return drivers.Status{}, err
	}
	v, found, err := d.known(ctx, t)
	switch {
	case err != nil:
		return drivers.Status{}, err
	case !found:
		return drivers.Status{}, fmt.Errorf("virtual machine %s (%s): %w", st.Name, st.UUID, drivers.ErrNotFound)
	case v.Lost:
		return drivers.Status{}, lost(v)
	}
	s := drivers.Status{State: stateOf(v.State), User: st.User}
	if s.State != drivers.Running {
		return s, nil
	}
	address := st.Address
	if address == "" && st.DHCP && st.Network != nil {
		address = d.lease(ctx, t)
	}
	return d.reach(s, address), nil
}

// known returns what VirtualBox knows of the machine, by one question for all machines.
func (d *driver) known(ctx context.Context, t *tool) (v vm, found bool, err error) {
	keys := []string{d.state.Value.UUID}
	if keys[0] == "" {
		keys = d.settings()
	}
	for _, key := range keys {
		if v, found, err = d.homes.group(d.home(), t).Get(ctx, key); found || err != nil {
			break
		}
	}
	return v, found, err
}

// reach says how a machine with an address is reached.
func (d *driver) reach(s drivers.Status, address string) drivers.Status {
	st := &d.state.Value
	if st.Forwarded {
		s.Host, s.Peer, s.SSHPort, s.EnginePort = "127.0.0.1", address, st.SSHPort, st.EnginePort
		return s
	}
	s.Host, s.SSHPort = address, sshPort
	return s
}

// lease asks for the address that a DHCP server gave to the machine, then for the
// one that Guest Additions tell. Empty: neither is known yet.
func (d *driver) lease(ctx context.Context, t *tool) string {
	st := &d.state.Value
	if st.Network.Net { // macOS gives the addresses there
		if text, err := os.ReadFile(d.world.leases); err == nil {
			if address := parseLeases(string(text), st.MAC, st.Name, st.CIDR); address != "" {
				return address
			}
		}
		return d.told(ctx, t)
	}
	out, err := t.run(ctx, "dhcpserver", "findlease", "--network", st.Network.internal(), "--mac-address", localvm.Colons(st.MAC))
	if err == nil {
		for _, r := range parseRecords(out, "IP Address") {
			if a, err := netip.ParseAddr(r["IP Address"]); err == nil && r["State"] != "expired" && r["State"] != "released" {
				return a.String()
			}
		}
	}
	return d.told(ctx, t)
}

// told asks for the address that Guest Additions tell of adapter 2, which may have any
// place in the guest's list.
func (d *driver) told(ctx context.Context, t *tool) string {
	const most = 8
	property := func(n int, name string) string {
		out, err := t.run(ctx, "guestproperty", "get", d.state.Value.UUID, fmt.Sprintf("/VirtualBox/GuestInfo/Net/%d/%s", n, name))
		value, ok := strings.CutPrefix(strings.TrimSpace(out), "Value:")
		if err != nil || !ok {
			return ""
		}
		return strings.TrimSpace(value)
	}
	for n := range most {
		mac := property(n, "MAC")
		if mac == "" {
			return ""
		}
		if !strings.EqualFold(mac, d.state.Value.MAC) {
			continue
		}
		if a, err := netip.ParseAddr(property(n, "V4/IP")); err == nil {
			return a.String()
		}
	}
	return ""
}

var errLost = errors.New("cannot read the settings")

// lost says that a virtual machine's settings cannot be read.
func lost(v vm) error {
	advice := "look at it in VirtualBox; machine rm removes what is left of it"
	if _, err := os.Stat(v.Config); err != nil {
		advice = "its file is gone: bring it back, or remove the machine with machine rm"
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("VirtualBox %w %s of virtual machine %s", errLost, v.Config, v.UUID),
		Advice: advice,
	}
}

// Console implements drivers.ConsoleReader.
func (d *driver) Console(ctx context.Context) ([]byte, error) {
	const most = 64 << 10
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if st.UUID == "" || st.Legacy || st.Arch == "arm64" {
		return nil, fmt.Errorf("console of %s: %w", d.env.Machine, drivers.ErrUnsupported)
	}
	f, err := os.Open(plan{Folder: st.Folder}.console())
	if err != nil {
		return nil, fmt.Errorf("console of %s: %w", d.env.Machine, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("console of %s: %w", d.env.Machine, err)
	}
	size := min(info.Size(), most)
	text := make([]byte, size)
	if n, err := f.ReadAt(text, info.Size()-size); int64(n) < size {
		return nil, fmt.Errorf("console of %s: %w", d.env.Machine, err)
	}
	return text, nil
}
