package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/store"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	var phases []string
	w.hooks(nil, func(what string) error {
		if p, ok := strings.CutPrefix(what, "put record, "); ok && !slices.Contains(phases, p) {
			phases = append(phases, p)
		}
		return nil
	})
	got := w.create(CreateRequest{Names: []string{"m1"}, SANs: []string{"m1.example"}, Options: drivers.Values{"fake-seed-host-key": {"true"}}})[0]
	w.hooks(nil, nil)
	rec := w.record("m1")
	if got.URL != "tcp://127.0.0.1:"+strings.TrimPrefix(got.URL, "tcp://127.0.0.1:") || got.IP != "127.0.0.1" || got.Engine != "28.5.2" || got.Driver != fake.Name || got.Resumed {
		t.Errorf("result %+v", got)
	}
	if got.Trips != 2 {
		t.Errorf("%d SSH round trips, want 2: a probe and a script", got.Trips)
	}
	if want := []string{"pending", "created", "provisioned", "ready"}; !slices.Equal(phases, want) {
		t.Errorf("phases on disk %v, want %v", phases, want)
	}
	if rec.Phase != store.Ready || rec.Problem != nil || rec.SSH.HostKey != "seeded" || rec.Address.Peer != "10.0.1.1" {
		t.Errorf("record %+v", rec)
	}
	if want := []string{"10.0.1.1", "127.0.0.1", "m1", "m1.example"}; !slices.Equal(rec.Installed.Hosts, want) {
		t.Errorf("certificate for %v, want %v", rec.Installed.Hosts, want)
	}
	if err := w.answers("m1"); err != nil {
		t.Errorf("engine: %v", err)
	}
	if n := w.hosts["m1"].sshd.Connections(); n != 1 {
		t.Errorf("%d SSH connections, want 1", n)
	}
	if text := strings.Join(w.notes.text, "\n"); strings.Contains(text, "pinned") {
		t.Errorf("a seeded host key was pinned: %s", text)
	}
	if _, ok := w.files()["machines/m1/"+hostKeyFile]; ok {
		t.Error("the host's private key is kept, though the host has it")
	}
	if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name}); !errors.Is(err, store.ErrExist) {
		t.Errorf("create again: %v", err)
	}
}

func TestStoreIsPrivateAndHoldsNoSecretInTheOpen(t *testing.T) {
	t.Parallel()
	const token = "s3cr3t-of-the-provider"
	w := newWorld(t, "m1", "w1")
	options := drivers.Values{"fake-secret": {token}}
	w.create(CreateRequest{Names: []string{"m1"}, Options: options, Swarm: SwarmOptions{Master: true}, UserData: []byte("#cloud-config\n")})
	w.create(CreateRequest{Names: []string{"w1"}, Options: options, Swarm: SwarmOptions{IsSwarm: true}})
	if _, _, err := w.manager().SwarmRotateTokens(t.Context(), RotateTokensRequest{Swarm: "m1"}); err != nil {
		t.Fatal(err)
	}
	managers, workers := w.hosts["m1"].engine.Tokens()
	said := w.log.String() + strings.Join(w.notes.text, "\n") + strings.Join(w.steps, "\n")
	hidden := func(secret string, may ...string) {
		t.Helper()
		if strings.Contains(said, secret) {
			t.Errorf("%q is in the log, a note or a step", secret)
		}
		found := false
		for path, data := range w.files() {
			if !strings.Contains(data, secret) {
				continue
			}
			found = true
			if !slices.Contains(may, filepath.Base(path)) {
				t.Errorf("%q is in %s", secret, path)
			}
		}
		if !found && len(may) > 0 {
			t.Errorf("%q is nowhere: the test does not know what it looks for", secret)
		}
	}
	hidden(token, "secrets.json")
	hidden("PRIVATE KEY", caKeyFile, keyFile, serverKeyFile, newKeyFile)
	hidden(managers)
	hidden(workers)
	hidden("SWMTKN")
	for path, data := range w.files() {
		if strings.Contains(data, w.dir) {
			t.Errorf("%s holds the store's path: the store cannot be moved", path)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && !strings.HasSuffix(path, ".lock") {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDifferentOptionsAreNamed asks for an unfinished machine with other options.
func TestDifferentOptionsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "s1")
	w.swarm([]string{"s1"}, nil)
	first := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, UserData: []byte("#cloud-config\n"), Engine: EngineOptions{Labels: []string{"tier=a"}, Env: []string{"PASSWORD=hunter2"}}}
	w.setenv(fake.EnvFail, "create-after")
	if _, err := w.manager().Create(t.Context(), first); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	for flag, change := range map[string]func(*CreateRequest){
		"--fake-size: small → large": func(r *CreateRequest) { r.Options = drivers.Values{"fake-size": {"large"}} },
		"--driver: fake → generic": func(r *CreateRequest) {
			r.Driver, r.Options, r.UserData = "generic", drivers.Values{"generic-ip-address": {"192.0.2.1"}}, nil
		},
		"--engine-label":         func(r *CreateRequest) { r.Engine.Labels = nil },
		"--engine-env":           func(r *CreateRequest) { r.Engine.Env = []string{"PASSWORD=hunter3"} },
		"--engine-version":       func(r *CreateRequest) { r.Engine.Version = "28" },
		"--engine-port":          func(r *CreateRequest) { r.Engine.Port = 2378 },
		"--swarm":                func(r *CreateRequest) { r.Swarm.IsSwarm = true },
		"--swarm-master":         func(r *CreateRequest) { r.Swarm.Master = true },
		"--swarm-advertise-addr": func(r *CreateRequest) { r.Swarm = SwarmOptions{IsSwarm: true, Advertise: "10.0.0.9"} },
		"--userdata":             func(r *CreateRequest) { r.UserData = []byte("#cloud-config\n# other\n") },
		"--tls-san":              func(r *CreateRequest) { r.SANs = []string{"m1.example"} },
	} {
		before := w.files()
		req := first
		change(&req)
		got, err := w.manager().Create(t.Context(), req)
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), flag) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: got %v", flag, err)
		}
		if len(got) != 1 || got[0].ReasonID != "MACHINE_DIFFERS" {
			t.Errorf("%s: result %+v", flag, got)
		}
		if _, err := w.manager().PlanCreate(t.Context(), req); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: plan: %v", flag, err)
		}
		if after := w.files()["machines/m1/config.json"]; after != before["machines/m1/config.json"] {
			t.Errorf("%s: the record was changed", flag)
		}
	}
	got := w.create(first)
	if !got[0].Resumed {
		t.Errorf("result %+v, want a resumed one", got)
	}
}

func TestCheckThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, remove := range []bool{false, true} {
		w := newWorld(t, "m1")
		w.setenv(fake.EnvFail, "check:quota")
		got, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, RemoveOnFailure: remove})
		if !errors.Is(err, ErrCheck) || !errors.Is(err, drivers.ErrQuota) || ReasonOf(err).Exit != ExitCheck || got[0].ReasonID != "PROVIDER_QUOTA" {
			t.Errorf("got %+v, %v", got, err)
		}
		for path := range w.files() {
			if strings.HasPrefix(path, "machines/") {
				t.Errorf("left %s", path)
			}
		}
		if slices.ContainsFunc(w.notes.text, func(n string) bool { return strings.Contains(n, "removed") }) {
			t.Errorf("something that was not made was removed: %q", w.notes.text)
		}
	}
}

// TestOneOfSeveralFails has one host that cannot be made; the others get ready.
func TestOneOfSeveralFails(t *testing.T) {
	t.Parallel()
	for _, remove := range []bool{false, true} {
		w := newWorld(t, "m1", "m2", "m3")
		if err := w.provider.Plant(t.Context(), fake.Resource{Kind: fake.KindHost, Name: "m2", State: drivers.Running}); err != nil {
			t.Fatal(err)
		}
		got, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1", "m2", "m3"}, Driver: fake.Name, RemoveOnFailure: remove})
		var named *MachineError
		if !errors.Is(err, drivers.ErrConflict) || !errors.As(err, &named) || named.Machine != "m2" || strings.Contains(err.Error(), "m1") {
			t.Errorf("got %v", err)
		}
		for i, r := range got {
			if failed := i == 1; failed != (r.Error != "") || failed != (r.URL == "") || failed != (r.ReasonID == "PROVIDER_CONFLICT") {
				t.Errorf("result %+v", r)
			}
		}
		for _, name := range []string{"m1", "m3"} {
			if w.record(name).Phase != store.Ready {
				t.Errorf("%s: %+v", name, w.record(name))
			}
		}
		rec, err := w.manager().Store.Get("m2")
		if hosts, all := w.made(); hosts != 3 || remove && all != 5 {
			t.Errorf("remove on failure %v: %d hosts, %d resources", remove, hosts, all)
		}
		switch {
		case remove && !errors.Is(err, store.ErrNotExist):
			t.Errorf("m2 after --rm-on-failure: %+v, %v", rec, err)
		case !remove && (err != nil || rec.Phase != store.Pending || rec.Problem == nil || rec.Problem.Reason != "PROVIDER_CONFLICT"):
			t.Errorf("m2: %+v, %v", rec, err)
		}
	}
}

// broken is a driver that cannot be opened, and says so only then.
func broken() drivers.Factory {
	type none struct{}
	return drivers.Define("broken", "cannot be opened", func() none { return none{} },
		func(none, *drivers.Durable[none], drivers.Env) (drivers.Driver, error) {
			return nil, drivers.ErrUnreachable
		})
}

func TestDriverThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager()
	m.Drivers = drivers.Table{broken()}
	_, err := m.Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: "broken", RemoveOnFailure: true})
	if !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if names, err := m.Names(); len(names) > 0 || err != nil {
		t.Errorf("left %v, %v", names, err)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	for what, tt := range map[string]struct {
		req  CreateRequest
		want error
	}{
		"no name":             {CreateRequest{Driver: fake.Name}, ErrUsage},
		"a name twice":        {CreateRequest{Names: []string{"m1", "m1"}, Driver: fake.Name}, ErrUsage},
		"a bad name":          {CreateRequest{Names: []string{"../m1"}, Driver: fake.Name}, store.ErrName},
		"an unknown driver":   {CreateRequest{Names: []string{"m1"}, Driver: "nimbus"}, drivers.ErrUnknown},
		"an unknown option":   {CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-colour": {"red"}}}, drivers.ErrOption},
		"an engine option":    {CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Engine: store.EngineOptions{ArbitraryFlags: []string{"=x"}}}, provision.ErrOption},
		"a registry mirror":   {CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Engine: store.EngineOptions{RegistryMirror: []string{"x"}}}, provision.ErrOption},
		"user data, URL only": {CreateRequest{Names: []string{"m1"}, Driver: "url", Options: drivers.Values{"url": {"tcp://192.0.2.1:2376"}}, UserData: []byte("x")}, ErrUsage},
		"user data, own host": {CreateRequest{Names: []string{"m1"}, Driver: "generic", Options: drivers.Values{"generic-ip-address": {"192.0.2.1"}}, UserData: []byte("x")}, ErrUsage},
		"a worker, no swarm":  {CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{IsSwarm: true}}, ErrNoSwarm},
		"a bad swarm name":    {CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true, Name: "a/b"}}, store.ErrName},
		"an unknown swarm":    {CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{IsSwarm: true, Name: "s"}}, ErrNoSwarm},
		"a worker, two names": {CreateRequest{Names: []string{"m1", "w1"}, Driver: fake.Name, Swarm: SwarmOptions{IsSwarm: true}}, ErrNoSwarm},
	} {
		for name, do := range map[string]func(context.Context, CreateRequest) error{
			"create": func(ctx context.Context, r CreateRequest) error { _, err := w.manager().Create(ctx, r); return err },
			"plan":   func(ctx context.Context, r CreateRequest) error { _, err := w.manager().PlanCreate(ctx, r); return err },
		} {
			if err := do(t.Context(), tt.req); !errors.Is(err, tt.want) {
				t.Errorf("%s, %s: %v, want %v", name, what, err, tt.want)
			}
		}
	}
	if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestPlanCreateWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	planned, err := w.managerWith(&contexts{}).PlanCreate(t.Context(), CreateRequest{
		Names: []string{"m1", "m2"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true}, DockerContext: true,
	})
	if err != nil || len(planned) != 2 {
		t.Fatalf("got %+v, %v", planned, err)
	}
	for i, want := range []string{"initialise swarm m1", "join swarm m1 as a manager"} {
		if text := strings.Join(planned[i].Steps, "\n"); !strings.Contains(text, want) || !strings.Contains(text, "docker context") {
			t.Errorf("plan of %s:\n%s", planned[i].Machine, text)
		}
	}
	if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestLockedMachineNamesTheHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	other := w.manager()
	other.Command = "machine upgrade m1"
	held, err := other.locks().machine(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	m := w.manager()
	m.Wait.Lock = time.Millisecond
	names := []string{"m1"}
	ctx := t.Context()
	_, created := m.Create(ctx, CreateRequest{Names: names, Driver: fake.Name})
	_, removed := m.Remove(ctx, RemoveRequest{Names: names, Force: true})
	_, joined := m.SwarmInit(ctx, SwarmRequest{Names: names})
	for what, err := range map[string]error{
		"create": created, "rm": removed, "swarm init": joined,
		"start": m.Start(ctx, names), "stop": m.Stop(ctx, names), "kill": m.Kill(ctx, names), "restart": m.Restart(ctx, names),
		"provision": m.Provision(ctx, ProvisionRequest{Names: names}), "upgrade": m.Upgrade(ctx, UpgradeRequest{Names: names}),
		"regenerate-certs": m.RegenerateCerts(ctx, CertsRequest{Names: names}),
		"rotate":           m.RegenerateCerts(ctx, CertsRequest{RotateCA: true}),
	} {
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "machine upgrade m1") || ReasonOf(err).Exit != ExitLocked {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Who only asks does not mind.
	if _, err := m.Status(ctx, "m1"); err != nil {
		t.Errorf("status: %v", err)
	}
	if _, err := m.Endpoint(ctx, "m1", false); err != nil {
		t.Errorf("env: %v", err)
	}
}

// TestEachOptionHasItsFlag keeps the table of flags in step with the options.
func TestEachOptionHasItsFlag(t *testing.T) {
	t.Parallel()
	check := func(v any, flags map[string]string, without []string) {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			name := typ.Field(i).Name
			if _, ok := flags[name]; ok == slices.Contains(without, name) {
				t.Errorf("%s.%s: has a flag: %v", typ.Name(), name, ok)
			}
		}
	}
	check(EngineOptions{}, engineFlags(), nil)
	check(SwarmOptions{}, swarmFlags(), nil)
}

// TestInterruptedBeforeSomeBegin has more machines than are worked on at once: when the command is
// interrupted, those that were not begun are left alone, and the swarm is not formed of them.
func TestInterruptedBeforeSomeBegin(t *testing.T) {
	t.Parallel()
	for _, swarm := range []SwarmOptions{{}, {Master: true}} {
		w := newWorld(t, "m1", "m2", "m3")
		ctx, cancel := context.WithCancel(t.Context())
		w.hooks(func(step string) {
			if step == "m1: verify the engine over TLS" {
				cancel()
			}
		}, nil)
		m := w.manager()
		m.Limit = 1
		got, err := m.Create(ctx, CreateRequest{Names: []string{"m1", "m2", "m3"}, Driver: fake.Name, Swarm: swarm, RemoveOnFailure: true})
		if !errors.Is(err, context.Canceled) || ReasonOf(err).ID != "INTERRUPTED" {
			t.Errorf("got %v", err)
		}
		for _, r := range got {
			if r.ReasonID != "INTERRUPTED" || r.URL != "" {
				t.Errorf("result %+v", r)
			}
		}
		if _, all := w.made(); all != 0 {
			t.Errorf("%d resources are left", all)
		}
		if names, err := w.manager().Names(); err != nil || len(names) != 0 {
			t.Errorf("left %v, %v", names, err)
		}
		cancel()
	}
}
