package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/plugin"
)

// quarry is the provider of pebbles, with a plugin on a PATH of its own.
type quarry struct {
	t       testing.TB
	dir     string
	bin     string
	limits  plugin.Limits
	factory drivers.Factory
	env     drivers.Env

	mu    sync.Mutex
	notes []string
	log   strings.Builder
	ends  []func(context.Context)
}

func newQuarry(t testing.TB, fault string) *quarry {
	t.Helper()
	q := &quarry{t: t, dir: t.TempDir(), bin: t.TempDir()}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(q.bin, "docker-machine-driver-pebble"))
	}
	if err != nil {
		t.Fatal(err)
	}
	q.limits = plugin.Limits{Heartbeat: 50 * time.Millisecond}
	q.env = drivers.Env{
		Machine: "p1", Dir: filepath.Join(t.TempDir(), "store", "machines", "p1"),
		AtEnd: func(fn func(context.Context)) { q.mu.Lock(); q.ends = append(q.ends, fn); q.mu.Unlock() },
		Note:  func(_ context.Context, text string) { q.mu.Lock(); q.notes = append(q.notes, text); q.mu.Unlock() },
		Log:   slog.New(slog.NewTextHandler(lockedWriter{q}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	q.with(fault)
	t.Cleanup(func() { q.end() })
	return q
}

type lockedWriter struct{ q *quarry }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return w.q.log.Write(p)
}

// with makes the factory anew, whose plugins have a fault.
func (q *quarry) with(fault string) *quarry {
	q.t.Helper()
	q.end()
	environ := append(os.Environ(), "PLUGIN_TEST_PEBBLE=1", "PEBBLE_DIR="+q.dir, "PEBBLE_FAULT="+fault)
	getenv := func(name string) string { return map[string]string{"PATH": q.bin}[name] }
	var err error
	q.factory, err = plugin.NewFinder(q.t.Context(), getenv, environ, q.limits).Find("pebble")
	if err != nil {
		q.t.Fatal(err)
	}
	return q
}

// end is the end of a command.
func (q *quarry) end() {
	q.mu.Lock()
	ends := q.ends
	q.ends = nil
	q.mu.Unlock()
	for _, fn := range ends {
		fn(context.Background())
	}
}

// told are the notes so far.
func (q *quarry) told() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.notes)
}

// started are the processes of the plugin so far.
func (q *quarry) started() []int {
	data, _ := os.ReadFile(filepath.Join(q.dir, ".started"))
	var pids []int
	for word := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			q.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// alone waits until none of the processes is there.
func (q *quarry) alone() {
	q.t.Helper()
	limit := time.After(30 * time.Second)
	for _, pid := range q.started() {
		for alive(pid) {
			select {
			case <-limit:
				q.t.Fatalf("process %d outlives the command", pid)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// alive tells whether a process runs. One that nobody waits for does not.
func alive(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}

// kept is what a store has of a machine.
type kept struct {
	q       *quarry
	config  json.RawMessage
	secrets json.RawMessage
	env     drivers.Env
}

func (q *quarry) configure(values drivers.Values) *kept {
	q.t.Helper()
	config, secrets, err := q.factory.Configure(values)
	if err != nil {
		q.t.Fatal(err)
	}
	return &kept{q: q, config: config, secrets: secrets, env: q.env}
}

// named is the same machine under another name.
func (k *kept) named(name string) *kept {
	other := *k
	other.env.Machine, other.env.Dir = name, filepath.Join(filepath.Dir(k.env.Dir), name)
	return &other
}

// inherit is a machine that docker-machine recorded.
func (q *quarry) inherit(record string) *kept {
	q.t.Helper()
	h, ok, err := q.factory.(drivers.Heir).Inherit(json.RawMessage(record))
	if err != nil || !ok {
		q.t.Fatalf("%s: inherited %v, %v", record, ok, err)
	}
	return &kept{q: q, config: h.Config, secrets: h.Secrets, env: q.env}
}

func (k *kept) open() drivers.Driver {
	k.q.t.Helper()
	env := k.env
	env.KeepSecrets = func(secrets map[string]string) (err error) {
		k.secrets, err = json.Marshal(secrets)
		return err
	}
	save := func(state json.RawMessage) (err error) {
		k.config, err = k.q.factory.(drivers.Merger).Merge(k.config, state)
		return err
	}
	d, err := k.q.factory.Open(k.config, k.secrets, nil, save, env)
	if err != nil {
		k.q.t.Fatal(err)
	}
	return d
}

func (k *kept) create() {
	k.q.t.Helper()
	d := k.open()
	if err := errors.Join(d.Check(k.q.t.Context()), d.Create(k.q.t.Context(), drivers.CreateRequest{})); err != nil {
		k.q.t.Fatal(err)
	}
}

// TestPluginConforms has a plugin pass the suite that all drivers pass.
func TestPluginConforms(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
		q := newQuarry(t, "")
		hosts := func(context.Context) (all []string, err error) {
			entries, err := os.ReadDir(q.dir)
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), ".") {
					all = append(all, "pebble/"+e.Name())
				}
			}
			return all, err
		}
		env := q.env
		env.Machine, env.Log = "", nil
		return drivertest.World{
			Factory:   q.factory,
			Values:    drivers.Values{"pebble-token": {"hush-hush"}},
			Env:       env,
			Bad:       map[string][]string{"pebble-size": {"big"}},
			Refused:   map[string]drivers.Values{"size": {"pebble-size": {"-1"}}, "kind": {"pebble-kind": {"no"}}},
			Resources: hosts,
			Vanish: func(_ context.Context, resource string) error {
				return os.Remove(filepath.Join(q.dir, strings.TrimPrefix(resource, "pebble/")))
			},
		}
	}})
}

func TestOptionsOfAPlugin(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	want := []drivers.Option{
		{Name: "pebble-token", Env: []string{"PEBBLE_TOKEN"}, Kind: drivers.String, Help: "who may have pebbles", Secret: true},
		{Name: "pebble-kind", Env: []string{"PEBBLE_KIND", "OTHER_KIND"}, Kind: drivers.String, Default: "round", Help: "kind"},
		{Name: "pebble-size", Kind: drivers.Int, Default: "7", Help: "size"},
		{Name: "pebble-wet", Kind: drivers.Bool, Help: "wet"},
		{Name: "pebble-tag", Kind: drivers.Strings, Default: "a,b", Help: "tags"},
	}
	got := q.factory.Options()
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	q.factory.Options()
	if n := len(q.started()); n != 1 {
		t.Errorf("%d processes to ask for options twice", n)
	}
	q.alone()
}

// TestPluginLives has a plugin go through the life of a machine, each act by another command.
func TestPluginLives(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "noisy")
	k := q.configure(drivers.Values{"pebble-token": {"tok-1234"}, "pebble-size": {"9"}})
	k.env.CreateFlags = func() map[string]any {
		return map[string]any{"swarm-host": "tcp://0.0.0.0:3376", "engine-opt": []string{"x"}}
	}
	k.create()
	q.end()
	q.alone()
	if n := len(q.started()); n != 2 {
		t.Errorf("create took %d processes, want one for the options and one", n)
	}
	flags, _ := os.ReadFile(filepath.Join(q.dir, ".flags"))
	if want := "map[engine-opt:[x] pebble-kind:round pebble-size:9 pebble-tag:[a b] pebble-token:tok-1234 pebble-wet:false swarm-host:tcp://0.0.0.0:3376]"; string(flags) != want {
		t.Errorf("flags %s\nwant  %s", flags, want)
	}
	var raw pebble
	if err := json.Unmarshal(k.config, &raw); err != nil || raw.ID != "id-p1" || raw.Size != 9 || raw.MachineName != "p1" {
		t.Errorf("recorded %s: %v", k.config, err)
	}
	for _, secret := range []string{"tok-1234", "made-by-the-plugin"} {
		if strings.Contains(string(k.config), secret) || !strings.Contains(string(k.secrets), secret) {
			t.Errorf("%s is not kept apart: %s, %s", secret, k.config, k.secrets)
		}
		if strings.Contains(q.log.String()+strings.Join(q.told(), "\n"), secret) {
			t.Errorf("%s is told", secret)
		}
	}
	if !slices.Contains(q.told(), "heaving p1 with REDACTED") {
		t.Errorf("notes %.2000q", q.told())
	}
	// The store has moved since.
	moved := filepath.Join(t.TempDir(), "machines", "p1")
	k.env.Dir = moved
	if file, err := k.open().(drivers.KeyMaker).KeyFile(t.Context()); err != nil || file != filepath.Join(moved, "id_rsa") {
		t.Errorf("login key %s: %v", file, err)
	}
	want := drivers.Status{State: drivers.Running, Host: "127.0.0.1", User: "flint", SSHPort: 2222, EnginePort: 2377}
	if s, err := k.open().Status(t.Context()); err != nil || s != want {
		t.Errorf("status %+v: %v", s, err)
	}
	if err := k.open().Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Stopped {
		t.Errorf("status %+v: %v", s, err)
	}
	if err := k.open().Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := k.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("status of nothing: %v", err)
	}
	q.end()
	q.alone()
}

// TestListsOfThoseWhoRemember demands that a plugin which says of each machine what it found out of the first one is seen
// through, and one that says the same of all is not taken for such.
func TestListsOfThoseWhoRemember(t *testing.T) {
	t.Parallel()
	for fault, most := range map[string]int{"remembers": 4, "always": 1, "crash:nobody": 5} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, "")
			var all []*kept
			for i := range 4 {
				k := q.configure(nil).named("p" + strconv.Itoa(i))
				k.create()
				if i%2 == 0 && fault != "always" {
					if err := k.open().Stop(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				all = append(all, k)
			}
			q.with(fault)
			before := len(q.started())
			for i, k := range all {
				want := drivers.Running
				if i%2 == 0 && fault != "always" {
					want = drivers.Stopped
				}
				if s, err := k.open().(drivers.Glancer).Glance(t.Context()); err != nil || s.State != want {
					t.Errorf("%s: %+v, %v", k.env.Machine, s, err)
				}
			}
			if n := len(q.started()) - before; n > most {
				t.Errorf("%d processes for a list of %d", n, len(all))
			}
		})
	}
}

// TestStopOfThoseWhoRemember demands that a host is seen to be off by a plugin that remembers that it was on.
func TestStopOfThoseWhoRemember(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "remembers")
	k := q.configure(nil)
	k.create()
	if err := k.open().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := q.told(); len(told) > 1 {
		t.Errorf("notes %q", told)
	}
	if err := k.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v: %v", s, err)
	}
}

// TestRecordsOfDockerMachine demands that machines of plugins go on as docker-machine recorded them, but for their secrets.
func TestRecordsOfDockerMachine(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	record := `{"IPAddress":"127.0.0.1","MachineName":"p1","SSHKeyPath":"/home/x/.docker/machine/machines/p1/id_rsa","StorePath":"/home/x/.docker/machine","ID":"id-p1","Token":"tok-1234","Size":12345678901234567890}`
	h, ok, err := q.factory.(drivers.Heir).Inherit(json.RawMessage(record))
	if err != nil || !ok || strings.Contains(string(h.Config), "tok-1234") || string(h.Secrets) != `{"Token":"tok-1234"}` || h.State != nil {
		t.Fatalf("%s %s %s %v %v", h.Config, h.Secrets, h.State, ok, err)
	}
	if !strings.Contains(string(h.Config), `"Size":12345678901234567890`) {
		t.Errorf("a number is another: %s", h.Config)
	}
	if _, ok, err := q.factory.(drivers.Heir).Inherit(h.Config); ok || err != nil {
		t.Errorf("inherited twice: %v", err)
	}
	if err := os.WriteFile(filepath.Join(q.dir, "p1"), []byte("4"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &kept{q: q, config: json.RawMessage(strings.Replace(string(h.Config), "12345678901234567890", "3", 1)), secrets: h.Secrets, env: q.env}
	if err := k.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v: %v", s, err)
	}
}

// TestFaultsOfPlugins has a row for each way in which a plugin itself fails.
func TestFaultsOfPlugins(t *testing.T) {
	t.Parallel()
	for fault, c := range map[string]struct {
		kind error
		text string
	}{
		"silent":                       {plugin.ErrSilent, "said nothing in 2s"},
		"say=hello":                    {plugin.ErrGarbage, `said "hello" where its address was expected`},
		"say=192.0.2.1:80":             {plugin.ErrGarbage, "192.0.2.1:80"},
		"say=":                         {plugin.ErrGarbage, `said ""`},
		"say=127.0.0.1:1":              {plugin.ErrGarbage, "refused"},
		"version":                      {plugin.ErrVersion, "Driver binary uses an incompatible API version (2)"},
		"crash:start":                  {plugin.ErrCrashed, "exit status 2: panic: out of pebbles"},
		"crash:GetVersion":             {plugin.ErrCrashed, "panic: out of pebbles"},
		"crash:GetState":               {plugin.ErrCrashed, "panic: out of pebbles"},
		"hang:GetVersion":              {plugin.ErrSilent, ""},
		"hang:GetState":                {plugin.ErrHung, "GetState, for 1s"},
		"hang:Heartbeat,hang:GetState": {plugin.ErrHeartbeat, "for 300ms"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, "")
			k := q.configure(nil)
			k.create()
			q.limits = plugin.Limits{Address: 2 * time.Second, Question: time.Second, Heartbeat: 50 * time.Millisecond, Answer: 20 * time.Second}
			if strings.Contains(fault, "Heartbeat") {
				q.limits.Question, q.limits.Answer = time.Minute, 300*time.Millisecond
			}
			q.with(fault)
			_, err := k.open().Status(t.Context())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v", err)
			}
			for _, other := range []error{plugin.ErrStart, plugin.ErrCrashed, plugin.ErrSilent, plugin.ErrGarbage, plugin.ErrVersion, plugin.ErrHeartbeat, plugin.ErrHung} {
				if !errors.Is(other, c.kind) && errors.Is(err, other) {
					t.Errorf("is %v too", other)
				}
			}
			var h interface{ Hint() string }
			if !errors.As(err, &h) || h.Hint() == "" {
				t.Error("no advice")
			}
			q.end()
			q.alone()
			q.limits = plugin.Limits{}
			if s, err := (&kept{q: q.with(""), config: k.config, secrets: k.secrets, env: k.env}).open().Status(t.Context()); err != nil || s.State != drivers.Running {
				t.Errorf("afterwards: %+v, %v", s, err)
			}
		})
	}
}

// TestStrangersForgetNothing demands that a machine whose provider shows nothing to these credentials stays recorded.
func TestStrangersForgetNothing(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.configure(nil)
	k.create()
	q.with("stranger")
	if err := k.open().Remove(t.Context()); err == nil || !strings.Contains(err.Error(), "project quarry not found") {
		t.Errorf("got %v", err)
	}
	q.with("")
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

func TestOldPlugins(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "old")
	k := q.configure(nil)
	k.create()
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v: %v", s, err)
	}
}

// TestInterruptedCommand demands that whoever does not wait any more is not kept, and that the plugin ends.
func TestInterruptedCommand(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.configure(nil)
	k.create()
	q.with("hang:GetState")
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, cause)
	defer cancel()
	if _, err := k.open().Status(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	q.end()
	q.alone()
}

// TestCreateIsKeptByTheDying demands that a create that a crash of the plugin ended can be gone on with.
func TestCreateIsKeptByTheDying(t *testing.T) {
	t.Parallel()
	for fault, notes := range map[string]string{
		"crash:Create":  "look for a second \"p1\" at the provider", // nothing was made
		"crash:Created": "",                                         // the host is there, and the plugin finds it
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, fault)
			k := q.configure(nil)
			if err := k.open().Create(t.Context(), drivers.CreateRequest{}); !errors.Is(err, plugin.ErrCrashed) {
				t.Fatalf("got %v", err)
			}
			q.with("")
			if err := k.open().Create(t.Context(), drivers.CreateRequest{}); err != nil {
				t.Fatal(err)
			}
			if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
				t.Errorf("%+v: %v", s, err)
			}
			if told := strings.Join(q.told(), "\n"); notes == "" && strings.Contains(told, "look for") || !strings.Contains(told, notes) {
				t.Errorf("notes %.2000q", q.told())
			}
			if strings.Contains(string(k.config), "machine:create") {
				t.Errorf("create has not ended: %s", k.config)
			}
		})
	}
}

// TestResumeOfHostsInNoGoodState demands that a host which a create had made is left to the user if its plugin says
// neither that it runs nor that it is gone, and that what an interrupted create left so is made anew.
func TestResumeOfHostsInNoGoodState(t *testing.T) {
	t.Parallel()
	for state, text := range map[string]string{"0": "p1 is in no state that it knows", "7": "p1 is in state Error"} {
		for _, ended := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ended=%v", text, ended), func(t *testing.T) {
				t.Parallel()
				q := newQuarry(t, "")
				k := q.configure(nil)
				k.create()
				host := filepath.Join(q.dir, "p1")
				if err := os.WriteFile(host, []byte(state), 0o600); err != nil {
					t.Fatal(err)
				}
				if !ended {
					k.config = json.RawMessage(strings.Replace(string(k.config), "{", `{"machine:create":"partial",`, 1))
				}
				err := k.open().Create(t.Context(), drivers.CreateRequest{})
				now, rerr := os.ReadFile(host)
				if rerr != nil {
					t.Fatal(rerr)
				}
				if !ended {
					if err != nil || string(now) != "1" || !strings.Contains(strings.Join(q.told(), "\n"), "it is made anew") {
						t.Errorf("%v, the host is %s, notes %q", err, now, q.told())
					}
					return
				}
				var h interface{ Hint() string }
				if !errors.Is(err, plugin.ErrHostState) || !strings.Contains(err.Error(), text) || !errors.As(err, &h) || !strings.Contains(h.Hint(), "machine rm p1") {
					t.Errorf("got %v", err)
				}
				if string(now) != state {
					t.Errorf("the host is %s", now)
				}
				if err := k.open().Remove(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(host); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("not removed: %v", err)
				}
			})
		}
	}
}

// TestListsShareAProcess demands that machines of a list are asked by one process, which says nothing of one machine
// that is another's.
func TestListsShareAProcess(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	var all []*kept
	for i := range 12 {
		values := drivers.Values{"pebble-tag": {"only-" + strconv.Itoa(i)}}
		if i == 5 {
			values["pebble-wet"] = []string{"true"} // a map, into which the next one's would be merged
		}
		k := q.configure(values).named("p" + strconv.Itoa(i))
		k.create()
		if i%3 == 0 {
			if err := k.open().Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, k)
	}
	q.with("")
	before := len(q.started())
	var wg sync.WaitGroup
	for i, k := range all {
		wg.Go(func() {
			want := drivers.Running
			if i%3 == 0 {
				want = drivers.Stopped
			}
			if s, err := k.open().(drivers.Glancer).Glance(t.Context()); err != nil || s.State != want {
				t.Errorf("%s: %+v, %v", k.env.Machine, s, err)
			}
		})
	}
	wg.Wait()
	if n := len(q.started()) - before; n > 2 { // a second one after the machine with a map
		t.Errorf("%d processes for a list of %d", n, len(all))
	}
	q.end()
	q.alone()
}

// TestPluginDiesWithUs demands that no plugin outlives a command that was killed.
func TestPluginDiesWithUs(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.configure(nil)
	k.create()
	q.end()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal([]string{string(k.config), k.env.Dir, q.dir, q.bin})
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	child, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
		Env: append(os.Environ(), "PLUGIN_TEST_CALLER="+string(data)), Files: []*os.File{nil, write, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	var pid int
	if _, err := fmt.Fscan(read, &pid); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the plugin does not run")
	}
	if err := child.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = child.Wait()
	q.alone()
}

// callPlugin asks a plugin that hangs, and tells its process id.
func callPlugin(arg string) {
	var a []string
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		panic(err)
	}
	ctx := context.Background()
	environ := append(os.Environ(), "PLUGIN_TEST_CALLER=", "PLUGIN_TEST_PEBBLE=1", "PEBBLE_DIR="+a[2], "PEBBLE_FAULT=hang:GetState")
	f, err := plugin.NewFinder(ctx, func(string) string { return a[3] }, environ, plugin.Limits{}).Find("pebble")
	if err != nil {
		panic(err)
	}
	d, err := f.Open(json.RawMessage(a[0]), nil, nil, nil, drivers.Env{Machine: "p1", Dir: a[1]})
	if err != nil {
		panic(err)
	}
	go func() { _, _ = d.Status(ctx) }()
	for tick := time.Tick(20 * time.Millisecond); ; <-tick {
		data, _ := os.ReadFile(filepath.Join(a[2], ".started"))
		words := strings.Fields(string(data))
		if pid, _ := strconv.Atoi(words[len(words)-1]); len(words) > 2 && pid != os.Getpid() {
			fmt.Println(pid)
			select {}
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"docker-machine-driver-good": 0o700, "docker-machine-driver-not-executable": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	f := plugin.NewFinder(t.Context(), func(string) string { return ":" + "relative" + ":" + dir }, os.Environ(), plugin.Limits{})
	for _, name := range []string{"good", filepath.Join(dir, "docker-machine-driver-good")} {
		found, err := f.Find(name)
		if err != nil || found.Name() != name {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if again, _ := f.Find(name); again != found {
			t.Errorf("%s is another one the second time", name)
		}
		if err := found.(drivers.Loader).Load(); !errors.Is(err, plugin.ErrCrashed) {
			t.Errorf("%s: %v", name, err)
		}
		if o := found.Options(); o != nil {
			t.Errorf("%s: options %v", name, o)
		}
	}
	for _, name := range []string{"bad", "not-executable", "", "a b", "..", filepath.Join(dir, "none")} {
		_, err := f.Find(name)
		if !errors.Is(err, drivers.ErrUnknown) || !strings.Contains(err.Error(), "Do you have the plugin binary \"docker-machine-driver-") && !strings.Contains(name, "/") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
