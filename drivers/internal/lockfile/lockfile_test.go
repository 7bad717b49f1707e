package lockfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary be another process that holds a lock.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCKFILE_TEST_HOLD"); path != "" {
		if _, err := Acquire(context.Background(), path, "hold it", nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestExcludesGoroutines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b.lock")
	var inside, most atomic.Int32
	errs := make(chan error)
	const all = 16
	for range all {
		go func() {
			lock, err := Acquire(t.Context(), path, "count", nil)
			if err == nil {
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				lock.Release()
			}
			errs <- err
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d held it at once", most.Load())
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	lock, err := Acquire(t.Context(), path, "first", nil)
	if err != nil {
		t.Fatal(err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), patient+200*time.Millisecond, late)
	defer cancel()
	var told []Holder
	_, err = Acquire(ctx, path, "second", func(h Holder) { told = append(told, h) })
	if !errors.Is(err, late) || !strings.Contains(err.Error(), "wait for this process (first)") {
		t.Errorf("got %v", err)
	}
	if len(told) != 1 || told[0].Work != "first" || told[0].PID != os.Getpid() {
		t.Errorf("told %v", told)
	}
	if _, err := Acquire(ctx, path, "x", nil); !errors.Is(err, late) {
		t.Errorf("a context that has ended: %v", err)
	}
	if l, err := Try(path, "x"); l != nil || err != nil {
		t.Errorf("a lock that is taken: %v, %v", l, err)
	}
	lock.Release()
	if lock, err = Try(path, "x"); lock == nil || err != nil {
		t.Fatalf("a lock that is free: %v", err)
	}
	lock.Release()
	told = nil
	if lock, err = Acquire(t.Context(), path, "third", func(h Holder) { told = append(told, h) }); err != nil || told != nil {
		t.Errorf("a free lock: %v, %v", err, told)
	}
	lock.Release()
	if _, err := Acquire(t.Context(), filepath.Join(path, "below a file"), "x", nil); err == nil {
		t.Error("no error")
	}
}

// A process that is killed leaves no lock.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LOCKFILE_TEST_HOLD="+path)
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
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder says %q", line)
	}
	lock, err := Acquire(t.Context(), path, "after it", func(h Holder) {
		if want := fmt.Sprintf("process %d (hold it)", cmd.Process.Pid); h.String() != want {
			t.Errorf("held by %s, want %s", h, want)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	_ = cmd.Wait()
	if got := (Holder{}).String(); got != "another process" {
		t.Errorf("a holder that is not known: %s", got)
	}
}
