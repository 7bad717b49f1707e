package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLockedNamesHolder(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	lockMachine(t, s, "m1")
	_, err := s.Lock(t.Context(), "m1", "machine rm")
	var locked *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) {
		t.Fatalf("Got %v", err)
	}
	h := locked.Holder
	if h.Command != "machine test" || h.PID != os.Getpid() || time.Since(h.Since) > time.Minute {
		t.Errorf("Got %+v", h)
	}
	want := "another command is at work: machine test (pid " + strconv.Itoa(os.Getpid()) + ") since " + h.Since.Local().Format(time.TimeOnly)
	if err.Error() != want {
		t.Errorf("Got %q, want %q", err, want)
	}
}

func TestLockedErrorText(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	old := time.Date(2020, 1, 2, 10, 12, 3, 0, time.Local)
	for _, tc := range []struct {
		err  LockedError
		want string
	}{
		{LockedError{}, "another command is at work"},
		{LockedError{Holder: Holder{"machine rm", 4711, host, old, ""}}, "another command is at work: machine rm (pid 4711) since 2020-01-02 10:12:03"},
		{LockedError{Holder: Holder{"machine rm", 4711, "elsewhere", old, ""}, Cause: context.DeadlineExceeded},
			"another command is at work: machine rm (pid 4711 on elsewhere) since 2020-01-02 10:12:03: context deadline exceeded"},
		{LockedError{Holder: Holder{"machine rm", 4711, host, old, "ann"}}, "another command is at work: machine rm (pid 4711, ann@" + host + ") since 2020-01-02 10:12:03"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("Got %q, want %q", got, tc.want)
		}
	}
}

func TestLockCancelled(t *testing.T) {
	t.Parallel()
	s := Open(filepath.Join(t.TempDir(), "store"))
	why := errors.New("stopped by the user")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := s.Lock(ended, "m1", "x"); !errors.Is(err, why) {
		t.Errorf("Got %v", err)
	}
	txn, err := s.LockShared(t.Context(), "machine first")
	if err != nil {
		t.Fatal(err)
	}
	swarm, err := s.LockCluster(t.Context(), "s1", "machine first")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
	defer stop()
	for name, lock := range map[string]func() error{
		"shared":  func() error { _, err := s.LockShared(ctx, "x"); return err },
		"cluster": func() error { _, err := s.LockCluster(ctx, "s1", "x"); return err },
	} {
		err := lock()
		if ctx.Err() == nil || !errors.Is(err, why) {
			t.Errorf("%s: got %v before the time", name, err)
		}
	}
	if err := errors.Join(txn.Close(), swarm.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestGoroutinesExclude(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	var (
		wg     sync.WaitGroup
		inside atomic.Int32
	)
	for range 50 {
		wg.Go(func() {
			if err := count(t.Context(), s, 4); err != nil {
				t.Error(err)
			}
			shared, err := s.LockShared(t.Context(), "x")
			if err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d hold the lock", n)
			}
			_, err = shared.EnsureID()
			inside.Add(-1)
			if err := errors.Join(err, shared.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r, err := s.Get("counter"); err != nil || r.HostOptions.SwarmOptions.SubnetSize != 50*4 {
		t.Errorf("Counted %d of %d: %v", r.HostOptions.SwarmOptions.SubnetSize, 50*4, err)
	}
}

func TestProcessesExclude(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		cmd := other(t, "counter", s.Root(), "10")
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if r, err := s.Get("counter"); err != nil || r.HostOptions.SwarmOptions.SubnetSize != 80 {
		t.Errorf("Counted %d of 80: %v", r.HostOptions.SwarmOptions.SubnetSize, err)
	}
}

// The file of a lock goes with what it protects. Who comes at that moment must not
// get a lock on a file that is no more.
func TestLockFileGoesWithMachine(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	var (
		wg     sync.WaitGroup
		inside atomic.Int32
	)
	for range 8 {
		wg.Go(func() {
			for n := 0; n < 25; {
				txn, err := s.Lock(t.Context(), "m1", "x")
				if errors.Is(err, ErrLocked) {
					runtime.Gosched()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				runtime.Gosched()
				inside.Add(-1)
				if err := txn.Close(); err != nil {
					t.Error(err)
				}
				n++
			}
		})
	}
	wg.Wait()
	if left, err := os.ReadDir(filepath.Join(s.Root(), "locks")); err != nil || len(left) > 0 {
		t.Errorf("Left: %v, %v", left, err)
	}
}

func TestLockedFileMustBeInPlace(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be removed here")
	}
	path := filepath.Join(t.TempDir(), "lock")
	file, err := tryLock(path)
	if err != nil || file == nil {
		t.Fatal(file, err)
	}
	defer func() { _ = file.Unlock() }()
	check := func(when string, want bool) {
		t.Helper()
		if got, err := inPlace(file); got != want || err != nil {
			t.Errorf("%s: got %v, %v", when, got, err)
		}
	}
	check("as it was", true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("removed", false)
	next, err := tryLock(path)
	if err != nil || next == nil {
		t.Fatal(next, err)
	}
	defer func() { _ = next.Unlock() }()
	check("made anew by another", false)
}

// A process that is killed leaves its lock free at once.
func TestKilledHolderFreesLock(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	cmd := other(t, "holder", s.Root(), "m1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := line(t, out); got != "held" {
		t.Fatalf("Got %q", got)
	}
	_, err = s.Lock(t.Context(), "m1", "machine rm")
	want := "machine hold (pid " + strconv.Itoa(cmd.Process.Pid) + ")"
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("Got %v, want %q in it", err, want)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	txn := lockMachine(t, s, "m1")
	_, err = s.Lock(t.Context(), "m1", "machine rm")
	if !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), want) {
		t.Errorf("Got %v, which names the dead", err)
	}
	_ = txn.Close()
}
