package hyperv

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

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
	vmtest.Write(t, filepath.Join(bin, "powershell.exe"), "", 0o755)
	b := &bench{
		Box: box, t: t, home: cfg.Home, cache: filepath.Join(shared, "cache"),
		values: drivers.Values{"hyperv-image": {vmtest.RawImage(t, shared)}},
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

// with returns the bench's options and others.
func (b *bench) with(pairs ...string) drivers.Values {
	return vmtest.With(Name, b.values, pairs...)
}

func (b *bench) env() drivers.Env {
	return drivers.Env{StoreID: vmtest.StoreID, Creator: "machine/1.0", Cache: b.cache, Getenv: func(key string) string { return b.vars[key] }}
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

// tester is what a store would hold of a machine.
type tester = vmtest.Machine[*driver]

func (b *bench) machine(name string, values drivers.Values) *tester {
	b.t.Helper()
	return vmtest.NewMachine[*driver](b.t, factory(b.world), name, b.env(), values)
}

func saved(m *tester) State {
	m.T.Helper()
	var s State
	m.Read(&s)
	return s
}
