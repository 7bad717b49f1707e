package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

const (
	// farewell is how long a cancelled command may take to end after SIGTERM.
	farewell = time.Second
	// closure is how long its session may take to close then.
	closure = 250 * time.Millisecond
	// maxSessions is how many sessions run at once, below OpenSSH's default of 10 for
	// MaxSessions; others wait for their turn.
	maxSessions = 8
	// aloneLimit is how long to ask for a session again when no other of ours is under way.
	aloneLimit = time.Second
)

// execution is one command on the host.
type execution struct {
	command string // empty: the login shell
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	grace   time.Duration // how long to wait for the end of a Read of stdin when the command is over
	tty     *tty          // nil: none
	signals <-chan os.Signal
}

// execute runs x and returns its exit code. It returns soon after ctx ended even if the
// host says nothing any more.
func (c *Client) execute(ctx context.Context, x execution) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.closed:
		return 0, c.lost()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-c.slots }()
	r := &running{
		client: c,
		x:      x,
		opened: make(chan *gossh.Session, 1),
		done:   make(chan error, 1),
		broken: make(chan error, 3), // stdin, stdout and stderr may each break once
		over:   make(chan struct{}),
	}
	// The goroutine may outlive the call if the host hangs; nothing that it does then
	// reaches the caller's readers and writers.
	r.stdout = r.gate(x.stdout, "write standard output")
	r.stderr = r.gate(x.stderr, "write standard error")
	defer r.stdout.shut()
	defer r.stderr.shut()
	go func() { r.done <- r.perform() }()
	defer close(r.over)
	return r.supervise(ctx)
}

// running is an execution under way.
type running struct {
	client *Client
	x      execution
	opened chan *gossh.Session
	done   chan error
	broken chan error
	over   chan struct{} // closed when the caller is gone
	phase  atomic.Int32
	stdout *gate
	stderr *gate
}

// The phases of an execution: who leaves the first decides whether the command starts.
const (
	opening int32 = iota
	starting
	abandoned
)

// perform opens a session, runs the command and waits for its end.
func (r *running) perform() error {
	s, err := r.open()
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // nothing is to be done about it
	if !r.phase.CompareAndSwap(opening, starting) {
		return nil
	}
	r.opened <- s
	stdin, err := s.StdinPipe()
	if err != nil {
		return err
	}
	s.Stdout, s.Stderr = r.stdout, r.stderr
	if r.x.tty != nil {
		if err := r.x.tty.request(s, r.client.term); err != nil {
			return r.refusal(err, "the host gives no terminal")
		}
	}
	r.client.trips.Add(1)
	if r.x.command == "" {
		err = s.Shell()
	} else {
		err = s.Start(r.x.command)
	}
	if err != nil {
		return r.refusal(err, "the host runs no commands for this user")
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		r.feed(stdin)
	}()
	err = s.Wait()
	if r.x.grace > 0 {
		timer := time.NewTimer(r.x.grace)
		defer timer.Stop()
		select {
		case <-fed:
		case <-timer.C:
		}
	}
	return err
}

// open opens a session. A host may allow fewer at once than we think, and OpenSSH counts one
// that has just ended for a moment longer; so a refusal is final only when nothing else is
// under way.
func (r *running) open() (*gossh.Session, error) {
	alone := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.over:
			return nil, errors.New("open session: abandoned")
		}
		s, err := r.client.conn.NewSession()
		var refused *gossh.OpenChannelError
		switch {
		case err == nil:
			return s, nil
		case !errors.As(err, &refused):
			return nil, r.client.lost()
		case r.client.open.Load() > 0:
			alone = time.Now()
		case time.Since(alone) > aloneLimit:
			return nil, fmt.Errorf("open session: %s", refused.Message)
		}
		timer.Reset(20 * time.Millisecond)
	}
}

// refusal is the error of a request that the host did not grant. The library's own words
// repeat the whole command, which does not belong into a message.
func (r *running) refusal(err error, why string) error {
	if strings.HasPrefix(err.Error(), "ssh: ") {
		return errors.New(why)
	}
	return r.client.lost()
}

// feed copies the input and ends it. Input that breaks is not ended: a command must not
// take half of its input for the whole.
func (r *running) feed(to io.WriteCloser) {
	if r.x.stdin != nil {
		from := &source{from: r.x.stdin}
		if _, err := io.Copy(to, from); err != nil {
			if from.err != nil {
				r.broken <- fmt.Errorf("read standard input: %w", from.err)
			}
			return // else the command is over, or does not want its input
		}
	}
	_ = to.Close()
}

// supervise waits for the end, and sees to it when ctx, the input or the output ended.
func (r *running) supervise(ctx context.Context) (int, error) {
	var s *gossh.Session
	var why error // why we end the command
	took := func(session *gossh.Session) {
		s = session
		r.client.open.Add(1)
	}
	defer func() {
		if s != nil {
			r.client.open.Add(-1)
		}
	}()
	cancelled, signals := ctx.Done(), r.x.signals
	timer := time.NewTimer(0)
	if !timer.Stop() {
		<-timer.C
	}
	defer timer.Stop()
	closing := false
	// end asks the command to end; when the timer is up its session is closed.
	end := func(cause error) {
		why = cause
		go func() { _ = s.Signal(gossh.SIGTERM) }() // which blocks while the host reads nothing
		timer.Reset(farewell)
	}
	resize := r.x.tty.watch()
	defer resize.stop()
	for {
		select {
		case session := <-r.opened:
			took(session)
		case err := <-r.done:
			if why != nil {
				return 0, why
			}
			return r.code(err)
		case err := <-r.broken:
			if s == nil { // it was opened before, and both were there to be taken
				took(<-r.opened)
			}
			if why == nil {
				end(err)
			}
		case sig, ok := <-signals:
			switch {
			case !ok:
				signals = nil
			case s != nil && isResize(sig):
				resize.now(s)
			case s != nil:
				if name, known := signalName(sig); known {
					go func() { _ = s.Signal(name) }()
				}
			}
		case <-resize.tick:
			if s != nil {
				resize.now(s)
			}
		case <-cancelled:
			cancelled = nil
			if why != nil {
				continue
			}
			if s == nil {
				if r.phase.CompareAndSwap(opening, abandoned) {
					return 0, context.Cause(ctx)
				}
				took(<-r.opened)
			}
			end(context.Cause(ctx))
		case <-timer.C:
			if closing {
				return 0, why
			}
			closing = true
			go func() { _ = s.Close() }()
			timer.Reset(closure)
		}
	}
}

// code reads the exit code out of what Wait returned.
func (r *running) code(err error) (int, error) {
	var exit *gossh.ExitError
	var missing *gossh.ExitMissingError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	case errors.As(err, &missing):
		// A write that broke may have ended the session; its error came first.
		select {
		case broken := <-r.broken:
			return 0, broken
		default:
		}
		return 0, r.client.lost()
	}
	return 0, err
}

// source remembers why reading ended, to tell it from why writing ended.
type source struct {
	from io.Reader
	err  error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// gate passes what is written on until it is shut.
type gate struct {
	to     io.Writer // nil: nowhere
	what   string
	broken chan<- error

	busy chan struct{} // holds one token while a Write is under way
	over atomic.Bool
}

func (r *running) gate(to io.Writer, what string) *gate {
	return &gate{to: to, what: what, broken: r.broken, busy: make(chan struct{}, 1)}
}

func (g *gate) Write(b []byte) (int, error) {
	g.busy <- struct{}{}
	defer func() { <-g.busy }()
	if g.over.Load() || g.to == nil {
		return len(b), nil
	}
	if _, err := g.to.Write(b); err != nil {
		g.over.Store(true)
		g.broken <- fmt.Errorf("%s: %w", g.what, err)
		// The rest is read and dropped: the command must not block on it until it is ended.
	}
	return len(b), nil
}

// shut returns when nothing is written any more; a Write that blocks it leaves behind.
func (g *gate) shut() {
	g.over.Store(true)
	timer := time.NewTimer(closure)
	defer timer.Stop()
	select {
	case g.busy <- struct{}{}:
		<-g.busy
	case <-timer.C:
	}
}
