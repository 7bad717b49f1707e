package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// keptLogs is how many logs of earlier commands stay.
const keptLogs = 20

// maxHeld bounds what is held back while there is no store to write to.
const maxHeld = 1 << 20

// logFile is the full log of one command, in <root>/logs. It appears when the first step is under
// way and there is a store: a mistyped name leaves nothing behind. What was logged before is held
// until then. A log that cannot be written is no reason for a command to fail.
type logFile struct {
	root string
	name string

	mu    sync.Mutex
	begun bool
	held  []byte
	file  *os.File
	dead  bool
}

func newLogFile(root, command string, now func() time.Time) *logFile {
	stamp := now().UTC().Format("20060102T150405.000Z")
	name := fmt.Sprintf("%s-%s-%d.log", stamp, strings.ReplaceAll(command, " ", "-"), os.Getpid())
	return &logFile{root: root, name: name}
}

// begin says that work has begun that is worth a log.
func (l *logFile) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
	l.write(nil)
}

// Write never fails: see logFile.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(p)
	return len(p), nil
}

func (l *logFile) write(p []byte) {
	if l.dead {
		return
	}
	if l.file == nil {
		l.held = append(l.held, p...)
		if !l.begun || !exist(filepath.Join(l.root, "machines")) {
			l.dead = len(l.held) > maxHeld
			return
		}
		if l.dead = l.open() != nil; l.dead {
			return
		}
		p, l.held = l.held, nil
	}
	if _, err := l.file.Write(p); err != nil {
		l.dead = true
	}
}

func exist(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (l *logFile) open() error {
	dir := filepath.Join(l.root, "logs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	l.file, err = os.OpenFile(filepath.Join(dir, l.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		rotate(dir)
	}
	return err
}

// rotate removes all but the newest logs. Their names sort by time.
func rotate(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for len(names) > keptLogs {
		_ = os.Remove(filepath.Join(dir, names[0])) // another command may have been faster
		names = names[1:]
	}
}

// close returns the path of the log; empty if none could be written.
func (l *logFile) close() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ""
	}
	path := l.file.Name()
	if err := l.file.Close(); err != nil || l.dead {
		path = ""
	}
	l.file, l.dead = nil, true
	return path
}
