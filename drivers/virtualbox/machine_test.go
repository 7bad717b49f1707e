package virtualbox

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

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
	vmtest.Write(t, filepath.Join(bin, "VBoxManage"), "", 0o755)
	b := &bench{
		Box: box, t: t, cache: filepath.Join(shared, "cache"),
		values: drivers.Values{"virtualbox-image": {vmtest.RawImage(t, shared)}},
		vars:   map[string]string{"PATH": bin, "HOME": dir, "VBOX_USER_HOME": cfg.Home},
	}
	var port atomic.Int32
	port.Store(50000)
	b.world = world{
		os: "linux", arch: "amd64", networks: filepath.Join(dir, "networks.conf"), leases: filepath.Join(dir, "dhcpd_leases"),
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
type testMachine = vmtest.Machine[*driver]

func (b *bench) machine(name string, values drivers.Values) *testMachine {
	b.t.Helper()
	return vmtest.NewMachine[*driver](b.t, factory(b.world), name, b.env(), values)
}

func saved(m *testMachine) State {
	m.T.Helper()
	var s State
	m.Read(&s)
	return s
}
