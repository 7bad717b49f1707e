package qemu

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// TestStubborn cuts the power of a guest that does not shut down.
func TestStubborn(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	h.stubborn = true
	b := fakeBench(t, h, drivers.Values{"qemu-stop-timeout": {"1"}})
	b.must("create", b.create())
	q := h.only(t)
	b.must("stop", b.open().Stop(t.Context()))
	b.is(drivers.Stopped)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(q.orders, "system_powerdown") || !slices.Contains(q.orders, "quit") {
		t.Errorf("orders were %q", q.orders)
	}
	if !slices.ContainsFunc(b.notes, func(n string) bool { return strings.Contains(n, "did not shut down within 1 s") }) {
		t.Errorf("notes are %q", b.notes)
	}
}

// TestPaused has a paused machine go on, and shut down.
func TestPaused(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	for _, act := range []func(context.Context) error{
		func(ctx context.Context) error { return b.open().Start(ctx) },
		func(ctx context.Context) error { return b.open().Create(ctx, b.req) },
	} {
		h.only(t).execute("stop")
		b.is(drivers.Paused)
		b.must("go on", act(t.Context()))
		b.is(drivers.Running)
	}
	h.only(t).execute("stop")
	b.must("stop", b.open().Stop(t.Context()))
	b.is(drivers.Stopped)
}

// TestRunStates has a word for all that QEMU can say.
func TestRunStates(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]drivers.State{
		"running": drivers.Running, "paused": drivers.Paused, "suspended": drivers.Paused, "prelaunch": drivers.Starting,
		"inmigrate": drivers.Starting, "shutdown": drivers.Stopping, "save-vm": drivers.Saved, "postmigrate": drivers.Saved,
		"io-error": drivers.Error, "guest-panicked": drivers.Error, "internal-error": drivers.Error, "what is this": drivers.Error,
	} {
		if got := (sight{status: said}).state(); got != want {
			t.Errorf("%s: got %s, want %s", said, got, want)
		}
	}
}

// TestAnotherProcess does not take a process for the machine's whose number is in its record.
func TestAnotherProcess(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	h.mu.Lock()
	for _, q := range h.procs {
		q.end() // its record of the pid stays
	}
	other := &fakeQEMU{host: h, pid: 1000, uuid: foreignUUID, dir: "/elsewhere", alive: true, done: make(chan struct{})}
	h.procs[1000] = other
	h.mu.Unlock()
	b.is(drivers.Stopped)
	b.must("kill", b.open().Kill(t.Context()))
	b.must("start", b.open().Start(t.Context()))
	b.is(drivers.Running)
	b.must("remove", b.open().Remove(t.Context()))
	if !other.alive {
		t.Error("the other process was ended")
	}
}

// TestHung tells a QEMU that does not answer from one that is not there, and ends it.
func TestHung(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	w := h.world()
	w.ask = 200 * time.Millisecond
	b.factory = factory(w)
	h.silent = true
	b.is(drivers.Timeout)
	begin := time.Now()
	b.must("kill", b.open().Kill(t.Context()))
	b.is(drivers.Stopped)
	if took := time.Since(begin); took > endLimit {
		t.Errorf("took %v", took)
	}
}
