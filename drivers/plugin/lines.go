package plugin

import (
	"bytes"
	"strings"
	"sync"
)

// lineLimit is how long a line may be; the rest of it is the next one.
const lineLimit = 64 << 10

// lineWriter calls fn for each line that is written to it.
type lineWriter struct {
	fn func(line string)

	mu   sync.Mutex
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, after, found := bytes.Cut(p, []byte("\n"))
		if room := lineLimit - len(w.rest); len(line) > room {
			line, after, found = p[:room], p[room:], true
		}
		w.rest = append(w.rest, line...)
		if found || len(w.rest) == lineLimit {
			w.flush()
		}
		p = after
	}
	return n, nil
}

// end tells a last line that has no newline.
func (w *lineWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.flush()
	}
}

func (w *lineWriter) flush() {
	w.fn(strings.TrimRight(string(w.rest), "\r"))
	w.rest = w.rest[:0]
}

// tail keeps the last lines of what a plugin said, for when it crashes.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if line = strings.TrimSpace(line); line == "" {
		return
	}
	if len(line) > 200 {
		line = line[:200] + "..."
	}
	t.lines = append(t.lines, line)
	if len(t.lines) > 40 {
		t.lines = t.lines[1:]
	}
}

// told returns what a plugin that crashed said why: the line of a panic, else its last one.
func (t *tail) told() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range t.lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	if len(t.lines) == 0 {
		return ""
	}
	return t.lines[len(t.lines)-1]
}
