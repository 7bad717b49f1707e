package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// limits bound the parts of one attempt.
type limits struct {
	connect time.Duration // TCP, including the name's resolution
	banner  time.Duration // from the connection to the server's first line
	hostKey time.Duration // key exchange
	auth    time.Duration // login; a hardware key may want to be touched meanwhile
}

func defaultLimits() limits {
	return limits{connect: 15 * time.Second, banner: 10 * time.Second, hostKey: 30 * time.Second, auth: 2 * time.Minute}
}

// handshake logs in over conn, which it closes on failure, and tells how far that came.
func handshake(ctx context.Context, conn net.Conn, e endpoint, v *verifier, c *credentials, lim limits, enter func(State)) (*gossh.Client, *failure) {
	staged := &stagedConn{Conn: conn, limits: lim, enter: enter}
	staged.move(Banner)
	stop := context.AfterFunc(ctx, func() { staged.expire(context.Cause(ctx)) })
	defer stop()

	config := &gossh.ClientConfig{
		User:              e.user,
		ClientVersion:     "SSH-2.0-machine",
		HostKeyAlgorithms: v.algorithms(),
		HostKeyCallback: func(addr string, remote net.Addr, key gossh.PublicKey) error {
			return staged.judge(func() error { return v.check(addr, remote, key) })
		},
		BannerCallback: staged.note,
	}
	if len(c.signers) > 0 {
		config.Auth = []gossh.AuthMethod{gossh.PublicKeys(c.signers...)}
	}
	raw, channels, requests, err := gossh.NewClientConn(staged, e.addr(), config)
	state, refused, expired := staged.finish(err == nil)
	switch {
	case err == nil && expired == nil:
		return gossh.NewClient(raw, channels, requests), nil
	case err == nil: // ended in the instant of success
		_ = raw.Close()
		return nil, &failure{state: state, err: expired}
	case refused != nil:
		return nil, &failure{state: HostKey, err: refused, final: true}
	case expired != nil:
		return nil, &failure{state: state, err: expired}
	case state == Authentication && isRefusal(err):
		return nil, &failure{state: state, final: true, err: &AuthError{
			Host: e.host, User: e.user, Keys: slices.Clone(c.offered), Skipped: slices.Clone(c.skipped),
		}}
	}
	return nil, &failure{state: state, err: staged.explain(trimHandshake(err))}
}

// isRefusal tells a login that the server refused from a connection that broke. A host that
// is still booting breaks connections; only a refusal is worth ending the wait.
func isRefusal(err error) bool {
	text := strings.ToLower(err.Error()) // servers differ in case
	return strings.Contains(text, "unable to authenticate") ||
		strings.Contains(text, "too many authentication failures") ||
		strings.Contains(text, "no common public key signature algorithm")
}

// trimHandshake drops the library's prefix, which the state says already.
func trimHandshake(err error) error {
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "ssh: handshake failed: ") {
		return inner
	}
	return err
}

// stagedConn tells how far a handshake came and ends one that stands still. A timer does
// it, not a deadline: connections through a jump host have none.
type stagedConn struct {
	net.Conn
	limits limits
	enter  func(State)
	line   []byte // start of the line being read before the banner

	mu      sync.Mutex
	state   State
	timer   *time.Timer
	done    bool
	expired error
	message string // last words of the server to its user

	// verdict is held while the host key is judged, which may go on when the connection is
	// closed already, and happens again in the connection's life.
	verdict   sync.Mutex
	refused   error
	abandoned bool
}

// judge lets check decide about the host key, unless the handshake failed meanwhile: a key
// must not be pinned for a caller that is gone.
func (c *stagedConn) judge(check func() error) error {
	c.verdict.Lock()
	defer c.verdict.Unlock()
	if c.abandoned {
		return net.ErrClosed
	}
	c.refused = check()
	if c.refused == nil {
		c.move(Authentication)
	}
	return c.refused
}

// note keeps what the server tells the user during login.
func (c *stagedConn) note(message string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.message = message
	return nil
}

// explain adds what the server said before it broke off: a host that still boots tells so.
func (c *stagedConn) explain(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if words := strings.Join(strings.Fields(c.message), " "); words != "" {
		return fmt.Errorf("%w: the host says %q", err, brief(words))
	}
	return err
}

// Read watches for the server's banner; lines before it are allowed.
func (c *stagedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	looking := c.state == Banner
	c.mu.Unlock()
	if looking && c.bannerIn(b[:n]) {
		c.move(HostKey)
	}
	return n, err
}

func (c *stagedConn) bannerIn(b []byte) bool {
	const banner = "SSH-"
	for _, x := range b {
		switch {
		case x == '\n':
			c.line = c.line[:0]
		case len(c.line) < len(banner):
			c.line = append(c.line, x)
		}
		if string(c.line) == banner {
			return true
		}
	}
	return false
}

func (c *stagedConn) move(s State) {
	limit := map[State]time.Duration{Banner: c.limits.banner, HostKey: c.limits.hostKey, Authentication: c.limits.auth}[s]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.state = s
	c.timer = time.AfterFunc(limit, func() { c.expire(fmt.Errorf("no progress within %s", limit)) })
	c.enter(s)
}

// expire ends the handshake unless it is over.
func (c *stagedConn) expire(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || c.expired != nil {
		return
	}
	c.expired = why
	_ = c.Conn.Close()
}

// finish returns the state that was reached, and why the verifier or the clock ended the
// handshake, if they did.
func (c *stagedConn) finish(ok bool) (state State, refused, expired error) {
	c.verdict.Lock()
	defer c.verdict.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done, c.abandoned = true, !ok
	c.timer.Stop()
	return c.state, c.refused, c.expired
}
