package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A writer is killed again and again; whoever reads finds a whole record.
func TestKilledWriterLosesNothing(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	put(t, s, "m1")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			_, err := s.Get("m1")
			if _, serr := s.Secrets("m1"); err == nil {
				err = serr
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range rounds {
		name := "m1"
		if i%4 == 0 {
			name = "fresh" + strconv.Itoa(i) // killed while the folder is made, perhaps
		}
		killWriter(t, s, name)
		if r, err := s.Get(name); err != nil && !errors.Is(err, ErrNotExist) {
			t.Fatalf("Round %d: %v", i, err)
		} else if err == nil && name == "m1" && r.DriverName != "generic" {
			t.Fatalf("Round %d: got %+v", i, r)
		}
		if err := lockMachine(t, s, name).Close(); err != nil {
			t.Fatal(err)
		}
		for path := range files(t, s.Root()) {
			if strings.Contains(path, tmpPrefix) {
				t.Errorf("Round %d: %s is left after the next lock", i, path)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// killWriter starts a writer and kills it at some moment, sometimes before it writes.
func killWriter(t *testing.T, s *Store, name string) {
	t.Helper()
	cmd := other(t, "writer", s.Root(), name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if name == "m1" {
		line(t, out)
	}
	<-time.After(time.Duration(rand.IntN(30_000)) * time.Microsecond)
	_ = cmd.Process.Kill()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("The writer ended by itself: %v", err)
	}
}

// onOwnDisk runs a part in a process that mounts a small disk for itself.
func onOwnDisk(t *testing.T, as string) {
	t.Helper()
	cmd := other(t, as, filepath.Join(t.TempDir(), "store"))
	if !inOwnMounts(cmd) {
		t.Skip("needs mount namespaces of Linux")
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 77 {
		t.Skipf("the system allows no user namespaces with mounts: %v %s", err, out)
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	onOwnDisk(t, "full-disk")
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	onOwnDisk(t, "read-only")
}

func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	s := Open(filepath.Join(whereModesApply(t), "store"))
	want := put(t, s, "m1")
	for _, dir := range []string{"machines/m1", "machines", "locks", "."} {
		path := filepath.Join(s.Root(), filepath.FromSlash(dir))
		if err := os.Chmod(path, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
	}
	if _, err := s.Lock(t.Context(), "m1", "x"); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Got %v", err)
	}
	if got, err := s.Get("m1"); err != nil || got.Name != want.Name {
		t.Errorf("Got %v, %v", got, err)
	}
}
