package ssh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 2 * time.Second
)

// DialReady connects as soon as the host answers, until ctx ends. The first attempt is made at
// once. Errors that waiting does not heal end it at once: ErrAuth, ErrHostKey, ErrUnknownKey,
// ErrKeyFile, an error of OnPin, a jump host that does not forward. When ctx's deadline
// passes it returns *NotReadyError; when ctx is cancelled, its cause.
func DialReady(ctx context.Context, t Target) (*Client, error) {
	return dial(ctx, t, defaultLimits(), true)
}

// Dial connects now or fails: as DialReady, but a host that does not answer is a
// *NotReadyError after the first attempt.
func Dial(ctx context.Context, t Target) (*Client, error) {
	return dial(ctx, t, defaultLimits(), false)
}

// failure is an attempt that did not come to Ready.
type failure struct {
	state State
	err   error
	final bool // waiting does not heal it
}

// tellsMoreThan compares an attempt that ctx cut short after took with the one before it:
// it says more if it came further, or hung for long.
func (f *failure) tellsMoreThan(before *failure, took time.Duration) bool {
	order := []State{Unresolved, NoRoute, TimedOut, Refused, Banner, HostKey, Authentication}
	return f.state != before.state && (took > time.Second || slices.Index(order, f.state) > slices.Index(order, before.state))
}

func dial(ctx context.Context, t Target, lim limits, wait bool) (*Client, error) {
	began := time.Now()
	d, err := newDialer(ctx, t, lim)
	switch {
	case err != nil && ctx.Err() != nil: // the agent was not waited for
		return nil, fmt.Errorf("connect to %s: %w", t.endpoint().addr(), context.Cause(ctx))
	case err != nil:
		return nil, err
	}
	defer d.close()
	// A signature that the agent is asked for must not outlive ctx.
	defer context.AfterFunc(ctx, func() { _ = d.login.Close() })()

	var last *failure
	changed := began
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, d.gaveUp(ctx, last, time.Since(began))
		case <-timer.C:
		}
		if wait {
			// A lost packet is sent again after a second, a slow name server takes several.
			d.limits.connect = min(2*time.Second+time.Since(began)/4, lim.connect)
		}
		start := time.Now()
		c, f := d.attempt(ctx)
		if deadline, ok := ctx.Deadline(); f != nil && ok && !time.Now().Before(deadline) {
			<-ctx.Done() // the network's clock may be a moment ahead of the context's
		}
		switch {
		case f == nil:
			d.told.reached(Ready)
			return c, nil
		case f.final:
			return nil, f.err
		case ctx.Err() != nil:
			if last == nil || f.tellsMoreThan(last, time.Since(start)) {
				last = f
			}
			return nil, d.gaveUp(ctx, last, time.Since(began))
		case !wait:
			return nil, d.notReady(f, time.Since(began), nil)
		}
		if last == nil || last.state != f.state {
			changed = time.Now()
		}
		last = f
		t.log().Debug("SSH attempt", "host", t.endpoint().addr(), "state", f.state, "err", f.err)
		d.told.failed(f)
		timer.Reset(pause(time.Since(changed), rand.Float64()))
	}
}

// pause is a twentieth of the time that the state has lasted: a host that just changed its
// state is asked often, one that is down for minutes seldom, and the pause never adds
// noticeably to the wait. jitter, 0 to 1, keeps many waiting machines apart.
func pause(lasted time.Duration, jitter float64) time.Duration {
	p := min(max(lasted/20, shortestPause), longestPause)
	return p - time.Duration(jitter*float64(p)/4)
}

// dialer is what the attempts of one wait share.
type dialer struct {
	target  Target
	limits  limits
	login   *credentials
	host    *verifier
	hop     endpoint  // of the jump host
	hopHost *verifier // nil: no jump host
	hopConn *Client
	told    *told
}

func newDialer(ctx context.Context, t Target, lim limits) (*dialer, error) {
	d := &dialer{target: t, limits: lim, told: &told{fn: t.Waiting}}
	if t.Host == "" {
		return nil, errors.New("connect over SSH: no host given")
	}
	var err error
	if t.Jump != "" {
		if d.hop, err = t.jump(); err != nil {
			return nil, err
		}
		if d.hopHost, err = newVerifier(d.hop, t, t.ownKnownHosts()); err != nil {
			return nil, err
		}
	}
	if d.host, err = newVerifier(t.endpoint(), t, vouching(t)...); err != nil {
		return nil, err
	}
	if d.login, err = loadCredentials(ctx, t); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *dialer) close() {
	d.told.close()
	_ = d.login.Close()
	if d.hopConn != nil {
		_ = d.hopConn.Close()
	}
}

func (d *dialer) attempt(ctx context.Context) (*Client, *failure) {
	conn, f := d.connect(ctx)
	if f != nil {
		return nil, f
	}
	raw, f := handshake(ctx, conn, d.target.endpoint(), d.host, d.login, d.limits, d.told.reached)
	if f != nil {
		return nil, f
	}
	hop := d.hopConn
	d.hopConn = nil // the client's now
	return newClient(d.target, raw, hop), nil
}

// connect opens the way to the host.
func (d *dialer) connect(ctx context.Context) (net.Conn, *failure) {
	if d.hopHost == nil {
		return d.connectTCP(ctx, d.target.endpoint())
	}
	if f := d.connectHop(ctx); f != nil {
		f.err = &JumpError{Host: d.hop.addr(), Err: f.err}
		return nil, f
	}
	within, cancel := context.WithTimeoutCause(ctx, d.limits.connect, context.DeadlineExceeded)
	defer cancel()
	conn, err := d.hopConn.conn.DialContext(within, "tcp", d.target.endpoint().addr())
	if err == nil {
		return conn, nil
	}
	var open *gossh.OpenChannelError
	switch {
	case errors.As(err, &open) && (open.Reason == gossh.Prohibited || open.Reason == gossh.UnknownChannelType):
		return nil, &failure{state: NoRoute, final: true, err: &JumpError{
			Host: d.hop.addr(), Err: fmt.Errorf("it does not forward connections: %s", open.Message),
		}}
	case errors.As(err, &open), within.Err() != nil:
		return nil, &failure{state: networkState(err), err: fmt.Errorf("from jump host %s: %w", d.hop.addr(), err)}
	}
	// The connection to the jump host broke: the next attempt makes a new one.
	_ = d.hopConn.Close()
	d.hopConn = nil
	return nil, &failure{state: NoRoute, err: &JumpError{Host: d.hop.addr(), Err: err}}
}

func (d *dialer) connectTCP(ctx context.Context, e endpoint) (net.Conn, *failure) {
	within, cancel := context.WithTimeoutCause(ctx, d.limits.connect, context.DeadlineExceeded)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(within, "tcp", e.addr())
	if err != nil {
		return nil, &failure{state: networkState(err), err: err}
	}
	return conn, nil
}

// connectHop logs in on the jump host, unless that is done.
func (d *dialer) connectHop(ctx context.Context) *failure {
	if d.hopConn != nil {
		return nil
	}
	conn, f := d.connectTCP(ctx, d.hop)
	if f != nil {
		return f
	}
	raw, f := handshake(ctx, conn, d.hop, d.hopHost, d.login, d.limits, d.told.reached)
	if f == nil {
		d.hopConn = newClient(d.target, raw, nil)
	}
	return f
}

// gaveUp is the error of a wait that ctx ended.
func (d *dialer) gaveUp(ctx context.Context, last *failure, waited time.Duration) error {
	cause := context.Cause(ctx)
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("connect to %s: %w", d.target.endpoint().addr(), cause)
	}
	if last == nil {
		last = &failure{state: TimedOut}
	}
	return d.notReady(last, waited, cause)
}

func (d *dialer) notReady(f *failure, waited time.Duration, ended error) error {
	return &NotReadyError{
		Host: d.target.Host, Port: d.target.port(), State: f.state, Waited: waited, Err: f.err, ended: ended,
	}
}

// told passes changes of state on.
type told struct {
	fn func(State, string) // nil: to nobody

	mu     sync.Mutex
	last   State
	timer  *time.Timer
	turn   int // counts what was told or started, so that a late timer knows it is late
	closed bool
}

// lingering is how long a stage of a handshake lasts before it is worth telling.
const lingering = time.Second

// failed tells the state of an attempt that failed.
func (t *told) failed(f *failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
	detail := ""
	var jump *JumpError
	if f.err != nil && (f.state != Refused && f.state != TimedOut || errors.As(f.err, &jump)) {
		detail = plain(f.err).Error()
	}
	t.tell(f.state, detail)
}

// reached tells that an attempt under way came to s, if it stays there; Ready only ends what
// was told before.
func (t *told) reached(s State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
	if s == Ready {
		if t.last != "" {
			t.tell(s, "")
		}
		return
	}
	turn := t.turn
	t.timer = time.AfterFunc(lingering, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if turn == t.turn {
			t.tell(s, "")
		}
	})
}

func (t *told) tell(s State, detail string) {
	if t.closed || t.fn == nil || s == t.last {
		return
	}
	t.last = s
	t.fn(s, detail)
}

func (t *told) stop() {
	t.turn++
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *told) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
	t.closed = true
}
