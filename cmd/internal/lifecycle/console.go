package lifecycle

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hostsmith/machine/drivers"
)

const (
	consoleDeadline = 15 * time.Second
	consoleMost     = 64 << 10 // bytes that go to the log
	consoleTail     = 20       // lines that the failure shows
	consoleWidth    = 200      // characters of such a line
)

// ConsoleError is a host that did not come up, with the end of what it printed on its console.
type ConsoleError struct {
	Err  error
	Tail []string
}

func (e *ConsoleError) Error() string { return e.Err.Error() }
func (e *ConsoleError) Unwrap() error { return e.Err }

// Details are the lines that the host printed last.
func (e *ConsoleError) Details() []string { return e.Tail }

// silent adds to err, by which a host did not come up, what the host printed on its console. What goes wrong
// with that changes nothing about err.
func (x *machine) silent(ctx context.Context, err error) error {
	reader, ok := x.drv.(drivers.ConsoleReader)
	if !ok || err == nil || context.Cause(ctx) != nil || refused(err) || errors.Is(err, drivers.ErrQuota) || errors.Is(err, drivers.ErrCapacity) {
		return err
	}
	ctx, cancel := within(ctx, 0, consoleDeadline, "read the console")
	defer cancel()
	text, cerr := reader.Console(ctx)
	if cerr != nil {
		x.m.Log.Debug("the console cannot be read", "machine", x.rec.Name, "err", cerr)
		return err
	}
	lines := consoleLines(text)
	if len(lines) == 0 {
		return err
	}
	for _, line := range lines {
		x.m.Log.Debug("console", "machine", x.rec.Name, "line", line)
	}
	tail := []string{"the last lines of the host's console:"}
	for _, line := range lines[max(0, len(lines)-consoleTail):] {
		tail = append(tail, cutLine(line))
	}
	return &ConsoleError{Err: err, Tail: tail}
}

var (
	escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?`)
	keyHead = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----`)
	keyTail = regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----`)
	// Join tokens, keys of clouds, and what stands after a word that says what it is.
	hushed = regexp.MustCompile(`SWMTKN-[0-9A-Za-z-]+|\bAKIA[0-9A-Z]{16}\b|(?i:((?:password|passwd|passphrase|secret|token|credential)[a-z_-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|\S+))`)
)

// consoleLines are the lines of a console that may be shown: no control characters, no secrets, no empty ones.
func consoleLines(text []byte) []string {
	if len(text) > consoleMost {
		text = text[len(text)-consoleMost:]
		if i := slices.Index(text, '\n'); i >= 0 {
			text = text[i+1:] // half a line may be half a secret
		}
	}
	plain := escapes.ReplaceAllString(strings.ToValidUTF8(string(text), "\ufffd"), "")
	var lines []string
	inKey := false
	for line := range strings.Lines(plain) {
		line = printable(line)
		switch {
		case keyTail.MatchString(line):
			if !inKey {
				lines = nil // its beginning was before ours: all since may be the key
			}
			inKey = false
			line = "[private key left out]"
		case keyHead.MatchString(line):
			inKey = true
		}
		if !inKey && line != "" {
			lines = append(lines, hushed.ReplaceAllString(line, "${1}[left out]"))
		}
	}
	if inKey {
		lines = append(lines, "[private key left out]")
	}
	return lines
}

// printable is what a terminal shows of a line: of what was written over one another the last.
func printable(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, line))
}

func cutLine(line string) string {
	if runes := []rune(line); len(runes) > consoleWidth {
		return string(runes[:consoleWidth]) + " ..."
	}
	return line
}
