package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// TestList has a machine of each kind that a list may meet.
func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "broken", "busy", "gone", "m2", "m10", "mute", "off", "half", "never")
	w.create(CreateRequest{Names: []string{"broken", "busy", "gone", "m2", "m10", "mute", "off"}, Engine: EngineOptions{Labels: []string{"tier=front"}}})
	m, ctx := w.manager(), t.Context()
	if err := m.Stop(ctx, []string{"off"}); err != nil {
		t.Fatal(err)
	}
	w.setenv(fake.EnvFail, "create-after")
	if _, err := m.Create(ctx, CreateRequest{Names: []string{"half"}, Driver: fake.Name}); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "create-before:quota")
	if _, err := m.Create(ctx, CreateRequest{Names: []string{"never"}, Driver: fake.Name}); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	w.hosts["mute"].setEngine(false)
	resources, err := w.provider.Resources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources {
		if r.Name == "gone" && r.Kind == fake.KindHost {
			if err := w.provider.Vanish(ctx, r.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(m.Store.MachineDir("broken"), "config.json"), []byte(`{"ConfigVersion":`), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := m.Store.Lock(ctx, "busy", "machine provision busy")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	url, err := m.URL(ctx, "m2")
	if err != nil {
		t.Fatal(err)
	}
	before := w.files()
	rows, err := m.List(ctx, ListRequest{DockerHost: url})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name          string
		state         State
		active        string
		version, says string
	}{
		{"broken", drivers.Error, "", "Unknown", "record cannot be read"},
		{"busy", drivers.Running, "-", "v28.5.2", ""},
		{"gone", drivers.Error, "-", "Unknown", "not found at the provider"},
		{"half", drivers.Running, "-", "Unknown", "unfinished (pending): create host: create-after: injected fault"},
		{"m2", drivers.Running, "*", "v28.5.2", ""},
		{"m10", drivers.Running, "-", "v28.5.2", ""},
		{"mute", drivers.Running, "-", "Unknown", "Unable to query docker version: "},
		{"never", drivers.Error, "-", "Unknown", "unfinished (pending): create host: create-before: quota exhausted"},
		{"off", drivers.Stopped, "-", "Unknown", ""},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	for i, r := range rows {
		x := want[i]
		if r.Name != x.name || r.State != x.state || r.Active != x.active || r.DockerVersion != x.version || !strings.Contains(r.Error, x.says) || (x.says == "") != (r.Error == "") || strings.Contains(r.Error, "\n") {
			t.Errorf("got %+v, want %+v", r, x)
		}
		if running := r.State == drivers.Running; running != (r.URL != "") {
			t.Errorf("%s: URL %q", r.Name, r.URL)
		}
	}
	for path, data := range w.files() {
		if before[path] != data {
			t.Errorf("ls wrote %s", path)
		}
	}
	for _, tt := range []struct {
		filters []string
		want    string
	}{
		{[]string{"state=stopped"}, "off"},
		{[]string{"state=Error"}, "broken gone never"},
		{[]string{"state=running", "name=^m"}, "m2 m10 mute"},
		{[]string{"label=tier=FRONT", "name=o"}, "gone off"},
		{[]string{"driver=fake", "name=^b"}, "busy"},
		{[]string{"swarm=none"}, ""},
	} {
		got, err := m.Match(ctx, tt.filters)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.filters, got, err, tt.want)
		}
	}
	names, err := m.List(ctx, ListRequest{NamesOnly: true})
	if err != nil || len(names) != len(want) || names[4].Name != "m2" {
		t.Errorf("names %+v, %v", names, err)
	}
}

func TestListOfASlowProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.create(CreateRequest{Names: []string{"m1", "m2"}})
	w.setenv(fake.EnvDelay, "1h")
	m := w.manager()
	start := time.Now()
	rows, err := m.List(t.Context(), ListRequest{Timeout: 200 * time.Millisecond})
	if err != nil || len(rows) != 2 || time.Since(start) > time.Minute {
		t.Fatalf("rows %+v, %v after %s", rows, err, time.Since(start))
	}
	for _, r := range rows {
		if r.State != drivers.Timeout || r.Error != "" || r.DockerVersion != "Unknown" || r.Active != "" {
			t.Errorf("row %+v", r)
		}
	}
	if _, err := m.Active(t.Context(), "tcp://127.0.0.1:1", 200*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || ReasonOf(err).ID != "TIMED_OUT" {
		t.Errorf("active: %v", err)
	}
}

func TestInterruptedListSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	w.setenv(fake.EnvDelay, "1h")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	rows, err := w.manager().List(ctx, ListRequest{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("rows %+v, %v", rows, err)
	}
}

// TestInspect demands what clients of docker-machine read.
func TestInspect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true}, SANs: []string{"m1.example"}, Options: drivers.Values{"fake-secret": {"s3cr3t"}}})
	m := w.manager()
	raw, err := m.Inspect(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ConfigVersion int
		Name          string
		DriverName    string
		Driver        struct {
			MachineName, IPAddress, SSHUser, SSHKeyPath, StorePath, Size string
			SSHPort                                                      int
			SwarmMaster                                                  bool
		}
		DriverState struct{ Host string }
		HostOptions struct {
			EngineOptions struct{ TlsVerify bool } //nolint:revive // docker-machine's name
			SwarmOptions  struct{ IsSwarm, Master bool }
			AuthOptions   struct {
				CertDir, CaCertPath, CaPrivateKeyPath, ServerCertPath, ServerKeyPath, ClientKeyPath, ClientCertPath, StorePath string
				ServerCertSANs                                                                                                 []string
			}
		}
		Phase   store.Phase
		Address store.Address
		Swarm   store.Swarm `json:"SwarmMode"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	dir := m.Store.MachineDir("m1")
	d, a := got.Driver, got.HostOptions.AuthOptions
	if got.ConfigVersion != 4 || got.Name != "m1" || got.DriverName != fake.Name || got.Phase != store.Ready || got.Swarm.Role != "manager" || got.Address != w.record("m1").Address {
		t.Errorf("%s", raw)
	}
	if d.MachineName != "m1" || d.IPAddress != "127.0.0.1" || d.SSHUser != "root" || d.SSHPort != w.hosts["m1"].sshPort || d.SSHKeyPath != filepath.Join(dir, newKeyFile) || d.StorePath != w.dir || d.Size != "small" || !d.SwarmMaster {
		t.Errorf("driver %+v", d)
	}
	if !got.HostOptions.EngineOptions.TlsVerify || !got.HostOptions.SwarmOptions.IsSwarm || !got.HostOptions.SwarmOptions.Master || len(a.ServerCertSANs) != 1 {
		t.Errorf("%+v", got.HostOptions)
	}
	if got.DriverState.Host == "" {
		t.Errorf("It does not tell the host's id: %s", raw)
	}
	if a.StorePath != dir {
		t.Errorf("StorePath %q", a.StorePath)
	}
	for _, path := range []string{a.CertDir, a.CaCertPath, a.CaPrivateKeyPath, a.ServerCertPath, a.ServerKeyPath, a.ClientKeyPath, a.ClientCertPath, d.SSHKeyPath,
		filepath.Join(a.StorePath, "ca.pem"), filepath.Join(a.StorePath, "cert.pem"), filepath.Join(a.StorePath, "key.pem")} {
		if _, err := os.Stat(path); err != nil || !filepath.IsAbs(path) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if strings.Contains(string(raw), "s3cr3t") {
		t.Errorf("a secret is shown: %s", raw)
	}
	// A provider that does not answer costs only what it alone knows.
	w.setenv(fake.EnvFail, "status:unreachable")
	if again, err := m.Inspect(t.Context(), "m1"); err != nil || !strings.Contains(string(again), `"IPAddress":"127.0.0.1"`) {
		t.Errorf("%s, %v", again, err)
	}
}

// named is the fake driver under another name.
type named struct {
	drivers.Factory
	name string
}

func (n named) Name() string { return n.name }

func TestDefaultDriver(t *testing.T) {
	t.Parallel()
	ok := fake.New(fake.Memory())
	for what, tt := range map[string]struct {
		env       string
		old       bool
		table     drivers.Table
		want, why string
	}{
		"named":          {"nimbus", true, nil, "nimbus", "MACHINE_DRIVER names it"},
		"docker-machine": {"", true, drivers.Table{named{ok, "docker"}}, "virtualbox", "docker-machine's default"},
		"the first":      {"", false, drivers.Table{named{ok, "qemu"}, named{ok, "docker"}}, "docker", "its check passes"},
		"the next":       {"", false, drivers.Table{named{broken(), "docker"}, named{ok, "qemu"}}, "qemu", "docker: provider not reachable"},
		"none":           {"", false, drivers.Table{named{broken(), "docker"}, ok}, "", ""},
	} {
		w := newWorld(t)
		w.setenv("MACHINE_DRIVER", tt.env)
		m := w.manager()
		m.Drivers = tt.table
		name, why, err := m.DefaultDriver(t.Context(), tt.old)
		if name != tt.want || !strings.Contains(why, tt.why) || (err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %q, %v", what, name, why, err)
		}
		if err != nil && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "docker: provider not reachable")) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was written: %v", what, err)
		}
	}
}

// Of a machine whose record alone can be read, the list shows what is in it, and the error.
func TestRowOfMachineWithUnreadFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	e := store.Entry{Name: "m1", Record: store.Record{Name: "m1", DriverName: "amazonec2", Swarm: store.Swarm{Name: "prod"}}, Err: store.ErrSealed}
	row := w.manager().row(t.Context(), e, nil, true, "")
	if row.State != drivers.Error || row.DriverName != "amazonec2" || row.Swarm != "prod" || row.Error != store.ErrSealed.Error() {
		t.Errorf("Got %+v", row)
	}
}
