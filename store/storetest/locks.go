package storetest

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
)

func machineIsLocked(t *testing.T, open Place) {
	a, b := open(), open()
	txn := lock(t, a, "m1")
	for _, s := range []*store.Store{a, b} {
		_, err := s.Lock(t.Context(), "m1", "machine other")
		var locked *store.LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("Got %v", err)
		}
		want(t, locked.Holder.Command, "machine test")
		want(t, locked.Holder.PID, os.Getpid())
		if time.Since(locked.Holder.Since) > time.Minute || !strings.Contains(locked.Hint(), strconv.Itoa(os.Getpid())) {
			t.Fatalf("Got %+v, hint %q", locked.Holder, locked.Hint())
		}
	}
	ok(t, txn.Close())
	ok(t, txn.Close())
	ok(t, lock(t, b, "m1").Close())
	_, err := a.Get("m1")
	wantErr(t, err, store.ErrNotExist) // a lock makes nothing
}

func locksAreTheirOwn(t *testing.T, open Place) {
	s := open()
	lock(t, s, "m1")
	lock(t, s, "m2")
	lock(t, s, "m1.json")
	lock(t, s, "shared")
	shared(t, s)
	_, err := s.LockCluster(t.Context(), "m1", "x")
	ok(t, err)
}

func sharedWaits(t *testing.T, open Place) {
	a, b := open(), open()
	first := shared(t, a)
	got := make(chan error, 1)
	go func() {
		second, err := b.LockShared(t.Context(), "machine second")
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("Did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	ok(t, first.Close())
	ok(t, <-got)
}

func waitEnds(t *testing.T, open Place) {
	s := open()
	shared(t, s)
	why := errors.New("waited long enough")
	ctx, stop := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
	defer stop()
	_, err := s.LockShared(ctx, "machine second")
	wantErr(t, err, store.ErrLocked)
	wantErr(t, err, why)
	if !strings.Contains(err.Error(), "machine test") {
		t.Fatalf("Got %v", err)
	}
	_, err = s.Lock(ctx, "m1", "x")
	wantErr(t, err, why)
}

// Counters are written under locks that are waited for and locks that are not.
func nobodyLosesAnUpdate(t *testing.T, open Place) {
	const operators, times = 4, 5
	done := make(chan error, operators)
	for range operators {
		s := open()
		go func() {
			var err error
			for i := 0; i < times && err == nil; i++ {
				err = errors.Join(count(t.Context(), s), countCluster(t.Context(), s))
			}
			done <- err
		}()
	}
	for range operators {
		ok(t, <-done)
	}
	s := open()
	r, err := s.Get("counter")
	ok(t, err)
	want(t, r.HostOptions.SwarmOptions.SubnetSize, operators*times)
	c, err := s.Cluster("counter")
	ok(t, err)
	want(t, c.DataPathPort, operators*times)
}

func count(ctx context.Context, s *store.Store) error {
	txn, err := s.Lock(ctx, "counter", "machine count")
	for errors.Is(err, store.ErrLocked) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
		txn, err = s.Lock(ctx, "counter", "machine count")
	}
	if err != nil {
		return err
	}
	r, err := txn.Get()
	if errors.Is(err, store.ErrNotExist) {
		r, err = record("counter"), nil
	}
	if err == nil {
		r.HostOptions.SwarmOptions.SubnetSize++
		err = txn.Put(r)
	}
	return errors.Join(err, txn.Close())
}

func countCluster(ctx context.Context, s *store.Store) error {
	txn, err := s.LockCluster(ctx, "counter", "machine count")
	if err != nil {
		return err
	}
	c, err := txn.Get()
	if errors.Is(err, store.ErrNoCluster) {
		err = nil
	}
	if err == nil {
		c.DataPathPort++
		err = txn.Put(c)
	}
	return errors.Join(err, txn.Close())
}

// A list meets a machine with its record or not at all, while machines come and go.
func readersSeeWholeRecords(t *testing.T, open Place) {
	writer, reader := open(), open()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := comeAndGo(t.Context(), writer, "m"+strconv.Itoa(i%3)); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 30 {
		all, err := reader.List()
		ok(t, err)
		for _, e := range all {
			ok(t, e.Err)
		}
		if _, err := reader.Get("m1"); err != nil {
			wantErr(t, err, store.ErrNotExist)
		}
	}
	close(stop)
	ok(t, <-done)
}

func comeAndGo(ctx context.Context, s *store.Store, name string) error {
	txn, err := s.Lock(ctx, name, "machine come")
	if err != nil {
		return err
	}
	return errors.Join(txn.Put(record(name)), txn.WriteFile("cert.pem", []byte("x")), txn.Delete(), txn.Close())
}

func closed(t *testing.T, open Place) {
	s := open()
	txn := lock(t, s, "m1")
	ok(t, txn.Close())
	_, err := txn.Get()
	wantErr(t, err, store.ErrClosed)
	wantErr(t, txn.Put(record("m1")), store.ErrClosed)
	wantErr(t, txn.Delete(), store.ErrClosed)
	wantErr(t, txn.WriteFile("x", nil), store.ErrClosed)
}
