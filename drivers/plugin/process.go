package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound the waits for a plugin. Zero means the default.
type Limits struct {
	Address   time.Duration // until it says where it listens: 20 s
	Heartbeat time.Duration // between heartbeats: 5 s
	Answer    time.Duration // to a heartbeat: 30 s
	Question  time.Duration // to calls that ask: 2 min
	Work      time.Duration // to calls that change the host, other than Create: 15 min
	Stop      time.Duration // until a host that was told to stop has: 3 min
	Close     time.Duration // until a plugin that was told to end has: 2 s
}

func (l Limits) complete() Limits {
	for _, f := range []struct {
		limit *time.Duration
		unset time.Duration
	}{
		{&l.Address, 20 * time.Second}, {&l.Heartbeat, 5 * time.Second}, {&l.Answer, 30 * time.Second},
		{&l.Question, 2 * time.Minute}, {&l.Work, 15 * time.Minute}, {&l.Stop, 3 * time.Minute}, {&l.Close, 2 * time.Second},
	} {
		if *f.limit == 0 {
			*f.limit = f.unset
		}
	}
	return l
}

// process is a plugin that runs.
type process struct {
	program string
	limits  Limits
	cmd     *exec.Cmd
	conn    *conn
	said    tail
	sink    atomic.Pointer[sink] // whom it works for
	gone    chan struct{}        // closed once it has ended

	mu      sync.Mutex
	closing bool
	fault   error // why it is not to be used any more
	busy    bool  // with a call that nobody waits for any more
	spent   bool  // what it may remember of the host is not so any more

	config []byte // the configuration that it was given last, or has told since
	owner  string // the machine that it was given this for; empty: none yet
	blank  object // what its configuration was at first, of one that lists share
	nobody string // what it said of nobody then
}

// sink takes what a plugin says.
type sink struct {
	note  func(line string) // from standard output: for the person who waits
	debug func(line string) // from standard error
}

// start runs a plugin and connects to it.
func start(ctx context.Context, program, driver string, environ []string, limits Limits, s *sink) (*process, error) {
	p := &process{program: program, limits: limits, gone: make(chan struct{})}
	p.sink.Store(s)
	address := make(chan string, 1)
	first := true
	out := &lineWriter{fn: func(line string) {
		if first {
			first = false
			address <- line
		} else if s := p.sink.Load(); s.note != nil && strings.TrimSpace(line) != "" {
			s.note(line)
		}
	}}
	errs := &lineWriter{fn: func(line string) {
		p.said.add(line)
		if s := p.sink.Load(); s.debug != nil {
			s.debug(line)
		}
	}}
	p.cmd = exec.Command(program) //nolint:noctx // it is closed in good order first
	p.cmd.Env = pluginEnviron(environ, driver)
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	p.cmd.SysProcAttr = apart()
	p.cmd.WaitDelay = limits.Close // what it has started may hold its output open, and is not ours
	if err := p.cmd.Start(); err != nil {
		return nil, wrong(ErrStart, "Run it by hand: it should say that it is a plugin.", "%w", err)
	}
	go func() {
		_ = p.cmd.Wait() // its state tells
		errs.end()
		close(p.gone)
	}()
	if err := p.connect(ctx, address); err != nil {
		p.kill()
		return nil, err
	}
	go p.beat(context.WithoutCancel(ctx)) // heartbeats go on while a command ends
	return p, nil
}

// pluginEnviron is the environment of a plugin.
func pluginEnviron(environ []string, driver string) []string {
	env := make([]string, 0, len(environ)+2)
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); name != TokenVariable && name != NameVariable {
			env = append(env, kv)
		}
	}
	return append(env, TokenVariable+"="+Token, NameVariable+"="+driver)
}

// connect waits for the address that a plugin listens at and asks for its version.
func (p *process) connect(ctx context.Context, address <-chan string) error {
	const advice = "The program should be one built with docker-machine's plugin library; try another version of it."
	ctx, cancel := context.WithTimeoutCause(ctx, p.limits.Address,
		wrong(ErrSilent, advice, "%s said nothing in %v", p.program, p.limits.Address))
	defer cancel()
	var at string
	select {
	case at = <-address:
	case <-p.gone:
		return p.crashed()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	host, _, err := net.SplitHostPort(strings.TrimSpace(at))
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		if len(at) > 100 {
			at = at[:100] + "..."
		}
		return wrong(ErrGarbage, advice, "%s said %q where its address was expected", p.program, at)
	}
	if p.conn, err = dial(ctx, strings.TrimSpace(at)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return wrong(ErrGarbage, advice, "connect to %s at %s: %w", p.program, strings.TrimSpace(at), err)
	}
	version := 0
	err = p.conn.call(ctx, methodGetVersion, struct{}{}, &version)
	var remote remoteError
	if errors.As(err, &remote) {
		p.conn.service = OldService
		err = p.conn.call(ctx, methodGetVersion, struct{}{}, &version)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errEnded) && p.ended(): // the plugin, not the connection alone
		return p.crashed()
	case err != nil:
		return wrong(ErrGarbage, advice, "ask %s for its version: %w", p.program, err)
	case version != Version:
		return wrong(ErrVersion, advice, "Driver binary uses an incompatible API version (%d)", version)
	}
	return nil
}

// ended tells whether the plugin has, giving it a moment after its connection has: that of WaitDelay too, if what it
// started holds its output open.
func (p *process) ended() bool {
	timer := time.NewTimer(2 * p.limits.Close)
	defer timer.Stop()
	select {
	case <-p.gone:
		return true
	case <-timer.C:
		return false
	}
}

// crashed is the error of a plugin that has ended.
func (p *process) crashed() error {
	text := fmt.Sprintf("%s: %v", p.program, p.cmd.ProcessState)
	if said := p.said.told(); said != "" {
		text += ": " + said
	}
	return wrong(ErrCrashed, "machine --debug shows all that it said.", "%s", text)
}

// beat sends heartbeats until the plugin ends. Without them it would end by itself.
func (p *process) beat(ctx context.Context) {
	ticker := time.NewTicker(p.limits.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-p.gone:
			return
		case <-ticker.C:
		}
		if !p.answers(ctx) {
			return
		}
	}
}

// answers sends a heartbeat. A plugin that does not answer it is killed, which ends its calls.
func (p *process) answers(ctx context.Context) bool {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- p.conn.call(ctx, methodHeartbeat, struct{}{}, nil) }()
	timer := time.NewTimer(p.limits.Answer)
	defer timer.Stop()
	select {
	case err := <-done:
		var remote remoteError
		return err == nil || errors.As(err, &remote) // an answer, too
	case <-p.gone:
		return false
	case <-timer.C:
		p.abandon(wrong(ErrHeartbeat, "The plugin hangs: run the same command again, with --debug to see what it was at.",
			"%s, for %v", p.program, p.limits.Answer))
		return false
	}
}

// abandon kills a plugin for a reason that its calls then end with.
func (p *process) abandon(why error) {
	p.mu.Lock()
	if p.fault == nil {
		p.fault = why
	}
	p.mu.Unlock()
	p.kill()
	p.conn.fail(why)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	if p.conn != nil {
		p.conn.fail(errEnded)
	}
}

// call is a call within a limit; 0: none but ctx's.
func (p *process) call(ctx context.Context, limit time.Duration, method string, args, reply any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	bounded := ctx
	hung := wrong(ErrHung, "The plugin, or its provider, hangs: run the same command again, with --debug to see what it was at.",
		"%s: %s, for %v", p.program, method, limit)
	if limit > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(ctx, limit, hung)
		defer cancel()
	}
	err := p.conn.call(bounded, method, args, reply)
	switch {
	case err == nil:
		return nil
	case context.Cause(ctx) != nil:
		p.mu.Lock()
		p.busy = true // it is still at it
		p.mu.Unlock()
		return context.Cause(ctx)
	case bounded.Err() != nil:
		p.abandon(hung)
		return hung
	}
	var remote remoteError
	if errors.As(err, &remote) {
		return err
	}
	p.mu.Lock()
	fault := p.fault
	p.mu.Unlock()
	switch {
	case fault != nil:
		return fault
	case p.ended():
		return p.crashed()
	}
	fault = wrong(ErrGarbage, "Try another version of the plugin.", "%s: answer to %s: %w", p.program, method, err)
	p.abandon(fault)
	return fault
}

// usable tells whether the plugin can be called.
func (p *process) usable() bool {
	select {
	case <-p.gone:
		return false
	default:
	}
	p.mu.Lock()
	busy := p.busy || p.closing
	p.mu.Unlock()
	p.conn.mu.Lock()
	defer p.conn.mu.Unlock()
	return !busy && p.conn.broken == nil
}

// spend has the process not be used by another act: some plugins remember what they were told of a host.
func (p *process) spend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent = true
}

// reusable tells whether another act may use the process.
func (p *process) reusable() bool {
	p.mu.Lock()
	spent := p.spent
	p.mu.Unlock()
	return !spent && p.usable()
}

// close has the plugin end, in good order if it does so soon.
func (p *process) close(ctx context.Context) {
	p.mu.Lock()
	closing := p.closing
	p.closing = true
	p.mu.Unlock()
	if closing {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), p.limits.Close, errEnded)
	defer cancel()
	_ = p.conn.call(ctx, methodClose, struct{}{}, nil) // it may end before it answers
	select {
	case <-p.gone:
	case <-ctx.Done():
		p.kill()
		<-p.gone
	}
	p.conn.fail(errEnded)
}
