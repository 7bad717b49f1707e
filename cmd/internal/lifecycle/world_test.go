package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/drivers/generic"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// world is a store, a provider in memory, and the hosts behind the provider's addresses. Its hosts
// have real SSH servers and real TLS; what runs on them is a model (see host).
type world struct {
	t        *testing.T
	dir      string
	provider *fake.Provider
	net      *swarmboottest.Net
	hosts    map[string]*host
	notes    *notes
	log      *lockedBuffer

	running sync.WaitGroup // what hosts do by themselves

	mu      sync.Mutex
	env     map[string]string
	steps   []string // "m1: create the host", in the order of their beginnings
	onStep  func(step string)
	onEvent func(what string) error // before each write, provider call and step on a host

	following sync.Mutex // what was listed first must not be what hosts become last
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{
		t: t, dir: filepath.Join(t.TempDir(), "store"), provider: fake.Memory(), net: swarmboottest.New(),
		hosts: map[string]*host{}, notes: &notes{}, log: &lockedBuffer{}, env: map[string]string{"USER": "ada"},
	}
	t.Cleanup(w.running.Wait)
	w.net.JoinTimeout, w.net.ReadyDelay, w.net.RoleDelay, w.net.DownDelay = time.Second, 0, 0, 0
	w.provider.Observe(func(n int, done bool) error { return w.event(fmt.Sprintf("provider call %d, done %v", n, done)) })
	for i, name := range names {
		w.hosts[name] = newHost(w, name, i)
	}
	return w
}

// manager is a new process's: nothing is shared but the world.
func (w *world) manager() *Manager {
	m := &Manager{
		Store:   store.Open(w.dir),
		Drivers: drivers.Table{factory{fake.New(w.provider), w}, urlFactory(), generic.New()},
		Step:    w.step,
		Note:    w.notes.add,
		Log:     slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Getenv:  w.getenv,
		Now:     time.Now,
		Version: "0.0.0-test",
		Command: "machine test",
		Wait:    Deadlines{SSH: 20 * time.Second, Engine: 20 * time.Second, Swarm: 20 * time.Second, Drain: 20 * time.Second},
	}
	m.testLocks = eventLocks{m, w}
	return m
}

func (w *world) getenv(k string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.env[k]
}

func (w *world) setenv(k, v string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.env[k] = v
}

func (w *world) step(ctx context.Context, name string, fn func(context.Context) error) error {
	if m := MachineOf(ctx); m != "" {
		name = m + ": " + name
	}
	w.mu.Lock()
	w.steps = append(w.steps, name)
	hook := w.onStep
	w.mu.Unlock()
	if hook != nil {
		hook(name)
	}
	return fn(ctx)
}

func (w *world) event(what string) error {
	w.mu.Lock()
	hook := w.onEvent
	w.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(what)
}

func (w *world) hooks(step func(string), event func(string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onStep, w.onEvent = step, event
}

// stepsOf returns the steps so far that contain text, and forgets all.
func (w *world) takeSteps(text string) (found []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.steps {
		if strings.Contains(s, text) {
			found = append(found, s)
		}
	}
	w.steps = nil
	return found
}

// follow brings the hosts to what the provider has: made, running, stopped or gone.
func (w *world) follow() {
	w.following.Lock()
	defer w.following.Unlock()
	resources, err := w.provider.Resources(w.t.Context())
	if err != nil {
		w.t.Error(err)
	}
	for name, h := range w.hosts {
		if h.own {
			continue
		}
		i := slices.IndexFunc(resources, func(r fake.Resource) bool { return r.Kind == fake.KindHost && r.Name == name })
		if i < 0 {
			h.become("", false, fake.Resource{})
		} else {
			h.become(resources[i].ID, resources[i].State == drivers.Running, resources[i])
		}
	}
}

// made returns how many hosts and other resources the provider holds.
func (w *world) made() (hosts, all int) {
	w.t.Helper()
	resources, err := w.provider.Resources(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range resources {
		if r.Kind == fake.KindHost {
			hosts++
		}
	}
	return hosts, len(resources)
}

func (w *world) record(name string) store.Record {
	w.t.Helper()
	rec, err := store.Open(w.dir).Get(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

func (w *world) create(req CreateRequest) []Created {
	w.t.Helper()
	if req.Driver == "" {
		req.Driver = fake.Name
	}
	got, err := w.manager().Create(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// swarm makes managers and then workers.
func (w *world) swarm(managers, workers []string) {
	w.t.Helper()
	w.create(CreateRequest{Names: managers, Swarm: SwarmOptions{Master: true}})
	if len(workers) > 0 {
		w.create(CreateRequest{Names: workers, Swarm: SwarmOptions{IsSwarm: true}})
	}
}

// answers is why a client with what is in the machine's folder does not reach its engine.
func (w *world) answers(name string) error {
	x, err := w.manager().view(name)
	if err != nil {
		return err
	}
	return x.ask(w.t.Context())
}

// files returns the store's files by path relative to it, locks aside.
func (w *world) files() map[string]string {
	w.t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(w.dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, "locks/") {
			return err
		}
		data, err := os.ReadFile(filepath.Join(w.dir, path))
		files[path] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return files
}

// factory makes drivers whose hosts are the world's.
type factory struct {
	drivers.Factory
	w *world
}

func (f factory) Describe(config json.RawMessage) (drivers.Values, error) {
	return f.Factory.(drivers.Describer).Describe(config)
}

func (f factory) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env drivers.Env) (drivers.Driver, error) {
	inner, err := f.Factory.Open(config, secrets, state, save, env)
	if err != nil {
		return nil, err
	}
	return &hostDriver{inner.(fakeDriver), f.w, f.w.hosts[env.Machine]}, nil
}

type fakeDriver interface {
	drivers.Driver
	drivers.Killer
	drivers.HostKeySeeder
	drivers.UserDataTaker
	drivers.SSHAccess
	drivers.ConsoleReader
	drivers.Orphans
	drivers.ImageUser
	drivers.Imager
}

// hostDriver is the fake driver whose host is real enough to log in on.
type hostDriver struct {
	fakeDriver
	w    *world
	host *host
}

func (d *hostDriver) do(err error) error { d.w.follow(); return err }

func (d *hostDriver) Create(ctx context.Context, r drivers.CreateRequest) error {
	return d.do(d.fakeDriver.Create(ctx, r))
}
func (d *hostDriver) Start(ctx context.Context) error  { return d.do(d.fakeDriver.Start(ctx)) }
func (d *hostDriver) Stop(ctx context.Context) error   { return d.do(d.fakeDriver.Stop(ctx)) }
func (d *hostDriver) Kill(ctx context.Context) error   { return d.do(d.fakeDriver.Kill(ctx)) }
func (d *hostDriver) Remove(ctx context.Context) error { return d.do(d.fakeDriver.Remove(ctx)) }
func (d *hostDriver) Release(ctx context.Context, r drivers.Resource) error {
	return d.do(d.fakeDriver.Release(ctx, r))
}

func (d *hostDriver) Status(ctx context.Context) (drivers.Status, error) {
	st, err := d.fakeDriver.Status(ctx)
	if err == nil && d.host != nil {
		d.host.locate(&st)
	}
	return st, err
}

// OpenPorts is refused once by a host that says so.
func (d *hostDriver) OpenPorts(_ context.Context, ports []drivers.Port) error {
	d.host.set(func(h *host) { h.opened = ports })
	return d.host.closed
}

func (d *hostDriver) Emulated() bool { return d.host != nil && d.host.slow }

// eventLocks asks the world before each write.
type eventLocks struct {
	m *Manager
	w *world
}

func (l eventLocks) machine(ctx context.Context, name string) (machineTxn, error) {
	txn, err := storeLocks{l.m.Store, l.m.Command}.machine(ctx, name)
	if err != nil {
		return nil, err
	}
	return eventMachine{txn, l.w}, nil
}

func (l eventLocks) cluster(ctx context.Context, name string) (clusterTxn, error) {
	txn, err := storeLocks{l.m.Store, l.m.Command}.cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	return eventCluster{txn, l.w}, nil
}

func (l eventLocks) shared(ctx context.Context) (sharedTxn, error) {
	txn, err := storeLocks{l.m.Store, l.m.Command}.shared(ctx)
	if err != nil {
		return nil, err
	}
	return eventShared{txn, l.w}, nil
}

type eventMachine struct {
	machineTxn
	w *world
}

func (x eventMachine) Put(r store.Record) error {
	return after(x.w.event("put record, "+string(r.Phase)), func() error { return x.machineTxn.Put(r) })
}

func (x eventMachine) Import(r store.Record, s json.RawMessage, files map[string][]byte) error {
	return after(x.w.event("import record"), func() error {
		return errors.Join(x.machineTxn.Import(r, s, files), x.w.event("has imported"))
	})
}

func (x eventMachine) PutSecrets(s json.RawMessage) error {
	return after(x.w.event("put secrets"), func() error { return x.machineTxn.PutSecrets(s) })
}

func (x eventMachine) WriteFile(name string, data []byte) error {
	return after(x.w.event("write "+name), func() error { return x.machineTxn.WriteFile(name, data) })
}

// WriteFiles is ended between any two of the files, as a kill between their renames ends it.
func (x eventMachine) WriteFiles(files ...store.File) error {
	for _, f := range files {
		if err := x.WriteFile(f.Name, f.Data); err != nil {
			return err
		}
	}
	return nil
}

func (x eventMachine) RemoveFile(name string) error {
	return after(x.w.event("remove "+name), func() error { return x.machineTxn.RemoveFile(name) })
}

func (x eventMachine) Restore() error {
	return after(x.w.event("restore record"), x.machineTxn.Restore)
}

func (x eventMachine) DropBackup() error {
	return after(x.w.event("drop backup"), x.machineTxn.DropBackup)
}

func (x eventMachine) DropBackups() error {
	return after(x.w.event("drop backups"), x.machineTxn.DropBackups)
}

func (x eventMachine) Delete() error { return after(x.w.event("delete machine"), x.machineTxn.Delete) }

type eventCluster struct {
	clusterTxn
	w *world
}

func (x eventCluster) Put(c store.Cluster) error {
	return after(x.w.event("put cluster"), func() error { return x.clusterTxn.Put(c) })
}

func (x eventCluster) Delete() error {
	return after(x.w.event("delete cluster"), x.clusterTxn.Delete)
}

type eventShared struct {
	sharedTxn
	w *world
}

func (x eventShared) WriteCert(name string, data []byte) error {
	return after(x.w.event("write certs/"+name), func() error { return x.sharedTxn.WriteCert(name, data) })
}

func (x eventShared) WriteCerts(files ...store.File) error {
	for _, f := range files {
		if err := x.WriteCert(f.Name, f.Data); err != nil {
			return err
		}
	}
	return nil
}

func (x eventShared) RemoveCert(name string) error {
	return after(x.w.event("remove certs/"+name), func() error { return x.sharedTxn.RemoveCert(name) })
}

func (x eventShared) EnsureID() (string, error) {
	if err := x.w.event("write id"); err != nil {
		return "", err
	}
	return x.sharedTxn.EnsureID()
}

func after(err error, fn func() error) error {
	if err != nil {
		return err
	}
	return fn()
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
