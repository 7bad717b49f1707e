// Package ui shows a person or a program what a command is doing: a live tree
// on a terminal, plain lines, JSON lines, or nothing. It is told of work by
// Step and Note and knows nothing of machines, drivers or flags.
package ui

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/docker/go-units"
)

// Mode is how progress is shown.
type Mode string

// The modes.
const (
	Auto  Mode = "auto"  // Tree on a terminal that can, else Plain
	Tree  Mode = "tty"   // redrawn in place
	Plain Mode = "plain" // a line for each start and each end
	JSON  Mode = "json"  // the same as JSON objects
	Quiet Mode = "quiet" // nothing
)

// ParseMode returns the mode called s.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Auto, Tree, Plain, JSON, Quiet:
		return m, nil
	}
	return "", fmt.Errorf("progress mode %q: want auto, tty, plain, json or quiet", s)
}

// Config says where and how to show progress.
type Config struct {
	Out     io.Writer
	Mode    Mode                         // Auto is taken for Plain: see Terminal.Mode
	Now     func() time.Time             // required
	Machine func(context.Context) string // the machine that work is about; required

	Size  func() (width, height int) // of the terminal; required for Tree
	Color bool
	ASCII bool
	Tick  <-chan time.Time // when Tree redraws running clocks; nil: every 100 ms
}

// Renderer shows progress. Its methods may be called concurrently. After Close
// steps still run, but nothing is shown.
type Renderer struct {
	config Config

	mu     sync.Mutex
	view   view
	closed bool
	stop   chan struct{} // ends the redrawing goroutine; nil: none
	ended  chan struct{}
}

// view is one way to show events. Calls are serialised by Renderer.
type view interface {
	start(s *step)
	finish(s *step)
	progress(s *step)
	note(machine, text string)
	text(p []byte) // somebody else's output, such as a warning
	redraw()
	close()
}

// step is one named piece of work.
type step struct {
	machine string
	name    string
	parent  *step
	depth   int
	began   time.Time
	took    time.Duration
	state   state
	err     error

	of    amount    // how far it is
	shown time.Time // when that was told last, by views that tell it now and then
}

// amount is bytes of bytes; zero: not known.
type amount struct{ done, total int64 }

func (a amount) String() string {
	switch {
	case a == amount{}:
		return ""
	case a.total <= 0:
		return units.HumanSize(float64(a.done))
	}
	return fmt.Sprintf("%d%% of %s", 100*min(a.done, a.total)/a.total, units.HumanSize(float64(a.total)))
}

type state int

const (
	running state = iota
	done
	failed
)

type stepKey struct{}

// New returns a renderer. Its Close must be called.
func New(c Config) *Renderer {
	r := &Renderer{config: c}
	switch c.Mode {
	case Tree:
		r.view = newTree(c)
	case JSON:
		r.view = &jsonLines{out: c.Out, now: c.Now}
	case Quiet:
		r.view = &quiet{out: c.Out}
	default:
		r.view = &plain{out: c.Out, now: c.Now}
	}
	return r
}

// Step shows the start and the end of fn under name and returns fn's error.
// Steps begun with the context that fn gets are parts of this step.
func (r *Renderer) Step(ctx context.Context, name string, fn func(context.Context) error) error {
	s := &step{machine: r.config.Machine(ctx), name: name, began: r.config.Now()}
	if parent, ok := ctx.Value(stepKey{}).(*step); ok && parent.machine == s.machine {
		s.parent, s.depth = parent, parent.depth+1
	}
	r.show(func(v view) { v.start(s) })
	err := fn(context.WithValue(ctx, stepKey{}, s))
	r.show(func(v view) {
		s.took, s.err, s.state = r.config.Now().Sub(s.began), err, done
		if err != nil {
			s.state = failed
		}
		v.finish(s)
	})
	return err
}

// Progress shows how far the step of ctx is: bytes done of total, which is -1 if it is not known.
func (r *Renderer) Progress(ctx context.Context, done, total int64) {
	s, ok := ctx.Value(stepKey{}).(*step)
	if !ok {
		return
	}
	r.show(func(v view) {
		s.of = amount{done, total}
		v.progress(s)
	})
}

// Note shows one line worth knowing.
func (r *Renderer) Note(ctx context.Context, text string) {
	machine := r.config.Machine(ctx)
	r.show(func(v view) { v.note(machine, text) })
}

// Write shows somebody else's text, whole lines, without disturbing what is drawn. With JSON and
// Quiet it is written as it is.
func (r *Renderer) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.config.Out.Write(p)
	}
	r.view.text(p)
	return len(p), nil
}

// Close ends the display; what is shown stays. It may be called twice.
func (r *Renderer) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.view.close()
	stop := r.stop
	r.mu.Unlock()
	if stop != nil {
		close(stop)
		<-r.ended
	}
}

func (r *Renderer) show(event func(view)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	event(r.view)
	if r.config.Mode == Tree && r.stop == nil {
		r.stop, r.ended = make(chan struct{}), make(chan struct{})
		go r.animate()
	}
}

// animate redraws until Close.
func (r *Renderer) animate() {
	defer close(r.ended)
	tick := r.config.Tick
	if tick == nil {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-r.stop:
			return
		case <-tick:
			r.show(view.redraw)
		}
	}
}

// Elapsed formats a duration for people: 0.4s, 12.3s, 3m05s.
func Elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
