package hyperv

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

const testStore = "0123456789abcdef"

// bench is a computer with Hyper-V for one test.
type bench struct {
	*hypervsim.Box
	t      testing.TB
	world  world
	home   string
	cache  string
	values drivers.Values
	vars   map[string]string

	mu     sync.Mutex
	starts int // of PowerShell
}

func newBench(t testing.TB, cfg hypervsim.Config) *bench {
	t.Helper()
	return newBenchAt(t, cfg, t.TempDir())
}

// newBenchAt has the cache of images and an image in a folder, which benches may
// share.
func newBenchAt(t testing.TB, cfg hypervsim.Config, shared string) *bench {
	t.Helper()
	dir := t.TempDir()
	cfg.Home = filepath.Join(dir, "home")
	box, err := hypervsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	bin := filepath.Join(dir, "bin")
	write(t, filepath.Join(bin, "powershell.exe"), "", 0o755)
	disk := filepath.Join(shared, "disk.raw")
	if _, err := os.Stat(disk); err != nil {
		write(t, disk, strings.Repeat("\x00", 510)+"\x55\xaa"+strings.Repeat("\x00", 1<<20-512), 0o644)
	}
	b := &bench{
		Box: box, t: t, home: cfg.Home, cache: filepath.Join(shared, "cache"),
		values: drivers.Values{"hyperv-image": {disk}},
		vars:   map[string]string{"PATH": bin, "HOME": dir},
	}
	b.world = world{
		os: "linux", arch: "amd64",
		start: func(string) (*process, error) { return b.start() },
		run: func(context.Context, string, ...string) (string, error) {
			return "", errors.New("there are no other programs")
		},
		look: func(string) (string, error) { return "", os.ErrNotExist },
		pace: wait.Pace{First: time.Millisecond, Most: 10 * time.Millisecond}, patience: 20 * time.Second,
	}
	return b
}

// start is a PowerShell in this process.
func (b *bench) start() (*process, error) {
	b.mu.Lock()
	b.starts++
	b.mu.Unlock()
	inReader, in := io.Pipe()
	out, outWriter := io.Pipe()
	result := make(chan error, 1)
	kill := sync.OnceFunc(func() {
		_ = inReader.CloseWithError(errors.New("killed"))
		_ = outWriter.CloseWithError(io.EOF)
	})
	go func() {
		result <- b.Serve(context.Background(), inReader, outWriter)
		kill()
	}()
	b.t.Cleanup(kill)
	return &process{in: in, out: out, kill: kill, wait: func() error { return <-result }}, nil
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
		all["hyperv-"+pairs[i]] = []string{pairs[i+1]}
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

// changes returns the operations since the beginning, but for questions.
func (b *bench) changes() []hypervsim.Request {
	b.t.Helper()
	all, err := b.Calls()
	if err != nil {
		b.t.Fatal(err)
	}
	var some []hypervsim.Request
	for _, q := range all {
		switch q.Op {
		case "listMachines", "listSwitches", "probe", "nameServers":
		default:
			some = append(some, q)
		}
	}
	return some
}

// tester is a machine and what a store would hold of it.
type tester struct {
	*bench
	factory drivers.Factory
	env     drivers.Env
	config  json.RawMessage
	state   json.RawMessage
	notes   []string
}

func (b *bench) machine(name string, values drivers.Values) *tester {
	b.t.Helper()
	f := factory(b.world)
	config, _, err := f.Configure(values)
	if err != nil {
		b.t.Fatal(err)
	}
	m := &tester{bench: b, factory: f, env: b.env(), config: config}
	m.env.Machine, m.env.Dir = name, filepath.Join(b.t.TempDir(), name)
	m.env.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	m.env.Note = func(_ context.Context, text string) { m.notes = append(m.notes, text) }
	if err := os.MkdirAll(m.env.Dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (m *tester) open() *driver {
	m.t.Helper()
	d, err := m.factory.Open(m.config, nil, m.state, func(s json.RawMessage) error {
		m.state = s
		return nil
	}, m.env)
	if err != nil {
		m.t.Fatal(err)
	}
	return d.(*driver)
}

func (m *tester) create() {
	m.t.Helper()
	if err := m.open().Create(m.t.Context(), birth(m.t)); err != nil {
		m.t.Fatalf("%v (%s)", err, hintOf(err))
	}
}

func (m *tester) status() drivers.Status {
	m.t.Helper()
	s, err := m.open().Status(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *tester) remove() {
	m.t.Helper()
	if err := m.open().Remove(m.t.Context()); err != nil {
		m.t.Fatalf("%v (%s)", err, hintOf(err))
	}
}

func (m *tester) recorded() State {
	m.t.Helper()
	var s State
	if err := json.Unmarshal(m.state, &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// noted tells whether a note with some words was given.
func (m *tester) noted(words string) bool {
	return strings.Contains(strings.Join(m.notes, "\n"), words)
}

func birth(t testing.TB) drivers.CreateRequest {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return drivers.CreateRequest{
		AuthorizedKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGnxtUtVRuhEYl8xLpsnLdlZqVMbLPmTKEyzJOyYfHBl machine",
		HostKey:       pem.EncodeToMemory(block),
	}
}

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
