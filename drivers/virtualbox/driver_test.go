package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

func imageWith(firmware []string) cloudimage.Image { return cloudimage.Image{Firmware: firmware} }

func hintOf(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	return ""
}

// refused demands an error of a kind, with words and advice.
func refused(t *testing.T, err, kind error, words, advice string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), words) || !strings.Contains(hintOf(err), advice) {
		t.Errorf("got %v (advice: %s), want %v with %q and advice with %q", err, hintOf(err), kind, words, advice)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	hosts := host.NewMemory()
	b := newBench(t, vboxsim.Config{Hosts: hosts})
	m := b.machine("m1", b.with())
	m.create()
	s := m.status()
	want := drivers.Status{State: drivers.Running, Host: "192.168.56.30", SSHPort: 22, User: "machine"}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	st := m.recorded()
	spec, ok := hosts.Spec(st.UUID)
	if !ok || spec.Private.String() != "192.168.56.30" || spec.Hostname != "m1" || !strings.Contains(string(spec.UserData), "ssh_keys") {
		t.Errorf("the guest got %+v", spec)
	}
	text, err := m.open().Console(t.Context())
	if err != nil || !strings.Contains(string(text), "Welcome to m1") {
		t.Errorf("console: %q, %v", text, err)
	}
	if err := m.open().Stop(t.Context()); err != nil || m.status().State != drivers.Stopped {
		t.Errorf("stop: %v", err)
	}
	if err := m.open().Start(t.Context()); err != nil || m.status() != want {
		t.Errorf("start: %v, %+v", err, m.status())
	}
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat(st.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the machine's folder is there: %v", err)
	}
}

// TestListOfFifty demands that the states of fifty machines are one call.
func TestListOfFifty(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	b.world.linger = local().linger
	m := b.machine("m1", b.with())
	m.create()
	before, err := b.Calls()
	if err != nil {
		t.Fatal(err)
	}
	f := factory(b.world)
	var g sync.WaitGroup
	for range 50 {
		g.Go(func() {
			d, err := f.Open(m.config, nil, m.state, nil, m.env)
			if err == nil {
				_, err = d.Status(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	after, err := b.Calls()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after) - len(before); n > 3 {
		t.Errorf("%d calls for 50 states, want 3 at most", n)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	b.manage("hostonlyif", "create") // vboxnet0 has 192.168.56.1/24, and is the user's
	b.manage("dhcpserver", "add", "--interface", "vboxnet0", "--ip", "192.168.56.2", "--netmask", "255.255.255.0", "--lowerip", "192.168.56.30", "--upperip", "192.168.56.60", "--enable")
	first, second := b.machine("m1", b.with()), b.machine("m2", b.with())
	first.create()
	second.create()
	if a, z := first.status().Host, second.status().Host; a != "192.168.56.61" || z != "192.168.56.62" {
		t.Errorf("got %s and %s: the DHCP server gives away up to .60", a, z)
	}
	taken := b.machine("m3", b.with("ip", "192.168.56.62"))
	refused(t, taken.open().Check(t.Context()), drivers.ErrConflict, "virtual machine m2 has the address 192.168.56.62", "")
	first.remove()
	second.remove()
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
	m.create()
	if got := m.status().Host; got != "192.168.56.101" {
		t.Errorf("address %s", got)
	}
	if b.count(vboxsim.KindDHCP) != 1 {
		t.Errorf("%v", b.ledger())
	}
	other := b.machine("m2", b.with("ip", "dhcp"))
	other.create()
	m.remove()
	if b.count(vboxsim.KindDHCP) != 1 || b.count(vboxsim.KindAdapter) != 1 {
		t.Errorf("what another machine uses is gone: %v", b.ledger())
	}
	other.remove()
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
	m.create()
	if got := m.status().Host; got != "192.168.56.101" {
		t.Errorf("address %s", got)
	}
	m.remove()
	if b.count(vboxsim.KindDHCP) != 1 {
		t.Error("a DHCP server that was there before is gone")
	}
	m = b.machine("m2", b.with("ip", "dhcp", "hostonly-cidr", "192.168.60.1/24"))
	m.create()
	if got := m.status().Host; got != "192.168.60.101" || !m.noted("was left from before") {
		t.Errorf("address %s, notes %q", got, m.notes)
	}
	m.remove()
	b.manage("hostonlyif", "create") // the user's own
	b.manage("dhcpserver", "add", "--interface", "vboxnet0", "--ip", "192.168.61.100", "--netmask", "255.255.255.0", "--lowerip", "192.168.61.101", "--upperip", "192.168.61.254", "--enable")
	m = b.machine("m3", b.with("ip", "dhcp"))
	refused(t, m.open().Create(t.Context(), request(t)), drivers.ErrConflict, "gives addresses from 192.168.61.101", "dhcpserver remove")
	m.remove()
	if b.count(vboxsim.KindDHCP) != 1 || b.count(vboxsim.KindAdapter) != 1 {
		t.Errorf("%v", b.ledger())
	}
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with("access", "forwarded"))
	m.create()
	s := m.status()
	if s.Host != "127.0.0.1" || s.SSHPort == 0 || s.EnginePort == 0 || s.SSHPort == s.EnginePort || s.Peer != "192.168.56.30" {
		t.Errorf("%+v", s)
	}
	if err := m.open().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.factory = factory(func() world { // something listens at the port now
		w := b.world
		w.free = func(port int) bool { return port != s.SSHPort }
		return w
	}())
	if err := m.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := m.status()
	if now.SSHPort == s.SSHPort || now.EnginePort != s.EnginePort {
		t.Errorf("was %+v, is %+v", s, now)
	}
	info := parseInfo(b.manage("showvminfo", m.recorded().UUID, "--machinereadable"))
	if !hasValue(info, "Forwarding(", fmt.Sprintf("ssh,tcp,127.0.0.1,%d,,22", now.SSHPort)) || !hasValue(info, "Forwarding(", fmt.Sprintf("engine,tcp,127.0.0.1,%d,,2376", now.EnginePort)) {
		t.Errorf("%v", info)
	}
	other := b.machine("m2", b.with("access", "forwarded"))
	other.create()
	if o := other.status(); o.SSHPort == now.SSHPort || o.EnginePort == now.EnginePort {
		t.Errorf("two machines share a port: %+v, %+v", now, o)
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
			m.create()
			b.manage("controlvm", "m1", "poweroff")
			lose(b)
			if err := m.open().Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := m.status(); s.Host != "192.168.56.30" {
				t.Errorf("%+v", s)
			}
			info := parseInfo(b.manage("showvminfo", "m1", "--machinereadable"))
			adapters := parseRecords(b.manage("list", "hostonlyifs"), "Name")
			if n, ok := sameAdapter(adapters, netip.MustParsePrefix("192.168.56.1/24")); !ok || info["hostonlyadapter2"] != n.Name {
				t.Errorf("on %s, adapters %v", info["hostonlyadapter2"], adapters)
			}
			m.remove()
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
	m.create()
	if b.count(vboxsim.KindAdapter) != 2 || !m.noted("2 host-only interfaces have the address") {
		t.Errorf("%v, notes %q", b.ledger(), m.notes)
	}
}

// TestStores demands that what two stores share stays until neither uses it.
func TestStores(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m, other := b.machine("m1", b.with()), b.machine("m2", b.with())
	other.env.StoreID = "another"
	m.create()
	other.create()
	m.remove()
	if b.count(vboxsim.KindAdapter) != 1 {
		t.Error("the interface that another store's machine uses is gone")
	}
	again := b.machine("m3", b.with())
	again.create()
	other.remove()
	again.remove()
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
	m.create()
	if b.count(vboxsim.KindNet) != 1 || b.count(vboxsim.KindAdapter) != 0 {
		t.Errorf("%v", b.ledger())
	}
	if s := m.status(); s.Host == "" {
		t.Errorf("%+v", s)
	}
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	b.manage("hostonlynet", "add", "--name", "HostNetwork", "--netmask", "255.255.255.0", "--lower-ip", "192.168.56.1", "--upper-ip", "192.168.56.199", "--enable")
	m.create()
	if s := m.status(); s.Host != "192.168.56.200" {
		t.Errorf("address %s: up to .199 they are given away", s.Host)
	}
	m.remove()
	if b.count(vboxsim.KindNet) != 1 {
		t.Error("the user's network is gone")
	}
}

func TestBoot2Docker(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	iso := filepath.Join(b.vars["HOME"], "boot2docker.iso")
	image := make([]byte, 18*2048)
	copy(image[16*2048:], "\x01CD001\x01")
	copy(image[17*2048:], "\xffCD001\x01")
	write(t, iso, string(image), 0o600)
	m := b.machine("m1", b.with("boot2docker-url", iso))
	if d := m.open(); d.SeedsHostKey() || d.TakesUserData() {
		t.Error("boot2docker reads no seed")
	}
	if err := m.open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.create()
	if s := m.status(); s.User != "docker" || s.Host != "192.168.56.101" {
		t.Errorf("%+v", s)
	}
	if images := m.open().Images(); len(images) != 1 {
		t.Errorf("it boots from %v", images)
	}
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestConversions makes disks of images in formats that VirtualBox converts, and
// loses each answer on the way.
func TestConversions(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		b := newBench(t, vboxsim.Config{})
		disk := filepath.Join(b.vars["HOME"], "disk.qcow2")
		write(t, disk, "QFI\xfb\x00\x00\x00\x03"+strings.Repeat("\x00", 1<<16), 0o600)
		m := b.machine("m1", b.with("image", disk))
		b.Observe(func(k int, done bool) error {
			if k == n && done {
				return errors.New("the answer was lost")
			}
			return nil
		})
		err := m.open().Create(t.Context(), request(t))
		b.Observe(nil)
		if err != nil {
			m.create()
		}
		if left := b.count(vboxsim.KindMedium); left != 2 {
			t.Errorf("answer %d lost: VirtualBox knows %v", n, b.ledger())
		}
		m.remove()
		if left := b.ledger(); len(left) > 0 {
			t.Errorf("answer %d lost: left %v", n, left)
		}
		if err == nil {
			return
		}
	}
}

// TestForgetfulServer has VirtualBox's server end between a list and what follows.
func TestForgetfulServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.create()
	if err := b.Inject(sim.Fault{Action: "closemedium", Nth: 1, Mode: sim.Fail, Text: "The given path 'c68f2361-7984-488f-93a6-d09a1c67aedd' is not fully qualified"}); err != nil {
		t.Fatal(err)
	}
	m.remove()
}

// TestConcurrent creates and removes machines of processes that share nothing but
// the lock.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	machines := make([]*testMachine, 6)
	for i := range machines {
		machines[i] = b.machine(fmt.Sprintf("m%d", i), b.with())
	}
	var g sync.WaitGroup
	each := func(fn func(*testMachine) error) {
		for _, m := range machines {
			g.Go(func() {
				if err := fn(m); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
	}
	ctx := context.WithoutCancel(t.Context())
	req := request(t)
	each(func(m *testMachine) error { return m.open().Create(ctx, req) })
	if b.count(vboxsim.KindAdapter) != 1 || b.count(vboxsim.KindMachine) != len(machines) {
		t.Errorf("%v", b.ledger())
	}
	seen := map[string]bool{}
	for _, m := range machines {
		seen[m.status().Host] = true
	}
	if len(seen) != len(machines) {
		t.Errorf("%d machines have %d addresses", len(machines), len(seen))
	}
	each(func(m *testMachine) error { return m.open().Remove(ctx) })
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestCalls demands that each call is told to the maintainer.
func TestCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.create()
	if log := m.log.String(); !strings.Contains(log, "msg=VBoxManage") || !strings.Contains(log, "createvm") || !strings.Contains(log, "took=") {
		t.Errorf("log:\n%s", log)
	}
}

// TestExecute runs real programs: the answer, the exit code, and the end of ctx.
func TestExecute(t *testing.T) {
	t.Parallel()
	a, err := execute(t.Context(), "/bin/sh", []string{"-c", "echo out; echo err >&2; exit 3"}, []string{"LANG=C"})
	if err != nil || a != (answer{"out\n", "err\n", 3}) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := execute(t.Context(), "/nonexistent", nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
	defer cancel()
	if _, err := execute(ctx, "/bin/sh", []string{"-c", "sleep 60 & wait"}, nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
