package provision

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWaitLocks(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		file := filepath.Join(t.TempDir(), "lock")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, code := r.run(t, "wait_locks 5 "+file+" "+file+"-none", ""); code != 0 || got != "" {
			t.Errorf("nobody holds it: %q, %d", got, code)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		holder := "(pid " + strconv.Itoa(os.Getpid()) + ") holds " + file
		got, code := r.run(t, "wait_locks 1 "+file, "")
		if code != exitLock || !strings.Contains(got, "busy for 1 s") || !strings.Contains(got, holder) {
			t.Errorf("got %q, %d, want %s", got, code, holder)
		}
		freed := make(chan error, 1)
		fd := int(f.Fd())
		go func() {
			<-time.After(3 * time.Second)
			freed <- syscall.Flock(fd, syscall.LOCK_UN)
		}()
		got, code = r.run(t, "wait_locks 20 "+file+"\necho after; true", "")
		if err := <-freed; err != nil {
			t.Fatal(err)
		}
		if code != 0 || strings.Count(got, "MARK wait ") != 1 || !strings.Contains(got, "MARK waited\nafter\n") {
			t.Errorf("got %q, %d", got, code)
		}
		pidfile := file + ".pid"
		if err := os.WriteFile(pidfile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, code := r.run(t, "lock_holder "+pidfile, ""); code != 0 || !strings.Contains(got, strconv.Itoa(os.Getpid())) {
			t.Errorf("pid file: %q, %d", got, code)
		}
	})
}
