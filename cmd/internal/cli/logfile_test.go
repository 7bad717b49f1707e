package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func logClock(second int) func() time.Time {
	return func() time.Time { return time.Date(2030, 1, 2, 3, 4, second, 0, time.UTC) }
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	l := newLogFile(root, "swarm init", logClock(5))
	fmt.Fprint(l, "before\n")
	l.begin()
	if exist(filepath.Join(root, "logs")) {
		t.Fatal("a log is made where there is no store")
	}
	if err := os.Mkdir(filepath.Join(root, "machines"), 0o700); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { fmt.Fprint(l, "line\n") })
	}
	wg.Wait()
	path := l.close()
	if want := fmt.Sprintf("20300102T030405.000Z-swarm-init-%d.log", os.Getpid()); filepath.Base(path) != want {
		t.Errorf("log is %s, want %s", path, want)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "before\n"+strings.Repeat("line\n", 10) {
		t.Errorf("log holds %q, %v", data, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode of the log: %v, %v", info.Mode(), err)
	}
	if l.close() != "" {
		t.Error("a closed log has a path")
	}
	fmt.Fprint(l, "late\n")
}

func TestLogFileOfNoWork(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "machines"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := newLogFile(root, "start", logClock(0))
	fmt.Fprint(l, "no such machine\n")
	if path := l.close(); path != "" || exist(filepath.Join(root, "logs")) {
		t.Errorf("a command that did nothing leaves %s", path)
	}
}

func TestLogFileUnwritable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "machines"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "logs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLogFile(root, "start", logClock(0))
	l.begin()
	if n, err := fmt.Fprint(l, "text\n"); n != 5 || err != nil {
		t.Errorf("writing to a log that cannot be made: %d, %v", n, err)
	}
	if path := l.close(); path != "" {
		t.Errorf("a log that was not written is at %s", path)
	}
}

func TestLogFileRotation(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "machines"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "logs", "a-users-note.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var last string
	for i := range keptLogs + 5 {
		l := newLogFile(root, "start", logClock(i))
		l.begin()
		fmt.Fprintln(l, i)
		last = l.close()
	}
	logs, err := filepath.Glob(filepath.Join(root, "logs", "*.log"))
	if err != nil || len(logs) != keptLogs || logs[len(logs)-1] != last || !strings.Contains(logs[0], "030405.000Z") {
		t.Errorf("%d logs are kept (%v), want the newest %d: %v", len(logs), err, keptLogs, logs)
	}
	if !exist(filepath.Join(root, "logs", "a-users-note.txt")) {
		t.Error("rotation removed what is no log")
	}
}
