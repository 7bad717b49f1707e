package ui

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// screen is a terminal that understands what a tree says.
type screen struct {
	mu       sync.Mutex
	raw      bytes.Buffer
	width    int
	cells    [][]rune
	row, col int
}

func newScreen(width int) *screen { return &screen{width: width, cells: [][]rune{nil}} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(p)
	text := string(p)
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
			s.control(rest[:end], rest[end])
			text = rest[end+1:]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		s.put(r)
	}
	return len(p), nil
}

func (s *screen) control(arg string, verb byte) {
	switch verb {
	case 'A':
		n, _ := strconv.Atoi(arg)
		s.row = max(s.row-n, 0)
	case 'K':
		s.cells[s.row] = s.cells[s.row][:min(s.col, len(s.cells[s.row]))]
	case 'J':
		s.cells[s.row] = s.cells[s.row][:min(s.col, len(s.cells[s.row]))]
		s.cells = s.cells[:s.row+1]
	}
}

func (s *screen) put(r rune) {
	switch r {
	case '\r':
		s.col = 0
		return
	case '\n':
		s.down()
		s.col = 0
		return
	}
	if s.col == s.width {
		s.down()
		s.col = 0
	}
	line := s.cells[s.row]
	for len(line) <= s.col {
		line = append(line, ' ')
	}
	line[s.col] = r
	s.cells[s.row] = line
	s.col++
}

func (s *screen) down() {
	s.row++
	if s.row == len(s.cells) {
		s.cells = append(s.cells, nil)
	}
}

// narrow wraps the lines on the screen as terminals do that are made narrower.
func (s *screen) narrow(width int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cells [][]rune
	for _, line := range s.cells {
		for len(line) > width {
			cells = append(cells, line[:width:width])
			line = line[width:]
		}
		cells = append(cells, line)
	}
	s.width, s.cells, s.row = width, cells, len(cells)-1
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, line := range s.cells {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func (s *screen) lines() int { return strings.Count(s.String(), "\n") + 1 }

func alwaysUnicode() bool { return runtime.GOOS == "windows" || runtime.GOOS == "darwin" }
