package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// told is a driver whose provider first answers something else.
type told struct {
	drivers.Driver
	first []func(*drivers.Status) error
	keep  bool // the last of them for good
	asked int
}

func (d *told) Status(ctx context.Context) (drivers.Status, error) {
	st, err := d.Driver.Status(ctx)
	d.asked++
	if len(d.first) == 0 || err != nil {
		return st, err
	}
	err = d.first[0](&st)
	if !d.keep || len(d.first) > 1 {
		d.first = d.first[1:]
	}
	return st, err
}

func homeless(st *drivers.Status) error { st.Host = ""; return nil }

func answers(err error) func(*drivers.Status) error {
	return func(*drivers.Status) error { return err }
}

// withTold works on m1, which is ready, with its lock held.
func (w *world) withTold(d *told, fn func(x *machine) error) error {
	w.t.Helper()
	return w.manager().withLock(w.t.Context(), "m1", func(_ context.Context, x *machine) error {
		d.Driver, x.drv = x.drv, d
		return fn(x)
	})
}

func TestAwaitOutlastsAProviderThatStumbles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	odd := errors.New("502 bad gateway")
	d := &told{first: []func(*drivers.Status) error{answers(drivers.ErrUnreachable), homeless, answers(odd)}}
	if err := w.withTold(d, func(x *machine) error { return x.await(t.Context()) }); err != nil || d.asked != 4 {
		t.Errorf("asked %d times: %v", d.asked, err)
	}
	if !w.noted("asking again") {
		t.Errorf("notes %q", w.notes.text)
	}
	for _, final := range []error{drivers.ErrNotFound, drivers.ErrCredentials, drivers.ErrPermission, drivers.ErrOption, drivers.ErrUnsupported} {
		d := &told{first: []func(*drivers.Status) error{answers(final)}}
		if err := w.withTold(d, func(x *machine) error { return x.await(t.Context()) }); !errors.Is(err, final) || d.asked != 1 {
			t.Errorf("asked %d times: %v, want %v", d.asked, err, final)
		}
	}
}

func TestAwaitTellsTheLastErrorAtItsDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	d := &told{first: []func(*drivers.Status) error{answers(drivers.ErrUnreachable)}, keep: true}
	err := w.withTold(d, func(x *machine) (err error) {
		x.m.Wait.SSH = 500 * time.Millisecond
		synctest.Test(t, func(t *testing.T) { err = x.await(t.Context()) })
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) || ReasonOf(err).ID != "PROVIDER_UNREACHABLE" || d.asked < 2 {
		t.Errorf("asked %d times: %v", d.asked, err)
	}
	// An interrupted command is that, whatever the provider said before.
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(*drivers.Status) error { cancel(); return drivers.ErrUnreachable }
	d = &told{first: []func(*drivers.Status) error{stop}, keep: true}
	err = w.withTold(d, func(x *machine) error { return x.await(ctx) })
	if !errors.Is(err, context.Canceled) || errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestNoAddressIsRecordedThatWasNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	before := w.record("m1").Address
	d := &told{first: []func(*drivers.Status) error{homeless, homeless}}
	if err := w.withTold(d, func(x *machine) error { return x.reprovision(t.Context(), refit{}, false) }); err != nil || d.asked != 3 {
		t.Errorf("asked %d times: %v", d.asked, err)
	}
	d = &told{first: []func(*drivers.Status) error{homeless}, keep: true}
	err := w.withTold(d, func(x *machine) error {
		x.m.Wait.SSH = 300 * time.Millisecond
		return x.reprovision(t.Context(), refit{}, false)
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := w.withTold(d, func(x *machine) error { return x.setAddress(store.Address{User: "root"}) }); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	if got := w.record("m1").Address; got != before {
		t.Errorf("recorded %+v, was %+v", got, before)
	}
}

// TestProvisionAndStartFinishACreate has an engine that does not start at first.
func TestProvisionAndStartFinishACreate(t *testing.T) {
	t.Parallel()
	for what, swarm := range map[string]SwarmOptions{"alone": {}, "of a swarm": {Master: true}} {
		for _, verb := range []string{"provision", "start"} {
			w := newWorld(t, "m1")
			w.hosts["m1"].set(func(h *host) { h.fail["start_engine"] = 79 })
			req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: swarm, Options: drivers.Values{"fake-seed-host-key": {"true"}}, DockerContext: true}
			c := &contexts{of: map[string][2]string{}}
			m := w.managerWith(c)
			if _, err := m.Create(t.Context(), req); err == nil {
				t.Fatal("the fault did not come")
			}
			w.hosts["m1"].set(func(h *host) { delete(h.fail, "start_engine") })
			var err error
			if verb == "provision" {
				err = m.Provision(t.Context(), ProvisionRequest{Names: []string{"m1"}})
			} else {
				err = errors.Join(m.Stop(t.Context(), []string{"m1"}), m.Start(t.Context(), []string{"m1"}))
			}
			if err != nil {
				t.Fatal(err)
			}
			rec := w.record("m1")
			if rec.Problem != nil || rec.SSH.HostKey != "seeded" {
				t.Errorf("%s, %s: %+v", verb, what, rec)
			}
			want := store.Ready
			if what != "alone" {
				want = store.Provisioned
			}
			_, left := w.files()["machines/m1/"+hostKeyFile]
			if rec.Phase != want || left != (want != store.Ready) || (len(c.of) == 1) != (want == store.Ready) {
				t.Errorf("%s, %s: phase %s, host key left %v, contexts %q", verb, what, rec.Phase, left, c.of)
			}
			// What is left to be done, create does.
			_, err = m.Create(t.Context(), req)
			if done := errors.Is(err, store.ErrExist); done != (want == store.Ready) || !done && err != nil {
				t.Errorf("%s, %s: create again: %v", verb, what, err)
			}
			if rec := w.record("m1"); rec.Phase != store.Ready || len(c.of) != 1 {
				t.Errorf("%s, %s: %+v, contexts %q", verb, what, rec, c.of)
			}
		}
	}
}

// TestRemoveOnFailureIsNotByForce has a provider that does not release what the create made.
func TestRemoveOnFailureIsNotByForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.setenv(fake.EnvFail, "create-after:quota,remove:unreachable")
	got, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, RemoveOnFailure: true})
	if !errors.Is(err, drivers.ErrQuota) || !errors.Is(err, drivers.ErrUnreachable) || !strings.Contains(got[0].Error, "remove after failure") {
		t.Errorf("%+v, %v", got, err)
	}
	if w.noted("removed after the failure") {
		t.Error("it is said to be removed")
	}
	rec := w.record("m1")
	if rec.Problem == nil || rec.DriverState == nil {
		t.Errorf("record %+v", rec)
	}
	w.setenv(fake.EnvFail, "")
	if removed, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); err != nil || !slices.Equal(removed, []string{"m1"}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	if _, all := w.made(); all != 0 {
		t.Errorf("%d resources are left", all)
	}
}
