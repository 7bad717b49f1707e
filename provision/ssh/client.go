package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Client is one connection. Its methods may be called concurrently.
type Client struct {
	conn  *gossh.Client
	hop   *Client // connection to the jump host, which carries conn; nil: none
	addr  string
	term  string // name of the local terminal's type
	trips atomic.Int64
	slots chan struct{} // one for each session under way or wanted
	open  atomic.Int64  // sessions that are open

	closing sync.Once
	closed  chan struct{}
	why     atomic.Pointer[error] // why we closed it
}

func newClient(t Target, conn *gossh.Client, hop *Client) *Client {
	c := &Client{
		conn: conn, hop: hop, addr: t.endpoint().addr(), term: t.getenv("TERM"),
		slots: make(chan struct{}, maxSessions), closed: make(chan struct{}),
	}
	go c.keepAlive(t.keepAlive())
	return c
}

// keepAlive asks the host for a sign of life and closes the connection when it gave none
// three times.
func (c *Client) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan error, 1)
	waiting, missed := false, 0
	for {
		select {
		case <-c.closed:
			return
		case err := <-answers:
			if err != nil {
				_ = c.end(fmt.Errorf("%w: %w", ErrLost, err))
				return
			}
			waiting, missed = false, 0
		case <-tick.C:
			if !waiting {
				waiting = true
				go func() {
					_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
					answers <- err
				}()
				continue
			}
			if missed++; missed >= keepAliveMisses {
				_ = c.end(fmt.Errorf("%w: no sign of life from %s for %s", ErrLost, c.addr, every*keepAliveMisses))
				return
			}
		}
	}
}

// end closes the connection once; why is what commands that still run return.
func (c *Client) end(why error) error {
	var err error
	c.closing.Do(func() {
		c.why.Store(&why)
		close(c.closed)
		err = c.conn.Close()
		if errors.Is(err, net.ErrClosed) {
			err = nil // the host was faster
		}
		if c.hop != nil {
			err = errors.Join(err, c.hop.Close())
		}
	})
	return err
}

// lost tells why a command has no result.
func (c *Client) lost() error {
	if why := c.why.Load(); why != nil {
		return *why
	}
	return fmt.Errorf("%w: %s", ErrLost, c.addr)
}

// Trips returns how many round trips of commands this connection has made.
func (c *Client) Trips() int { return int(c.trips.Load()) }

// Close ends the connection, and the commands that run on it. It may be called more than once.
func (c *Client) Close() error { return c.end(fmt.Errorf("%w: closed", ErrLost)) }

// DialContext connects from the host to addr: "tcp" with host:port, "unix" with the path of
// a socket. Deadlines of the connection are not supported. It fits http.Transport.
func (c *Client) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.conn.DialContext(ctx, network, addr)
	if err == nil {
		return conn, nil
	}
	var open *gossh.OpenChannelError
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &open):
		err = errors.New(open.Message)
	default:
		if dead := c.dead(); dead != nil {
			err = dead
		}
	}
	return nil, fmt.Errorf("connect from %s to %s: %w", c.addr, addr, err)
}

// dead returns why the connection is gone, nil while it is not known to be.
func (c *Client) dead() error {
	if why := c.why.Load(); why != nil {
		return *why
	}
	return nil
}
