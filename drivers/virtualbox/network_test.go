package virtualbox

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	b.manage("hostonlyif", "create") // vboxnet0 has 192.168.56.1/24, and is the user's
	b.manage("dhcpserver", "add", "--interface", "vboxnet0", "--ip", "192.168.56.2", "--netmask", "255.255.255.0", "--lowerip", "192.168.56.30", "--upperip", "192.168.56.60", "--enable")
	first, second := b.machine("m1", b.with()), b.machine("m2", b.with())
	first.Create()
	second.Create()
	if a, z := first.Status().Host, second.Status().Host; a != "192.168.56.61" || z != "192.168.56.62" {
		t.Errorf("got %s and %s: the DHCP server gives away up to .60", a, z)
	}
	taken := b.machine("m3", b.with("ip", "192.168.56.62"))
	vmtest.Refused(t, taken.Open().Check(t.Context()), drivers.ErrConflict, "virtual machine m2 has the address 192.168.56.62", "")
	first.Remove()
	second.Remove()
	if b.count(vboxsim.KindAdapter) != 1 || b.count(vboxsim.KindDHCP) != 1 {
		t.Errorf("what the user made is gone: %v", b.ledger())
	}
}

func TestFirstFree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cidr  string
		taken []string
		want  string
	}{
		{"192.168.56.1/24", nil, "192.168.56.30"},
		{"192.168.56.1/24", []string{"192.168.56.30", "192.168.56.31"}, "192.168.56.32"},
		{"192.168.56.1/29", []string{"192.168.56.1"}, "192.168.56.2"},
		{"192.168.56.1/29", []string{"192.168.56.1", "192.168.56.2", "192.168.56.3", "192.168.56.4", "192.168.56.5", "192.168.56.6"}, ""},
	} {
		got := ""
		if a, ok := firstFree(netip.MustParsePrefix(c.cidr), func(a netip.Addr) bool { return slices.Contains(c.taken, a.String()) }); ok {
			got = a.String()
		}
		if got != c.want {
			t.Errorf("%s without %v: got %q, want %q", c.cidr, c.taken, got, c.want)
		}
	}
}

func TestDHCP(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with("ip", "dhcp"))
	m.Create()
	if got := m.Status().Host; got != "192.168.56.101" {
		t.Errorf("address %s", got)
	}
	if b.count(vboxsim.KindDHCP) != 1 {
		t.Errorf("%v", b.ledger())
	}
	other := b.machine("m2", b.with("ip", "dhcp"))
	other.Create()
	m.Remove()
	if b.count(vboxsim.KindDHCP) != 1 || b.count(vboxsim.KindAdapter) != 1 {
		t.Errorf("what another machine uses is gone: %v", b.ledger())
	}
	other.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if extra, err := b.Extra(t.Context()); err != nil || len(extra) > 0 {
		t.Errorf("marks %v, %v", extra, err)
	}
}

// TestDHCPOfNewHome begins where VirtualBox does: with a DHCP server for an interface
// that does not exist yet.
func TestDHCPOfNewHome(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{Fresh: true})
	m := b.machine("m1", b.with("ip", "dhcp"))
	m.Create()
	if got := m.Status().Host; got != "192.168.56.101" {
		t.Errorf("address %s", got)
	}
	m.Remove()
	if b.count(vboxsim.KindDHCP) != 1 {
		t.Error("a DHCP server that was there before is gone")
	}
	m = b.machine("m2", b.with("ip", "dhcp", "hostonly-cidr", "192.168.60.1/24"))
	m.Create()
	if got := m.Status().Host; got != "192.168.60.101" || !m.Noted("was left from before") {
		t.Errorf("address %s, notes %q", got, m.Notes)
	}
	m.Remove()
	b.manage("hostonlyif", "create") // the user's own
	b.manage("dhcpserver", "add", "--interface", "vboxnet0", "--ip", "192.168.61.100", "--netmask", "255.255.255.0", "--lowerip", "192.168.61.101", "--upperip", "192.168.61.254", "--enable")
	m = b.machine("m3", b.with("ip", "dhcp"))
	vmtest.Refused(t, m.Open().Create(t.Context(), vmtest.Request()), drivers.ErrConflict, "gives addresses from 192.168.61.101", "dhcpserver remove")
	m.Remove()
	if b.count(vboxsim.KindDHCP) != 1 || b.count(vboxsim.KindAdapter) != 1 {
		t.Errorf("%v", b.ledger())
	}
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with("access", "forwarded"))
	m.Create()
	s := m.Status()
	if s.Host != "127.0.0.1" || s.SSHPort == 0 || s.EnginePort == 0 || s.SSHPort == s.EnginePort || s.Peer != "192.168.56.30" {
		t.Errorf("%+v", s)
	}
	if err := m.Open().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Factory = factory(func() world { // something listens at the port now
		w := b.world
		w.free = func(port int) bool { return port != s.SSHPort }
		return w
	}())
	if err := m.Open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := m.Status()
	if now.SSHPort == s.SSHPort || now.EnginePort != s.EnginePort {
		t.Errorf("was %+v, is %+v", s, now)
	}
	info := parseInfo(b.manage("showvminfo", saved(m).UUID, "--machinereadable"))
	if !hasValue(info, "Forwarding(", fmt.Sprintf("ssh,tcp,127.0.0.1,%d,,22", now.SSHPort)) || !hasValue(info, "Forwarding(", fmt.Sprintf("engine,tcp,127.0.0.1,%d,,2376", now.EnginePort)) {
		t.Errorf("%v", info)
	}
	other := b.machine("m2", b.with("access", "forwarded"))
	other.Create()
	if o := other.Status(); o.SSHPort == now.SSHPort || o.EnginePort == now.EnginePort {
		t.Errorf("two machines share a port: %+v, %+v", now, o)
	}
}

// TestForwardedAfterSave has a saved machine come back while another program listens at
// its port: its settings cannot be changed before it runs.
func TestForwardedAfterSave(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with("access", "forwarded"))
	m.Create()
	before := m.Status()
	b.manage("controlvm", "m1", "savestate")
	w := b.world
	w.free = func(port int) bool { return port != before.SSHPort }
	var changes [][]string
	w.exec = func(ctx context.Context, path string, args, env []string) (answer, error) {
		if args[0] == "controlvm" && args[2] == "natpf1" {
			changes = append(changes, args[3:])
			return answer{}, nil
		}
		return b.world.exec(ctx, path, args, env)
	}
	m.Factory = factory(w)
	if err := m.Open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := m.Status()
	if now.SSHPort == before.SSHPort || now.EnginePort != before.EnginePort {
		t.Errorf("was %+v, is %+v", before, now)
	}
	want := [][]string{{"delete", "ssh"}, {fmt.Sprintf("ssh,tcp,127.0.0.1,%d,,22", now.SSHPort)}}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes are %q, want %q", changes, want)
	}
	b.manage("controlvm", "m1", "savestate")
	changes = nil
	if err := m.Open().Start(t.Context()); err != nil || m.Status() != now {
		t.Errorf("%v, %+v", err, m.Status())
	}
}

// TestReboot takes what this computer's restart takes: the interface, or its address.
func TestReboot(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*bench){
		"address": func(b *bench) {
			b.manage("hostonlyif", "ipconfig", "vboxnet0", "--ip", "192.168.57.1", "--netmask", "255.255.255.0")
		},
		"interface": func(b *bench) { b.manage("hostonlyif", "remove", "vboxnet0") },
		"name": func(b *bench) { // it comes again under another one
			b.manage("hostonlyif", "create")
			b.manage("hostonlyif", "remove", "vboxnet0")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, vboxsim.Config{})
			m := b.machine("m1", b.with())
			m.Create()
			b.manage("controlvm", "m1", "poweroff")
			lose(b)
			if err := m.Open().Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := m.Status(); s.Host != "192.168.56.30" {
				t.Errorf("%+v", s)
			}
			info := parseInfo(b.manage("showvminfo", "m1", "--machinereadable"))
			adapters := parseRecords(b.manage("list", "hostonlyifs"), "Name")
			if n, ok := sameAdapter(adapters, netip.MustParsePrefix("192.168.56.1/24")); !ok || info["hostonlyadapter2"] != n.Name {
				t.Errorf("on %s, adapters %v", info["hostonlyadapter2"], adapters)
			}
			m.Remove()
			for _, r := range b.ledger() {
				if name != "name" || r.Kind != vboxsim.KindAdapter {
					t.Errorf("left %v", r)
				}
			}
		})
	}
}

// TestDuplicates demands that one of two interfaces with one address is used, and
// none is made.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	for range 2 {
		b.manage("hostonlyif", "create")
	}
	b.manage("hostonlyif", "ipconfig", "vboxnet1", "--ip", "192.168.56.1", "--netmask", "255.255.255.0")
	m := b.machine("m1", b.with())
	m.Create()
	if b.count(vboxsim.KindAdapter) != 2 || !m.Noted("2 host-only interfaces have the address") {
		t.Errorf("%v, notes %q", b.ledger(), m.Notes)
	}
}

// TestStores demands that what two stores share stays until neither uses it.
func TestStores(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m, other := b.machine("m1", b.with()), b.machine("m2", b.with())
	other.Env.StoreID = "another"
	m.Create()
	other.Create()
	m.Remove()
	if b.count(vboxsim.KindAdapter) != 1 {
		t.Error("the interface that another store's machine uses is gone")
	}
	again := b.machine("m3", b.with())
	again.Create()
	other.Remove()
	again.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestMac demands networks without interfaces on macOS, and none of ours after.
func TestMac(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{Mac: true})
	b.world.os = "darwin"
	m := b.machine("m1", b.with())
	m.Create()
	if b.count(vboxsim.KindNet) != 1 || b.count(vboxsim.KindAdapter) != 0 {
		t.Errorf("%v", b.ledger())
	}
	if s := m.Status(); s.Host == "" {
		t.Errorf("%+v", s)
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	b.manage("hostonlynet", "add", "--name", "HostNetwork", "--netmask", "255.255.255.0", "--lower-ip", "192.168.56.1", "--upper-ip", "192.168.56.199", "--enable")
	m.Create()
	if s := m.Status(); s.Host != "192.168.56.200" {
		t.Errorf("address %s: up to .199 they are given away", s.Host)
	}
	m.Remove()
	if b.count(vboxsim.KindNet) != 1 {
		t.Error("the user's network is gone")
	}
}
