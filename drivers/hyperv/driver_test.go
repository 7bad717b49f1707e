package hyperv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

func TestLife(t *testing.T) {
	t.Parallel()
	hosts := host.NewMemory()
	b := newBench(t, hypervsim.Config{Hosts: hosts})
	m := b.machine("m1", b.with())
	m.create()
	s := m.status()
	want := drivers.Status{State: drivers.Running, Host: "10.77.0.20", SSHPort: 22, User: "machine"}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	st := m.recorded()
	spec, ok := hosts.Spec(st.ID)
	if !ok || spec.Private.String() != "10.77.0.20" || spec.Hostname != "m1" || !strings.Contains(string(spec.UserData), "ssh_keys") {
		t.Errorf("the guest got %+v", spec)
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
	if b.starts != 1 {
		t.Errorf("PowerShell was started %d times", b.starts)
	}
}

// TestListOfFifty demands that the states of fifty machines are one request to one
// PowerShell.
func TestListOfFifty(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.create()
	before := must(b.Calls())
	starts := b.starts
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
	if n := len(must(b.Calls())) - len(before); n > 2 {
		t.Errorf("%d requests for 50 states", n) // one, unless this computer took a nap between two
	}
	if n := b.starts - starts; n != 1 {
		t.Errorf("PowerShell was started %d times", n)
	}
}

func TestNAT(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	first, second := b.machine("m1", b.with("nat", "192.168.144.0/24")), b.machine("m2", b.with("nat", "192.168.144.0/24"))
	if err := first.open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.create()
	second.create()
	if a, z := first.status().Host, second.status().Host; a != "192.168.144.20" || z != "192.168.144.21" {
		t.Errorf("got %s and %s", a, z)
	}
	var guests struct {
		Machines []vm
	}
	if err := b.by("listMachines", `{"ids":[]}`, &guests); err != nil {
		t.Fatal(err)
	}
	if got := guests.Machines[0].address(""); got != "192.168.144.20" {
		t.Errorf("the guest has %q", got)
	}
	taken := b.machine("m3", b.with("nat", "192.168.144.0/24", "ip", "192.168.144.21"))
	refused(t, taken.open().Check(t.Context()), drivers.ErrConflict, "virtual machine m2 has the address 192.168.144.21", "")
	over := b.machine("m3", b.with("nat", "192.168.0.0/16"))
	refused(t, over.open().Check(t.Context()), drivers.ErrConflict, "in the way of 192.168.0.0/16", "--hyperv-nat")
	first.remove()
	if b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
		t.Errorf("what another machine uses is gone: %v", b.ledger())
	}
	second.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestStores has two stores use one network: it is the one's that made it.
func TestStores(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	first, second := b.machine("m1", b.with("nat", "10.99.0.0/29")), b.machine("m2", b.with("nat", "10.99.0.0/29"))
	second.env.StoreID, second.env.Cache = "another", t.TempDir()
	first.create()
	second.create()
	if a, z := first.status().Host, second.status().Host; a != "10.99.0.2" || z != "10.99.0.3" {
		t.Errorf("got %s and %s", a, z)
	}
	first.remove()
	if b.count(hypervsim.KindSwitch) != 1 {
		t.Errorf("what another store uses is gone: %v", b.ledger())
	}
	second.remove()
	all, err := first.open().Tagged(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("found %v, %v: want the switch of the first store", all, err)
	}
	if err := first.open().Release(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestHalfMadeNAT has the group Hyper-V Administrators make what is for
// administrators to make, and an administrator complete it.
func TestHalfMadeNAT(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{Manager: true})
	m := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	refused(t, m.open().Check(t.Context()), drivers.ErrPermission, "that takes an administrator", "first machine")
	refused(t, m.open().Create(t.Context(), birth(t)), drivers.ErrPermission, "Access is denied", "administrators")
	if b.count(hypervsim.KindSwitch) != 1 {
		t.Fatal("the simulator made nothing")
	}
	box := must(hypervsim.New(hypervsim.Config{Home: b.home}))
	m.bench.Box = box
	m.factory = factory(b.world)
	m.create()
	if b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
		t.Errorf("%v", b.ledger())
	}
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	m.create()
	id := m.recorded().ID
	stop := func() {
		t.Helper()
		if err := m.open().Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	starts := func(what string) {
		t.Helper()
		if err := m.open().Start(t.Context()); err != nil || m.status().State != drivers.Running {
			t.Errorf("%s: %v", what, err)
		}
	}
	for state, want := range map[string]drivers.State{"Paused": drivers.Paused, "Saved": drivers.Saved, "OffCritical": drivers.Error, "Saving": drivers.Stopping} {
		if err := b.SetState(t.Context(), id, state); err != nil || m.status().State != want {
			t.Errorf("%s: %v, %v", state, m.status().State, err)
		}
		if want == drivers.Paused || want == drivers.Saved {
			starts(state)
		}
	}
	if err := b.SetState(t.Context(), id, "RunningCritical"); err != nil {
		t.Fatal(err)
	}
	refused(t, m.open().Start(t.Context()), nil, "RunningCritical", "out of reach")
	if err := b.SetState(t.Context(), id, "Off"); err != nil {
		t.Fatal(err)
	}
	mac := m.recorded().MAC
	if err := b.SetMAC(t.Context(), id, "020000000001"); err != nil {
		t.Fatal(err)
	}
	refused(t, m.open().Start(t.Context()), nil, "edited by hand", "static MAC address")
	if err := b.SetMAC(t.Context(), id, mac); err != nil {
		t.Fatal(err)
	}
	starts("mended")
	stop()
	if err := b.Vanish(t.Context(), hypervsim.KindSwitch, m.recorded().Switch.ID); err != nil {
		t.Fatal(err)
	}
	starts("without its switch")
	if got := m.status().Host; got != "192.168.144.20" || b.count(hypervsim.KindSwitch) != 1 {
		t.Errorf("at %q, with %v", got, b.ledger())
	}
	if err := b.Rename(t.Context(), id, "it's $mine"); err != nil {
		t.Fatal(err)
	}
	starts("renamed")
	if !m.noted(`renamed to "it's $mine"`) {
		t.Errorf("notes: %q", m.notes)
	}
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.create()
	if err := b.Vanish(t.Context(), hypervsim.KindMachine, m.recorded().ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	m.create() // anew
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestDeaf has a guest that ignores what it is told.
func TestDeaf(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with("stop-timeout", "1"))
	m.create()
	b.Deafen(m.recorded().ID)
	if err := m.open().Stop(t.Context()); err != nil || m.status().State != drivers.Stopped || !m.noted("did not shut down within 1 s") {
		t.Errorf("%v, %q", err, m.notes)
	}
	if err := m.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	no := hypervsim.Refusal{Category: "NotSpecified", FQID: "OperationFailed,StopVM", Message: "The shutdown service is not there."}
	if err := b.Inject(hypervsim.Fault{Op: opShutDown, Nth: 1, Mode: hypervsim.Fail, Refusal: no}); err != nil {
		t.Fatal(err)
	}
	if err := m.open().Stop(t.Context()); err != nil || !m.noted("The shutdown service is not there.") {
		t.Errorf("%v, %q", err, m.notes)
	}
	if err := m.open().Kill(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg           hypervsim.Config
		kind          error
		words, advice string
	}{
		"no module":     {hypervsim.Config{NoModule: true}, drivers.ErrUnreachable, "module is not installed", "Enable-WindowsOptionalFeature"},
		"no rights":     {hypervsim.Config{NoRights: true}, drivers.ErrPermission, "no administrator", "S-1-5-32-578"},
		"stopped":       {hypervsim.Config{Stopped: true}, drivers.ErrUnreachable, "vmms is Stopped", "Start-Service vmms"},
		"no hypervisor": {hypervsim.Config{NoHypervisor: true}, drivers.ErrUnsupported, "hypervisor is not running", "hypervisorlaunchtype"},
		"server":        {hypervsim.Config{Server: true}, drivers.ErrNotFound, "find the Default Switch", "--hyperv-nat"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.cfg)
			m := b.machine("m1", b.with())
			if c.cfg.NoRights {
				b.by("probe", "{}", nil)
			}
			refused(t, m.open().Check(t.Context()), c.kind, c.words, c.advice)
			err := m.open().Create(t.Context(), birth(t))
			if !errors.Is(err, c.kind) || hintOf(err) == "" {
				t.Errorf("create: %v (%s)", err, hintOf(err))
			}
			if name != "server" && name != "no hypervisor" {
				// What cannot be asked is not gone.
				m.state = []byte(`{"id":"x","folder":"` + m.env.Dir + `/hyperv","name":"m1"}`)
				if err := m.open().Remove(t.Context()); err == nil || errors.Is(err, drivers.ErrNotFound) {
					t.Errorf("remove: %v", err)
				}
			}
		})
	}
	b := newBench(t, hypervsim.Config{Memory: 3 << 30})
	m, n := b.machine("m1", b.with()), b.machine("m2", b.with())
	m.create()
	refused(t, n.open().Create(t.Context(), birth(t)), drivers.ErrCapacity, "Not enough memory in the system", "--hyperv-memory")
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	must(b.AddSwitch(t.Context(), "Büro $1", "External"))
	m := b.machine("m1", b.with("virtual-switch", "Büro $"))
	refused(t, m.open().Check(t.Context()), drivers.ErrOption, `there is no switch "Büro $"; Hyper-V has "Büro $1" (External), "Default Switch" (Internal)`, `did you mean "Büro $1"`)
	m = b.machine("m1", b.with("virtual-switch", "Büro $1", "vlan-id", "7"))
	m.create()
	if st := m.recorded(); st.Switch.Name != "Büro $1" {
		t.Errorf("on %+v", st.Switch)
	}
	n := b.machine("m2", b.with())
	n.create()
	if st := n.recorded(); st.Switch.ID != defaultSwitch {
		t.Errorf("on %+v: an External switch is not to be taken unless it is named", st.Switch)
	}
}

func TestNoAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	b.world.patience = 50 * time.Millisecond
	must(b.AddSwitch(t.Context(), "lab", "Internal"))
	m := b.machine("m1", b.with("virtual-switch", "lab"))
	refused(t, m.open().Create(t.Context(), birth(t)), nil, `no address for m1 on switch "lab" (Internal)`, "there is no DHCP on a switch of this kind")
}

// TestSilent has guests that do not tell their addresses.
func TestSilent(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{Silent: true})
	m := b.machine("m1", b.with())
	m.create()
	if got := m.status().Host; got != "172.20.16.20" {
		t.Errorf("at %q", got)
	}
}

func TestNameTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	if err := b.by("newMachine", `{"name":"M1","path":"`+b.home+`","generation":2,"memory":1073741824,"notes":""}`, nil); err != nil {
		t.Fatal(err)
	}
	m := b.machine("m1", b.with())
	refused(t, m.open().Check(t.Context()), drivers.ErrConflict, "Hyper-V has a virtual machine M1 already", "another name")
	refused(t, m.open().Create(t.Context(), birth(t)), drivers.ErrConflict, "Hyper-V has a virtual machine M1 already", "another name")
	m.remove()
	if b.count(hypervsim.KindMachine) != 1 {
		t.Error("what is not ours is gone")
	}
	mac := b.machine("m2", b.with("static-macaddress", "00-00-5d-00-00-01"))
	mac.create()
	other := b.machine("m3", b.with("static-macaddress", "00:00:5D:00:00:01"))
	refused(t, other.open().Check(t.Context()), drivers.ErrConflict, "virtual machine m2 has it", "")
	refused(t, other.open().Create(t.Context(), birth(t)), drivers.ErrConflict, "virtual machine m2 has it", "")
}

// TestNastyFolder keeps machines in a folder whose name would be something else in a
// script.
func TestNastyFolder(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.env.Dir = filepath.Join(t.TempDir(), strings.ReplaceAll(nasty, "/", ""))
	if err := os.MkdirAll(m.env.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.create()
	if got := m.status().State; got != drivers.Running {
		t.Error(got)
	}
	m.remove()
	if left := must(os.ReadDir(m.env.Dir)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestLinux is about Windows's Subsystem for Linux.
func TestLinux(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	b.vars["WSL_DISTRO_NAME"] = "Debian"
	drive := filepath.Join(t.TempDir(), "c")
	write(t, filepath.Join(drive, "Users", "Jürgen B", "x"), "", 0o600)
	b.world.run = func(_ context.Context, program string, args ...string) (string, error) {
		switch path := args[1]; {
		case program != "wslpath":
			return "", errors.New(program)
		case args[0] == "-u":
			return "/mnt/c" + strings.ReplaceAll(strings.TrimPrefix(path, "C:"), `\`, "/") + "\n", nil
		case strings.HasPrefix(path, drive):
			return `C:` + strings.ReplaceAll(strings.TrimPrefix(path, drive), "/", `\`) + "\r\n", nil
		default:
			return `\\wsl.localhost\Debian` + strings.ReplaceAll(path, "/", `\`) + "\n", nil
		}
	}
	d := b.machine("m1", b.with()).open()
	refused(t, d.Check(t.Context()), drivers.ErrUnsupported, "lies in a file system of Linux", "--storage-path /mnt/c/")
	got := must(d.windowsPath(t.Context(), filepath.Join(drive, "Users", "Jürgen B", ".docker", "disk.vhdx"))) // not there yet
	if want := `C:\Users\Jürgen B\.docker\disk.vhdx`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := d.below(`C:\Users\Jürgen B\.docker`, "disk.vhdx"); got != `C:\Users\Jürgen B\.docker\disk.vhdx` {
		t.Errorf("got %s", got)
	}
	if got := must(d.ownPath(t.Context(), `C:\Users\x`)); got != "/mnt/c/Users/x" {
		t.Errorf("got %s", got)
	}
	if !inFolder(`c:\users\JÜRGEN B\.docker\m1`, `C:\Users\Jürgen B\.docker`) || inFolder(`C:\x\m10`, `C:\x\m1`) {
		t.Error("paths are not compared as Windows does")
	}
}

func TestNoWindows(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	b.vars["PATH"] = "/nonexistent"
	refused(t, b.machine("m1", b.with()).open().Check(t.Context()), drivers.ErrUnreachable, "Hyper-V is a part of Windows", "-d qemu")
	b.world.os = "windows"
	refused(t, b.machine("m1", b.with()).open().Check(t.Context()), drivers.ErrUnreachable, "find powershell.exe", "System32")
}

// TestSwarm tells what a swarm is in for on the Default Switch, and on no other one.
func TestSwarm(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	req := birth(t)
	req.OpenPorts = []drivers.Port{{Number: 2377, Protocol: "tcp", Peers: true}}
	for _, c := range []struct {
		name string
		more []string
		want bool
	}{{"m1", nil, true}, {"m2", []string{"nat", "192.168.144.0/24"}, false}} {
		m := b.machine(c.name, b.with(c.more...))
		if err := m.open().Create(t.Context(), req); err != nil || m.noted("a swarm does not survive") != c.want {
			t.Errorf("%s: %v, %q", c.name, err, m.notes)
		}
	}
}

// TestManager has an administrator make a network, and a member of the group Hyper-V
// Administrators use it, who can neither see nor remove the translation.
func TestManager(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	first := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	first.create()
	admin := b.Box
	b.Box = must(hypervsim.New(hypervsim.Config{Home: b.home, Manager: true}))
	second := b.machine("m2", b.with("nat", "192.168.144.0/24"))
	if err := second.open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.create()
	second.remove()
	first.factory = factory(b.world)
	first.remove()
	if !first.noted("takes an administrator") || b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
		t.Errorf("%q, %v", first.notes, b.ledger())
	}
	b.Box = admin
	first.factory = factory(b.world)
	for _, r := range must(first.open().Tagged(t.Context())) {
		if err := first.open().Release(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
