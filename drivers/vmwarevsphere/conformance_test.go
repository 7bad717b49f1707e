package vmwarevsphere

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

const testStore = "0123456789abcdef"

// cloud is a vCenter for one test.
type cloud struct {
	*vspheresim.Cloud
	gate   *sim.Gate
	hosts  *host.Memory
	url    string
	thumb  string
	values drivers.Values
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	hosts := host.NewMemory()
	vc, err := vspheresim.New(vspheresim.Config{Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vc.Close)
	gate := sim.NewGate(vc)
	server := httptest.NewTLSServer(gate)
	t.Cleanup(server.Close)
	c := &cloud{Cloud: vc, gate: gate, hosts: hosts, url: server.URL, thumb: soap.ThumbprintSHA256(server.Certificate())}
	c.values = drivers.Values{
		"vmwarevsphere-vcenter":    {server.URL},
		"vmwarevsphere-username":   {vspheresim.Username},
		"vmwarevsphere-password":   {vspheresim.Password},
		"vmwarevsphere-thumbprint": {c.thumb},
		"vmwarevsphere-clone-from": {vspheresim.Template},
		"vmwarevsphere-datastore":  {vspheresim.Datastore},
		"vmwarevsphere-network":    {vspheresim.Network},
	}
	return c
}

// with returns the cloud's options and others.
func (c *cloud) with(more drivers.Values) drivers.Values {
	all := maps.Clone(c.values)
	maps.Copy(all, more)
	return all
}

func testFactory() drivers.Factory {
	return factory(wait.Pace{First: 5 * time.Millisecond, Most: 20 * time.Millisecond})
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

func world(t testing.TB, c *cloud, more drivers.Values) drivertest.World {
	t.Helper()
	ours := func(r sim.Resource) bool {
		// The files of a virtual machine are deleted by a task that outlives the deletion.
		return r.Tags[markStore] == testStore || r.Kind == vspheresim.KindFile && strings.Contains(r.ID, "] machine-")
	}
	list := func(keep func(sim.Resource) bool) []string {
		var all []string
		for _, r := range c.Ledger() {
			if keep(r) {
				all = append(all, r.Kind+"/"+r.ID)
			}
		}
		return all
	}
	return drivertest.World{
		Factory: testFactory(),
		Values:  c.with(more),
		Env:     drivers.Env{StoreID: testStore, Creator: "test/1"},
		Request: request(t),
		Bad: map[string][]string{
			"vmwarevsphere-vcenter":          {"ftp://vcenter"},
			"vmwarevsphere-thumbprint":       {"aa:bb"},
			"vmwarevsphere-ip":               {"192.0.2.1"},
			"vmwarevsphere-gateway":          {"192.0.2.1"},
			"vmwarevsphere-cfgparam":         {"guestinfo.userdata.encoding=base64"},
			"vmwarevsphere-custom-attribute": {"novalue"},
			"vmwarevsphere-tag":              {"machine-store=x"},
			"vmwarevsphere-insecure":         {"true"},
		},
		Refused: map[string]drivers.Values{
			"wrong password":     {"vmwarevsphere-password": {"wrong"}},
			"no such template":   {"vmwarevsphere-clone-from": {"nothing"}, "vmwarevsphere-creation-type": {"template"}},
			"no such datastore":  {"vmwarevsphere-datastore": {"nowhere"}},
			"no such network":    {"vmwarevsphere-network": {"nonet"}},
			"no such pool":       {"vmwarevsphere-pool": {"nopool"}},
			"no such folder":     {"vmwarevsphere-folder": {"nofolder"}},
			"no such host":       {"vmwarevsphere-hostsystem": {"nohost"}},
			"other certificate":  {"vmwarevsphere-thumbprint": {strings.Repeat("aa:", 31) + "aa"}},
			"unknown authority":  {"vmwarevsphere-thumbprint": {""}},
			"no such tag":        {"vmwarevsphere-tag": {"notag"}},
			"no such attribute":  {"vmwarevsphere-custom-attribute": {"noattribute=x"}},
			"no such policy":     {"vmwarevsphere-storage-policy": {"nopolicy"}},
			"no such datacenter": {"vmwarevsphere-datacenter": {"DC9"}},
		},
		Spoil: map[string]any{
			"CloneFrom": "", "CreationType": "?", "Datastore": "gone", "Networks": []string{"gone"}, "Folder": "gone",
			"Pool": "gone", "Datacenter": "gone", "DiskSize": -1, "IP": []string{"x"},
		},
		Resources: func(context.Context) ([]string, error) { return list(ours), nil },
		Foreign: func(context.Context) ([]string, error) {
			return list(func(r sim.Resource) bool { return r.Kind == vspheresim.KindVM && !ours(r) }), nil
		},
		Vanish: func(_ context.Context, resource string) error {
			kind, id, _ := strings.Cut(resource, "/")
			return c.Vanish(kind, id)
		},
		Plant:   func(ctx context.Context, machine string) error { return c.plant(ctx, machine) },
		Observe: c.gate.Observe,
	}
}

// plant makes a virtual machine that looks like one of ours.
func (c *cloud) plant(ctx context.Context, machine string) error {
	config, secrets, err := testFactory().Configure(c.values)
	if err != nil {
		return err
	}
	d, err := testFactory().Open(config, secrets, nil, func(json.RawMessage) error { return nil }, drivers.Env{Machine: machine, StoreID: "another", Creator: "test/1"})
	if err != nil {
		return err
	}
	return d.Create(ctx, drivers.CreateRequest{AuthorizedKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1b4Y9cQ8h0hJ5Jq1yQx1Hd0aX6mS5pJtYp3b9m0zZk test"})
}

// clouds lends each test its cloud again once it is empty, as a vCenter takes
// long to build and a check wants hundreds, one after the other.
type clouds struct {
	mu   sync.Mutex
	last map[testing.TB]*cloud
}

func (p *clouds) take(t testing.TB) *cloud {
	p.mu.Lock()
	c := p.last[t]
	p.mu.Unlock()
	if c != nil && len(c.Ledger()) == 0 {
		return c
	}
	c = newCloud(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[t] = c
	return c
}

func TestConformance(t *testing.T) {
	t.Parallel()
	pool := &clouds{last: map[testing.TB]*cloud{}}
	drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World { return world(t, pool.take(t), nil) }})
}

// TestWays plays a life, and crashes, of machines that are made in the other ways.
func TestWays(t *testing.T) {
	t.Parallel()
	iso := filepath.Join(t.TempDir(), "boot.iso")
	if err := os.WriteFile(iso, []byte("an ISO"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]drivers.Values{
		"iso":     {"vmwarevsphere-boot2docker-url": {iso}, "vmwarevsphere-clone-from": nil},
		"library": {"vmwarevsphere-content-library": {vspheresim.Library}, "vmwarevsphere-clone-from": {vspheresim.LibraryItem}},
		"ova":     {"vmwarevsphere-ova": {appliance(t)}, "vmwarevsphere-clone-from": nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashes(t, more)
		})
	}
}

// crashes interrupts creates and removes of one machine at each call that
// changes something, which is what the suite does with all calls.
func crashes(t *testing.T, more drivers.Values) {
	c := newCloud(t)
	for n := 1; ; n++ {
		m := newMachine(t, c, c.with(more), "m1")
		c.gate.Observe(func(k int, done bool) error {
			if k == n && done {
				return errors.New("the answer was lost")
			}
			return nil
		})
		err := m.open().Create(t.Context(), request(t))
		c.gate.Observe(nil)
		undisturbed := err == nil
		if err := m.open().Create(t.Context(), request(t)); err != nil {
			t.Fatalf("answer %d lost: create again: %v", n, err)
		}
		if got := c.machines(); len(got) != 1 || got[0].Name != "m1" {
			t.Fatalf("answer %d lost: got machines %v, want one", n, got)
		}
		if s, err := m.open().Status(t.Context()); err != nil || s.State != drivers.Running || s.Host == "" {
			t.Fatalf("answer %d lost: got %+v, %v", n, s, err)
		}
		if err := m.open().Remove(t.Context()); err != nil {
			t.Fatalf("answer %d lost: remove: %v", n, err)
		}
		if got := c.machines(); len(got) != 0 {
			t.Fatalf("answer %d lost: remove left %v", n, got)
		}
		if undisturbed {
			return
		}
	}
}
