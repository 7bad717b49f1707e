//go:build !windows

package etcd

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
)

func TestStoppedServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	a := store.OpenBackend(operator(t, location, "none", func(c *Config) { c.Patience = 2 * time.Second }))
	txn, err := a.Lock(t.Context(), "m1", "machine test")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	ok(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	var began time.Time
	eventually(t, "the stop", func() error { // a signal takes its time
		began = time.Now()
		if _, err = a.Get("m1"); !errors.Is(err, store.ErrUnreachable) {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	wantErr(t, txn.Put(record("m1")), store.ErrUnreachable)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("It took %v to say so", took)
	}
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), s.addr) {
		t.Errorf("No hint, or one that does not say where: %v", err)
	}
	ok(t, s.cmd.Process.Signal(syscall.SIGCONT))
	eventually(t, "reading after the pause", func() error { _, err := a.Get("m1"); return err })
	// The lease may have ended meanwhile: written is all or nothing.
	r := record("m1")
	r.Creator = "after"
	err = txn.Put(r)
	got, gerr := a.Get("m1")
	ok(t, gerr)
	if err == nil && got.Creator != "after" || err != nil && (!errors.Is(err, store.ErrLockLost) || got.Creator == "after") {
		t.Errorf("Got %v, and %q is there", err, got.Creator)
	}
}
