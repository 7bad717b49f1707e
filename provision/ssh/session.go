package ssh

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// Session is an interactive or piped remote command.
type Session struct {
	Command string // empty: the login shell
	TTY     bool   // ask for a terminal
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Term    *os.File         // local terminal, for size, raw mode and resize; nil: none
	Signals <-chan os.Signal // forwarded to the remote side; SIGWINCH only makes the size be looked at; nil: none
}

// Session runs s and returns the remote exit code, 128+n for a signal; the code means
// nothing if there is an error: ErrLost, what Stdin or Stdout returned, or the cause of ctx, after
// which the command ended as with Run. It does not wait for Stdin when the command is
// over, so a Read of it may outlive the call. A local terminal is as before when it returns.
func (c *Client) Session(ctx context.Context, s Session) (int, error) {
	x := execution{command: s.Command, stdin: s.Stdin, stdout: s.Stdout, stderr: s.Stderr, signals: s.Signals}
	if s.TTY {
		x.tty = newTTY(s.size())
		restore, err := s.raw()
		if err != nil {
			return 0, fmt.Errorf("set terminal to raw mode: %w", err)
		}
		defer restore()
	}
	code, err := c.execute(ctx, x)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, fmt.Errorf("session on %s: %w", c.addr, err)
	}
	return code, nil
}

// raw hands the local terminal's keys to the remote one.
func (s Session) raw() (restore func(), err error) {
	if s.Term == nil || !term.IsTerminal(int(s.Term.Fd())) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(s.Term.Fd()))
	if err != nil {
		return nil, err
	}
	output := rawOutput(s.Stdout)
	return func() {
		output()
		_ = term.Restore(int(s.Term.Fd()), before)
	}, nil
}

// size returns how to ask the local terminal for its size; the console of Windows tells it
// at its output only.
func (s Session) size() func() (width, height int) {
	files := []*os.File{s.Term}
	if out, ok := s.Stdout.(*os.File); ok {
		files = append(files, out)
	}
	return func() (int, int) {
		for _, f := range files {
			if f == nil {
				continue
			}
			if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
				return w, h
			}
		}
		return 0, 0
	}
}

// tty is the remote terminal of an execution.
type tty struct {
	size          func() (width, height int) // 0, 0: not known
	width, height int                        // last told to the host
}

func newTTY(size func() (int, int)) *tty {
	t := &tty{size: size, width: 80, height: 24}
	if w, h := size(); w > 0 {
		t.width, t.height = w, h
	}
	return t
}

// request asks the host for a terminal of the size that newTTY found.
func (t *tty) request(s *gossh.Session, name string) error {
	if name == "" {
		name = "xterm"
	}
	modes := gossh.TerminalModes{gossh.ECHO: 1, gossh.TTY_OP_ISPEED: 38400, gossh.TTY_OP_OSPEED: 38400}
	return s.RequestPty(name, t.height, t.width, modes)
}

// lookout is how often the local terminal's size is looked at. A signal would tell it at
// once, but not on every system, and signals are the program's, not this package's.
const lookout = 200 * time.Millisecond

// watcher follows the local terminal's size; without a terminal it never ticks.
type watcher struct {
	tty    *tty
	tick   <-chan time.Time
	ticker *time.Ticker
}

// watch follows the terminal's size.
func (t *tty) watch() *watcher {
	if t == nil {
		return &watcher{}
	}
	ticker := time.NewTicker(lookout)
	return &watcher{tty: t, tick: ticker.C, ticker: ticker}
}

func (w *watcher) stop() {
	if w.ticker != nil {
		w.ticker.Stop()
	}
}

// now tells the host the size if it changed.
func (w *watcher) now(s *gossh.Session) {
	if w.tty == nil {
		return
	}
	width, height := w.tty.size()
	if width == 0 || width == w.tty.width && height == w.tty.height {
		return
	}
	w.tty.width, w.tty.height = width, height
	go func() { _ = s.WindowChange(height, width) }()
}
