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

	var refused error // by the verifier
	config := &gossh.ClientConfig{
		User:              e.user,
		ClientVersion:     "SSH-2.0-machine",
		HostKeyAlgorithms: v.algorithms(),
		HostKeyCallback: func(addr string, remote net.Addr, key gossh.PublicKey) error {
			if refused = v.check(addr, remote, key); refused == nil {
				staged.move(Authentication)
			}
			return refused
		},
	}
	if len(c.signers) > 0 {
		config.Auth = []gossh.AuthMethod{gossh.PublicKeys(c.signers...)}
	}
	raw, channels, requests, err := gossh.NewClientConn(staged, e.addr(), config)
	state, expired := staged.finish()
	switch {
	case err == nil && expired == nil:
		return gossh.NewClient(raw, channels, requests), nil
	case err == nil: // ended in the instant of success
		raw.Close()
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
	return nil, &failure{state: state, err: trimHandshake(err)}
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
	enter  func(State) // may be nil

	mu      sync.Mutex
	state   State
	timer   *time.Timer
	done    bool
	expired error
	line    []byte // start of the line being read before the banner
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
	if c.timer != nil {
		c.timer.Stop()
	}
	c.state = s
	if !c.done {
		c.timer = time.AfterFunc(limit, func() { c.expire(fmt.Errorf("no progress within %s", limit)) })
	}
	c.mu.Unlock()
	if c.enter != nil {
		c.enter(s)
	}
}

// expire ends the handshake unless it is over.
func (c *stagedConn) expire(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || c.expired != nil {
		return
	}
	c.expired = why
	c.Conn.Close()
}

// finish returns the state that was reached, and why the handshake was ended, if it was.
func (c *stagedConn) finish() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	c.timer.Stop()
	return c.state, c.expired
}
