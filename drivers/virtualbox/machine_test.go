package virtualbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

const testStore = "0123456789abcdef"

// bench is a computer with VirtualBox for one test.
type bench struct {
	*vboxsim.Box
	t      testing.TB
	world  world
	cache  string
	values drivers.Values
	vars   map[string]string
}

func newBench(t testing.TB, cfg vboxsim.Config) *bench {
	t.Helper()
	return newBenchAt(t, cfg, t.TempDir())
}

// newBenchAt has the cache of images and an image in a folder, which benches may
// share.
func newBenchAt(t testing.TB, cfg vboxsim.Config, shared string) *bench {
	t.Helper()
	dir := t.TempDir()
	cfg.Home = filepath.Join(dir, "home")
	box, err := vboxsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	bin := filepath.Join(dir, "bin")
	write(t, filepath.Join(bin, "VBoxManage"), "", 0o755)
	disk := filepath.Join(shared, "disk.raw")
	if _, err := os.Stat(disk); err != nil {
		write(t, disk, strings.Repeat("\x00", 510)+"\x55\xaa"+strings.Repeat("\x00", 1<<20-512), 0o644)
	}
	b := &bench{
		Box: box, t: t, cache: filepath.Join(shared, "cache"),
		values: drivers.Values{"virtualbox-image": {disk}},
		vars:   map[string]string{"PATH": bin, "HOME": dir, "VBOX_USER_HOME": cfg.Home},
	}
	var port atomic.Int32
	port.Store(50000)
	b.world = world{
		os: "linux", arch: "amd64", networks: filepath.Join(dir, "networks.conf"),
		exec: func(ctx context.Context, _ string, args, _ []string) (answer, error) {
			a := box.Run(ctx, dir, args)
			return answer{a.Stdout, a.Stderr, a.Exit}, nil
		},
		addrs: func() ([]hostAddr, error) {
			return []hostAddr{{"lo", netip.MustParsePrefix("127.0.0.1/8")}, {"eth0", netip.MustParsePrefix("192.0.2.7/24")}}, nil
		},
		free: func(int) bool { return true },
		pick: func() (int, error) { return int(port.Add(1)), nil },
		pace: wait.Pace{First: time.Millisecond, Most: 10 * time.Millisecond},
	}
	return b
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// with returns the bench's options and others.
func (b *bench) with(pairs ...string) drivers.Values {
	all := maps.Clone(b.values)
	for i := 0; i < len(pairs); i += 2 {
		all["virtualbox-"+pairs[i]] = []string{pairs[i+1]}
	}
	return all
}

func (b *bench) env() drivers.Env {
	return drivers.Env{StoreID: testStore, Creator: "machine/1.0", Cache: b.cache, Getenv: func(key string) string { return b.vars[key] }}
}

// ledger returns what exists, by kind and id.
func (b *bench) ledger() []sim.Resource {
	b.t.Helper()
	all, err := b.Ledger(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bench) count(kind string) int {
	n := 0
	for _, r := range b.ledger() {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// manage runs VBoxManage as the user would by hand.
func (b *bench) manage(args ...string) string {
	b.t.Helper()
	a := b.Run(b.t.Context(), b.cache, args)
	if a.Exit != 0 {
		b.t.Fatalf("VBoxManage %s: %s", strings.Join(args, " "), a.Stderr)
	}
	return a.Stdout
}

// testMachine is what a store would hold of a machine.
type testMachine struct {
	b       *bench
	factory drivers.Factory
	config  json.RawMessage
	state   json.RawMessage
	env     drivers.Env
	notes   []string
	log     strings.Builder
}

func (b *bench) machine(name string, values drivers.Values) *testMachine {
	b.t.Helper()
	m := &testMachine{b: b, factory: factory(b.world), env: b.env()}
	var err error
	if m.config, _, err = m.factory.Configure(values); err != nil {
		b.t.Fatal(err)
	}
	m.env.Machine, m.env.Dir = name, filepath.Join(b.t.TempDir(), name)
	m.env.Log = slog.New(slog.NewTextHandler(&m.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m.env.Note = func(_ context.Context, text string) { m.notes = append(m.notes, text) }
	return m
}

func (m *testMachine) open() *driver {
	m.b.t.Helper()
	d, err := m.factory.Open(m.config, nil, m.state, func(state json.RawMessage) error {
		m.state = state
		return nil
	}, m.env)
	if err != nil {
		m.b.t.Fatal(err)
	}
	return d.(*driver)
}

func (m *testMachine) create() {
	m.b.t.Helper()
	if err := m.open().Create(m.b.t.Context(), request(m.b.t)); err != nil {
		m.b.t.Fatal(err)
	}
}

func (m *testMachine) remove() {
	m.b.t.Helper()
	if err := m.open().Remove(m.b.t.Context()); err != nil {
		m.b.t.Fatal(err)
	}
}

func (m *testMachine) status() drivers.Status {
	m.b.t.Helper()
	s, err := m.open().Status(m.b.t.Context())
	if err != nil {
		m.b.t.Fatal(err)
	}
	return s
}

func (m *testMachine) recorded() State {
	m.b.t.Helper()
	var s State
	if err := json.Unmarshal(m.state, &s); err != nil {
		m.b.t.Fatal(err)
	}
	return s
}

func (m *testMachine) noted(words string) bool {
	return strings.Contains(strings.Join(m.notes, "\n"), words)
}

func hostKey(t testing.TB) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func request(t testing.TB) drivers.CreateRequest {
	t.Helper()
	return drivers.CreateRequest{
		AuthorizedKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1b4Y9cQ8h0hJ5Jq1yQx1Hd0aX6mS5pJtYp3b9m0zZk test",
		HostKey:       hostKey(t),
		OpenPorts:     []drivers.Port{{Number: 2376, Protocol: "tcp"}},
	}
}
