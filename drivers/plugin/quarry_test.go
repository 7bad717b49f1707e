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

// self is the test binary, which is a plugin when it is told so.
func self(t testing.TB) string {
	t.Helper()
	file, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// folderWith returns a folder for PATH with the test binary in it as a program.
func folderWith(t testing.TB, program string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(self(t), filepath.Join(dir, program)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newQuarry(t testing.TB, fault string) *quarry {
	t.Helper()
	q := &quarry{t: t, dir: t.TempDir(), bin: folderWith(t, "docker-machine-driver-pebble")}
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
