package qemu

import (
	"bytes"
	"context"
	"encoding/json"
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
)

// bench is a machine of a test.
type bench struct {
	t       testing.TB
	factory drivers.Factory
	config  json.RawMessage
	env     drivers.Env
	req     drivers.CreateRequest

	mu    sync.Mutex
	state json.RawMessage
	notes []string
}

func newBench(t testing.TB, f drivers.Factory, name, cache string, values drivers.Values) *bench {
	t.Helper()
	config, _, err := f.Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, factory: f, config: config, req: request(t)}
	b.env = drivers.Env{
		Machine: name, Dir: filepath.Join(t.TempDir(), name), Cache: cache, StoreID: "0123456789abcdef",
		Note: func(_ context.Context, text string) { b.notes = append(b.notes, text) },
	}
	return b
}

func (b *bench) open() *driver {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	d, err := b.factory.Open(b.config, nil, b.state, func(s json.RawMessage) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.state = bytes.Clone(s)
		return nil
	}, b.env)
	if err != nil {
		b.t.Fatal(err)
	}
	return d.(*driver)
}

func (b *bench) create() error { return b.open().Create(b.t.Context(), b.req) }

func (b *bench) must(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// is demands a state.
func (b *bench) is(want drivers.State) drivers.Status {
	b.t.Helper()
	s, err := b.open().Status(b.t.Context())
	if err != nil || s.State != want {
		b.t.Fatalf("status is %+v, %v, want %s", s, err, want)
	}
	return s
}

func fakeBench(t testing.TB, h *fakeHost, more drivers.Values) *bench {
	t.Helper()
	values := drivers.Values{"qemu-image": {testImage(t)}}
	for k, v := range more {
		values[k] = v
	}
	return newBench(t, factory(h.world()), "m1", t.TempDir(), values)
}

func TestCreateStatus(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	got := b.is(drivers.Running)
	want := drivers.Status{State: drivers.Running, Host: "127.0.0.1", Peer: "192.168.86.11", User: "machine", SSHPort: 40001, EnginePort: 40002}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	args := strings.Join(h.only(t).args, " ")
	for _, part := range []string{"-accel kvm", "hostfwd=tcp:127.0.0.1:40001-:22,hostfwd=tcp:127.0.0.1:40002-:2376", "file=efivars.fd", "mcast=239.192."} {
		if !strings.Contains(args, part) {
			t.Errorf("%s is not in %s", part, args)
		}
	}
	disk, err := os.ReadFile(b.open().path(diskFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(disk), "create -q -f qcow2 -F qcow2 -b "+b.env.Cache) || !strings.HasSuffix(string(disk), " 20971520000") {
		t.Errorf("disk was made by %s", disk)
	}
	images := b.open().Images()
	if len(images) != 1 || !isFile(images[0]) {
		t.Errorf("images in use are %q", images)
	}
	if data, err := b.open().Console(t.Context()); err != nil || string(data) != "Linux version 6.1\n" {
		t.Errorf("console is %q, %v", data, err)
	}
	for _, file := range []string{seedFile, varsFile} {
		if info, err := os.Stat(b.open().path(file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

// TestImageOfDisk keeps the record of what the disk is based on, also when create goes
// on with another image under the same name.
func TestImageOfDisk(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	image := testImage(t)
	b := fakeBench(t, h, drivers.Values{"qemu-image": {image}})
	b.must("create", b.create())
	before := b.open().Images()
	d := b.open()
	d.state.Value.Made = false
	b.must("save", d.state.Save())
	changed := make([]byte, 1024)
	copy(changed, "QFI\xfb\x00\x00\x00\x03")
	b.must("change the image", os.WriteFile(image, changed, 0o600))
	b.must("create again", b.create())
	if after := b.open().Images(); !slices.Equal(before, after) {
		t.Errorf("images were %q, are %q", before, after)
	}
}

// TestEnginePortOfRequest forwards the port that the engine will have.
func TestEnginePortOfRequest(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.req.OpenPorts = []drivers.Port{{Number: 7946, Protocol: "tcp", Peers: true}, {Number: 4789, Protocol: "udp"}, {Number: 2390, Protocol: "tcp"}}
	b.must("create", b.create())
	if args := strings.Join(h.only(t).args, " "); !strings.Contains(args, "-:2390") {
		t.Errorf("2390 is not in %s", args)
	}
}

// TestPortsTaken chooses ports anew when somebody else was quicker, and does not
// when the port is one that the user named.
func TestPortsTaken(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	h.says = []string{
		"qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule 'tcp:127.0.0.1:40001-:22'\n",
		"qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule 'tcp:127.0.0.1:40002-:2376'\n",
	}
	b := fakeBench(t, h, drivers.Values{"qemu-publish": {"8080:80"}})
	b.must("create", b.create())
	if s := b.is(drivers.Running); s.SSHPort != 40003 || s.EnginePort != 40004 {
		t.Errorf("got %+v", s)
	}
	b.must("kill", b.open().Kill(t.Context()))
	h.says = []string{"qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'\n"}
	if err := b.open().Start(t.Context()); !errors.Is(err, drivers.ErrConflict) || advice(err) == "" {
		t.Errorf("got %v, want ErrConflict with advice", err)
	}
	b.is(drivers.Stopped)
}

// TestPortStolen moves to another port if a stopped machine's has gone to others.
func TestPortStolen(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	b.must("stop", b.open().Stop(t.Context()))
	h.mu.Lock()
	h.stolen[40001] = true
	h.mu.Unlock()
	b.must("start", b.open().Start(t.Context()))
	if s := b.is(drivers.Running); s.SSHPort != 40003 || s.EnginePort != 40002 {
		t.Errorf("got %+v", s)
	}
}

// TestStartErrors shows QEMU's own words, and what they mean.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	for said, c := range map[string]struct {
		kind error
		want string
	}{
		"qemu-system-x86_64: warning: x\nqemu-system-x86_64: Could not access KVM kernel module: Permission denied\nqemu-system-x86_64: failed to initialize kvm: Permission denied\n": {drivers.ErrPermission, "start QEMU: Could not access KVM kernel module: Permission denied; failed to initialize kvm: Permission denied"},
		"Could not access KVM kernel module: No such file or directory\nqemu-system-x86_64: failed to initialize kvm: No such file or directory\n":                                     {drivers.ErrUnsupported, "start QEMU: Could not access KVM kernel module: No such file or directory; failed to initialize kvm: No such file or directory"},
		"qemu-system-x86_64: -drive if=none,id=disk,file=disk.qcow2: Failed to get \"write\" lock\nIs another process using the image [disk.qcow2]?\n":                                 {drivers.ErrInUse, "start QEMU: -drive if=none,id=disk,file=disk.qcow2: Failed to get \"write\" lock; Is another process using the image [disk.qcow2]?"},
		"qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory\n":                                                                                            {drivers.ErrCapacity, "start QEMU: cannot set up guest memory 'pc.ram': Cannot allocate memory"},
		"qemu-system-x86_64: -drive x: Could not open backing file: Could not open '/c/disk.qcow2': No such file or directory\n":                                                       {drivers.ErrNotFound, "start QEMU: -drive x: Could not open backing file: Could not open '/c/disk.qcow2': No such file or directory"},
		"failed to parse default acl file `/etc/qemu/bridge.conf'\nqemu-system-x86_64: bridge helper failed\n":                                                                         {drivers.ErrPermission, "start QEMU: failed to parse default acl file `/etc/qemu/bridge.conf'; bridge helper failed"},
		"qemu-system-x86_64: unable to find CPU model 'x'\n":                                                                                                                           {drivers.ErrOption, "start QEMU: unable to find CPU model 'x'"},
		"qemu-kvm: -netdev user,id=nat: network backend 'user' is not compiled into this binary\n":                                                                                     {drivers.ErrUnsupported, "start QEMU: -netdev user,id=nat: network backend 'user' is not compiled into this binary"},
		"qemu-system-x86_64: something new\n": {nil, "start QEMU: something new"},
		"\n":                                  {nil, "start QEMU: it ended and said nothing"},
	} {
		h := newFakeHost()
		h.says = []string{said}
		err := fakeBench(t, h, nil).create()
		if err == nil || err.Error() != c.want || c.kind != nil && (!errors.Is(err, c.kind) || advice(err) == "") {
			t.Errorf("%q: got %v, want %v: %s", said, err, c.kind, c.want)
		}
	}
}

// TestAccelerator tries an accelerator out once, and says why it is not used.
func TestAccelerator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		probe  answer
		values drivers.Values
		want   string
		note   string
	}{
		"runs":         {probe: answer{exit: probeExit}, want: "kvm"},
		"says why":     {probe: answer{exit: 134, stderr: "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\nqemu-system-x86_64: ../../target/i386/kvm/kvm.c:3183: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed.\n"}, want: "tcg", note: "kvm runs no guest here: failed to set MSR 0x10a to 0x69; the machine is emulated (tcg), which is slow"},
		"says nothing": {probe: answer{exit: 1}, want: "tcg", note: "kvm runs no guest here: QEMU ended with code 1; the machine is emulated (tcg), which is slow"},
		"asked for":    {probe: answer{exit: 1}, values: drivers.Values{"qemu-accel": {"kvm"}}, want: "kvm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost()
			h.probe = c.probe
			tries := 0
			w := h.world()
			run := w.run
			w.run = func(ctx context.Context, path string, args ...string) (answer, error) {
				if slices.Contains(args, "-no-reboot") {
					tries++
				}
				return run(ctx, path, args...)
			}
			b := fakeBench(t, h, c.values)
			b.factory = factory(w)
			b.must("create", b.create())
			if got := after(h.only(t).args, "-accel"); got != c.want {
				t.Errorf("accelerator is %s, want %s", got, c.want)
			}
			if c.note != "" && !slices.Contains(b.notes, c.note) {
				t.Errorf("notes are %q", b.notes)
			}
			b.must("kill", b.open().Kill(t.Context()))
			b.must("start", b.open().Start(t.Context()))
			if told := len(b.notes); told > 1 {
				t.Errorf("notes are %q", b.notes)
			}
			if want := map[bool]int{true: 1}[c.values == nil]; tries != want {
				t.Errorf("tried out %d times, want %d", tries, want)
			}
		})
	}
}

// TestVerdicts believes what was seen since this computer was started.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accel.json")
	if err := os.WriteFile(path, []byte(`{"boot":"a","of":{"kvm x":{"runs":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := readVerdicts(path, "a"); !v.Of["kvm x"].Runs {
		t.Errorf("got %v", v)
	}
	for _, boot := range []string{"b", ""} {
		if v := readVerdicts(path, boot); len(v.Of) != 0 {
			t.Errorf("after another start: %v", v)
		}
	}
}

// TestStubborn cuts the power of a guest that does not shut down.
func TestStubborn(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	h.stubborn = true
	b := fakeBench(t, h, drivers.Values{"qemu-stop-timeout": {"1"}})
	b.must("create", b.create())
	q := h.only(t)
	b.must("stop", b.open().Stop(t.Context()))
	b.is(drivers.Stopped)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(q.orders, "system_powerdown") || !slices.Contains(q.orders, "quit") {
		t.Errorf("orders were %q", q.orders)
	}
	if !slices.ContainsFunc(b.notes, func(n string) bool { return strings.Contains(n, "did not shut down within 1 s") }) {
		t.Errorf("notes are %q", b.notes)
	}
}

// TestPaused has a paused machine go on, and shut down.
func TestPaused(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	for _, act := range []func(context.Context) error{
		func(ctx context.Context) error { return b.open().Start(ctx) },
		func(ctx context.Context) error { return b.open().Create(ctx, b.req) },
	} {
		h.only(t).execute("stop")
		b.is(drivers.Paused)
		b.must("go on", act(t.Context()))
		b.is(drivers.Running)
	}
	h.only(t).execute("stop")
	b.must("stop", b.open().Stop(t.Context()))
	b.is(drivers.Stopped)
}

// TestRunStates has a word for all that QEMU can say.
func TestRunStates(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]drivers.State{
		"running": drivers.Running, "paused": drivers.Paused, "suspended": drivers.Paused, "prelaunch": drivers.Starting,
		"inmigrate": drivers.Starting, "shutdown": drivers.Stopping, "save-vm": drivers.Saved, "postmigrate": drivers.Saved,
		"io-error": drivers.Error, "guest-panicked": drivers.Error, "internal-error": drivers.Error, "what is this": drivers.Error,
	} {
		if got := (sight{status: said}).state(); got != want {
			t.Errorf("%s: got %s, want %s", said, got, want)
		}
	}
}

// TestAnotherProcess does not take a process for the machine's whose number is in its record.
func TestAnotherProcess(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	h.mu.Lock()
	for _, q := range h.procs {
		q.end() // its record of the pid stays
	}
	other := &fakeQEMU{host: h, pid: 1000, uuid: foreignUUID, dir: "/elsewhere", alive: true, done: make(chan struct{})}
	h.procs[1000] = other
	h.mu.Unlock()
	b.is(drivers.Stopped)
	b.must("kill", b.open().Kill(t.Context()))
	b.must("start", b.open().Start(t.Context()))
	b.is(drivers.Running)
	b.must("remove", b.open().Remove(t.Context()))
	if !other.alive {
		t.Error("the other process was ended")
	}
}

func TestGroupAndMAC(t *testing.T) {
	t.Parallel()
	if a, b := group("store a"), group("store a"); a != b || a == group("store b") {
		t.Errorf("groups are %s, %s, %s", a, b, group("store b"))
	}
	at, err := netip.ParseAddrPort(group("x"))
	if err != nil || !at.Addr().IsMulticast() || at.Port() < 1024 {
		t.Errorf("group is %v, %v", at, err)
	}
	if mac("s", "m", "nat") == mac("s", "m", "lan") || mac("s", "m", "nat") != mac("s", "m", "nat") || mac("s", "m1", "nat") == mac("s", "m", "1nat") {
		t.Error("MAC addresses are not one's own, or not the same each time")
	}
}

// TestRegister gives each of many machines an address of its own, at once.
func TestRegister(t *testing.T) {
	t.Parallel()
	cache, subnet := t.TempDir(), netip.MustParsePrefix("10.9.8.0/27")
	var wg sync.WaitGroup
	for i := range 10 {
		b := newBench(t, factory(newFakeHost().world()), fmt.Sprintf("m%d", i), cache, drivers.Values{"qemu-lan-subnet": {subnet.String()}})
		if err := os.MkdirAll(b.env.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		d := b.open()
		d.state.Value.UUID = fmt.Sprintf("uuid%d", i)
		wg.Go(func() {
			for range 3 { // again is the same
				if err := d.enter(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := readRegister(cache)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]bool{}
	for _, l := range all {
		seen[l.Address] = subnet.Contains(l.Address)
	}
	if len(seen) != 10 || !seen[netip.MustParseAddr("10.9.8.11")] || !seen[netip.MustParseAddr("10.9.8.20")] {
		t.Errorf("leases are %v", all)
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	subnet := netip.MustParsePrefix("10.9.8.0/28") // .11 to .14
	all := register{}
	take := func(uuid, wanted string) string {
		a, _ := netip.ParseAddr(wanted)
		got, err := all.take(subnet, uuid, entry{Machine: uuid}, a)
		if err != nil {
			return err.Error()
		}
		return got.String()
	}
	for _, c := range [][3]string{
		{"a", "", "10.9.8.11"}, {"b", "", "10.9.8.12"}, {"a", "", "10.9.8.11"},
		{"c", "10.9.8.12", "taken by something that is not ours: 10.9.8.12 is the address of machine b"},
		{"c", "10.9.8.5", "10.9.8.5"}, {"a", "10.9.8.14", "10.9.8.14"}, {"d", "", "10.9.8.11"}, {"e", "", "10.9.8.13"},
		{"f", "", "quota exhausted: all addresses of 10.9.8.0/28 are taken"},
	} {
		if got := take(c[0], c[1]); got != c[2] {
			t.Errorf("%s wants %q: got %s, want %s", c[0], c[1], got, c[2])
		}
	}
	gone := register{"x": {Dir: "/nonexistent/machine"}, "y": {Dir: t.TempDir()}}
	if gone.prune(func(string) bool { return false }); len(gone) != 1 {
		t.Errorf("left are %v", gone)
	}
}

// TestRegisterUnreadable begins anew rather than keeping machines from starting.
func TestRegisterUnreadable(t *testing.T) {
	t.Parallel()
	b := fakeBench(t, newFakeHost(), nil)
	path := filepath.Join(b.env.Cache, Name, "machines.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.must("create", b.create())
	b.is(drivers.Running)
}

func TestNeighbour(t *testing.T) {
	t.Parallel()
	table := "IP address       HW type     Flags       HW address            Mask     Device\n192.168.1.9      0x1         0x2         52:54:00:AA:bb:cc     *        br0\n"
	if got := findNeighbour(table, "52:54:00:aa:bb:cc"); got != "192.168.1.9" {
		t.Errorf("got %q", got)
	}
	if got := findNeighbour(table, "52:54:00:aa:bb:cd"); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestNoNetworkIsTold says before what a swarm will lack.
func TestNoNetworkIsTold(t *testing.T) {
	t.Parallel()
	b := fakeBench(t, newFakeHost(), drivers.Values{"qemu-network": {"none"}})
	b.must("create", b.create())
	if s := b.is(drivers.Running); s.Peer != "192.168.85.15" {
		t.Errorf("got %+v", s)
	}
	if !slices.ContainsFunc(b.notes, func(n string) bool { return strings.Contains(n, "no network between the machines") }) {
		t.Errorf("notes are %q", b.notes)
	}
}

// TestDirectKernel boots copies, so that the machine does not depend on where they were.
func TestDirectKernel(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	dir := t.TempDir()
	k, i := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd.img")
	for path, text := range map[string]string{k: "kernel", i: "initrd"} {
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	b := fakeBench(t, h, drivers.Values{"qemu-kernel": {k}, "qemu-initrd": {i}})
	b.must("check", b.open().Check(t.Context()))
	b.must("create", b.create())
	args := h.only(t).args
	if after(args, "-kernel") != kernelFile || after(args, "-initrd") != initrdFile {
		t.Errorf("args are %q", args)
	}
	if data, err := os.ReadFile(b.open().path(kernelFile)); err != nil || string(data) != "kernel" {
		t.Errorf("copy is %q, %v", data, err)
	}
}

// TestHung tells a QEMU that does not answer from one that is not there, and ends it.
func TestHung(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	w := h.world()
	w.ask = 200 * time.Millisecond
	b.factory = factory(w)
	h.silent = true
	b.is(drivers.Timeout)
	begin := time.Now()
	b.must("kill", b.open().Kill(t.Context()))
	b.is(drivers.Stopped)
	if took := time.Since(begin); took > endLimit {
		t.Errorf("took %v", took)
	}
}
