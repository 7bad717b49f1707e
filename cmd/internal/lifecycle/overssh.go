package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision/ssh"
)

// engineSocket is where an engine answers on its host.
const engineSocket = "/var/run/docker.sock"

// sshURL is the machine's engine as docker clients write one that is reached through SSH.
func (x *machine) sshURL() string {
	at := x.rec.Address
	u := url.URL{Scheme: "ssh", User: url.User(at.User), Host: net.JoinHostPort(at.Host, strconv.Itoa(cmp.Or(at.SSHPort, 22)))}
	return u.String()
}

// engineOverSSH opens the engine of a machine whose docker clients go through SSH.
func (x *machine) engineOverSSH() (*engine, error) {
	if x.rec.Address.Host == "" {
		return nil, fmt.Errorf("open engine of %q: %w", x.rec.Name, ErrNotRunning)
	}
	t := &tunnel{target: x.target()}
	eng := newEngine(x.rec.Name, "http://docker", nil, t.dialSocket)
	eng.tunnel = t
	return eng, nil
}

// dialSocket reaches the engine's socket on the host.
func (t *tunnel) dialSocket(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := t.login(ctx)
	if err != nil {
		return nil, err
	}
	return dialSocket(ctx, conn, dialStdio)
}

// dialStdio is what docker clients run on a host that they reach through SSH.
const dialStdio = "docker system dial-stdio"

// dialSocket reaches the engine's socket by a forwarded connection, or where sshd does not forward such as a docker client
// does, by one of the commands.
func dialSocket(ctx context.Context, conn *ssh.Client, commands ...string) (net.Conn, error) {
	c, err := conn.DialContext(ctx, "unix", engineSocket)
	if err == nil {
		return c, nil
	}
	for _, command := range commands {
		there, cerr := dialCommand(ctx, conn, command)
		if cerr == nil {
			return there, nil
		}
		err = errors.Join(err, cerr)
	}
	return nil, err
}

// dialCommand is a connection to whatever a command on the host connects its standard input and output to. One that ends
// at once is an error.
func dialCommand(ctx context.Context, conn *ssh.Client, command string) (net.Conn, error) {
	if err := conn.Run(ctx, "command -v docker >/dev/null", nil, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	here, there := net.Pipe()
	running, end := context.WithCancelCause(context.WithoutCancel(ctx))
	go func() {
		err := conn.Run(running, command, there, there)
		end(err)
		_ = there.Close() // always nil; what is read here ends
	}()
	return &commandConn{Conn: here, end: end}, nil
}

// commandConn ends the command with the connection.
type commandConn struct {
	net.Conn
	end  context.CancelCauseFunc
	once sync.Once
}

func (c *commandConn) Close() error {
	c.once.Do(func() { c.end(net.ErrClosed) })
	return c.Conn.Close()
}

// secured returns why what is asked for cannot be done on a machine on which nothing is ours.
func (x *machine) secured(what string) error {
	if !x.rec.OverSSH {
		return nil
	}
	return fmt.Errorf("%s: %q: %w", what, x.rec.Name, ErrOverSSH)
}

// engineError is an engine that does not answer the way that clients go.
func (x *machine) engineError(err error) error {
	if x.rec.OverSSH {
		return fmt.Errorf("engine does not answer through SSH: %s: %w", x.engineURL(), err)
	}
	err = &EngineError{URL: x.engineURL(), Err: err}
	if _, ok := x.drv.(drivers.Unmanaged); ok {
		err = &drivers.HintError{Err: err, Advice: "Check that the engine runs and that a firewall lets the port through: this program knows the engine by its URL only and repairs nothing there."}
	}
	return err
}
