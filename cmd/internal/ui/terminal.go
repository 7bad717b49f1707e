package ui

import (
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// Terminal is what is known of a stream that may be a terminal.
type Terminal struct {
	file   *os.File // nil: not a terminal
	getenv func(string) string
}

// NewTerminal looks at a stream.
func NewTerminal(stream any, getenv func(string) string) Terminal {
	file, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return Terminal{getenv: getenv}
	}
	return Terminal{file: file, getenv: getenv}
}

// Is tells whether the stream is a terminal.
func (t Terminal) Is() bool { return t.file != nil }

// Size returns the terminal's size, or that of old ones if it does not say.
func (t Terminal) Size() (width, height int) {
	if t.file != nil {
		if w, h, err := term.GetSize(int(t.file.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// Mode resolves Auto.
func (t Terminal) Mode(wanted Mode) Mode {
	if wanted != Auto {
		return wanted
	}
	if !t.Is() || t.getenv("TERM") == "dumb" || t.getenv("CI") != "" || !obeysSequences(t.file) {
		return Plain
	}
	return Tree
}

// Color tells whether colours are wanted.
func (t Terminal) Color() bool {
	return t.Is() && t.getenv("NO_COLOR") == "" && t.getenv("TERM") != "dumb"
}

// ASCII tells whether the terminal's character set is not known to be a wider one.
func (t Terminal) ASCII() bool {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := t.getenv(name); v != "" {
			v = strings.ToLower(v)
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return true
}

// Config completes a configuration for progress on this stream.
func (t Terminal) Config(c Config) Config {
	c.Mode, c.Size, c.Color, c.ASCII = t.Mode(c.Mode), t.Size, t.Color(), t.ASCII()
	return c
}

// File returns the terminal; nil if the stream is none.
func (t Terminal) File() *os.File { return t.file }

var _ io.Writer = (*Renderer)(nil)
