package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// provider is one of the clouds that the suites run on.
type provider struct {
	name     string   // what the simulator is called
	config   string   // of the simulator, as JSON
	driver   string   // what machine's driver is called
	instance string   // the kind of resource that a host is
	flags    []string // for create
	stays    bool     // a host keeps its address when it is stopped
	denied   string   // the code with which it refuses who may not do something
	firewall bool     // it has one before each host

	program string // of a hypervisor of this computer: what is in front of it,
	source  string // where that is built from,
	image   []byte // and a disk that it can read
}

// providers returns all of them, in the order of their use.
func providers() []provider {
	return []provider{
		{name: "ec2", driver: "amazonec2", instance: "instance", denied: "UnauthorizedOperation", firewall: true},
		{name: "azure", driver: "azure", instance: "virtualMachines", stays: true, denied: "AuthorizationFailed", firewall: true},
		{name: "vsphere", driver: "vmwarevsphere", instance: "vm", stays: true},
	}
}

// azureOfFakes is an Azure that is built on the SDK's fake servers, whose answers
// have no more than the SDK's models demand.
func azureOfFakes() provider {
	for _, p := range providers() {
		if p.name == "azure" {
			p.config = `{"Fakes": {"Sparse": true}}`
			return p
		}
	}
	panic("no Azure")
}

// onEachCloud runs a test once for each provider that the program has a driver
// for, and for more.
func onEachCloud(t *testing.T, test func(t *testing.T, p provider), more ...provider) {
	t.Helper()
	t.Parallel()
	needEngines(t)
	for _, p := range append(providers(), more...) {
		name := p.name
		if p.config != "" {
			name += " of fakes"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// cloud is a simulated provider in a process of its own.
type cloud struct {
	t       *testing.T
	process *exec.Cmd
	ready   struct {
		Control string            `json:"control"`
		Env     map[string]string `json:"env"`
		Private netip.Prefix      `json:"private"` // range of the hosts' private addresses
	}
}

// resource is an entry of a provider's ledger.
type resource struct {
	Kind, ID, Name string
	Tags           map[string]string
}

// spoil is a fault of calls to the provider.
type spoil struct {
	Action string `json:"action"`
	Nth    int    `json:"nth"`
	Times  int    `json:"times,omitempty"`
	Mode   string `json:"mode"`
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	Text   string `json:"text,omitempty"`
}

// simulator builds the program of the clouds once.
var simulator = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "sim")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", path, "./e2e/sim/cmd")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the clouds: %w\n%s", err, out)
	}
	return path, nil
})

// booting has clouds begin one after the other: the first one builds the image
// of the hosts.
var booting sync.Mutex

// newCloud starts a provider, with hosts that are "docker" containers or exist
// in "memory" only. At the end of the test nothing may be left there.
func newCloud(t *testing.T, p provider, hosts string) *cloud {
	t.Helper()
	path, err := simulator()
	if err != nil {
		t.Fatal(err)
	}
	booting.Lock()
	defer booting.Unlock()
	dir := t.TempDir()
	c := &cloud{t: t}
	c.process = exec.CommandContext(context.Background(), path, "-provider", p.name, "-hosts", hosts, "-dir", dir, "-config", cmp.Or(p.config, "{}"))
	var printed bytes.Buffer
	c.process.Stdout, c.process.Stderr = &printed, &printed
	if _, err := c.process.StdinPipe(); err != nil { // whose end is the cloud's end, if these tests are killed
		t.Fatal(err)
	}
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.process.Wait() }()
	t.Cleanup(func() {
		_ = c.process.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil || t.Failed() {
			t.Logf("the cloud ended: %v\n%s", err, printed.String())
		}
	})
	eventually(t, 5*time.Minute, func() error { // an image may have to be built
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the cloud ended: %v\n%s", err, printed.String())
		default:
		}
		content, err := os.ReadFile(filepath.Join(dir, "ready.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(content, &c.ready)
	})
	return c
}

// newCloudFleet starts a provider and a fleet whose commands know it.
func newCloudFleet(t *testing.T, p provider, hosts string) (*cloud, *fleet) {
	t.Helper()
	c := newCloud(t, p, hosts)
	t.Cleanup(func() { // after the fleet's, which removes all machines
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("Left at the provider: %v", left)
		}
	})
	f := newFleet(t)
	for k, v := range c.ready.Env {
		f.extra = append(f.extra, k+"="+v)
	}
	if p.local() {
		f.equip(p)
		t.Cleanup(func() { c.noProcesses(p) })
	}
	t.Cleanup(c.clear) // before the fleet's
	return c, f
}

// create is the command line that makes machines there.
func (p provider) create(args ...string) []string {
	return slices.Concat([]string{"create", "-d", p.driver}, p.flags, args)
}

// ask speaks to the simulator itself, not to the provider that it simulates.
func (c *cloud) ask(method, path string, body, answer any) {
	c.t.Helper()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.ready.Control+path, content)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		c.t.Fatalf("%s %s: %s, %v: %s", method, path, resp.Status, err, text)
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
}

// ledger returns all that exists at the provider and was not there in the beginning.
func (c *cloud) ledger() (all []resource) {
	c.t.Helper()
	c.ask("GET", "/ledger", nil, &all)
	return all
}

// count returns how many resources of a kind there are.
func (c *cloud) count(kind string) (n int) {
	c.t.Helper()
	for _, r := range c.ledger() {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// calls returns how many calls there were.
func (c *cloud) calls() (n int) { c.t.Helper(); return c.callsOf("") }

// callsOf returns how many calls of a kind there were.
func (c *cloud) callsOf(action string) (n int) {
	c.t.Helper()
	all := map[string]int{}
	c.ask("GET", "/calls", nil, &all)
	return all[action]
}

func (c *cloud) inject(s spoil) { c.t.Helper(); c.ask("POST", "/faults", s, nil) }
func (c *cloud) clear()         { c.t.Helper(); c.ask("DELETE", "/faults", nil, nil) }
func (c *cloud) held() bool {
	c.t.Helper()
	var h any
	c.ask("GET", "/held", nil, &h)
	return strings.Contains(fmt.Sprint(h), "true")
}

// admits tells whether a host's firewall lets an address in to a port, such as tcp/22.
func (c *cloud) admits(host, from, port string) (yes bool) {
	c.t.Helper()
	protocol, number, _ := strings.Cut(port, "/")
	q := url.Values{"host": {host}, "from": {from}, "protocol": {protocol}, "port": {number}}
	c.ask("GET", "/admits?"+q.Encode(), nil, &yes)
	return yes
}

func (c *cloud) vanish(r resource) {
	c.t.Helper()
	c.ask("POST", "/vanish", map[string]string{"kind": r.Kind, "id": r.ID}, nil)
}

// phase is how far the record says that a machine has come.
func (f *fleet) phase(name string) string {
	content, err := os.ReadFile(f.path(name, "config.json"))
	if err != nil {
		return ""
	}
	var record struct{ Phase string }
	if json.Unmarshal(content, &record) != nil {
		return ""
	}
	return record.Phase
}

// until starts a command and kills it when there says so. It returns whether the
// command was killed before its end.
func (f *fleet) until(there func() bool, args ...string) (killed bool, r result) {
	f.t.Helper()
	p := f.start(f.t.Context(), args...)
	if p.err != nil {
		f.t.Fatal(p.err)
	}
	done := make(chan result, 1)
	go func() { done <- p.wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case r := <-done: // a provider may have killed it
			return there() && r.code < 0, r
		case <-tick.C:
			if there() {
				_ = p.cmd.Process.Kill()
				return true, <-done
			}
		}
	}
}
