package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// sshTarget is an engine on a computer that is reached with OpenSSH's client,
// whose configuration and keys apply, as they do for the docker client.
type sshTarget struct {
	user, host, port string
	socket           string // of the engine there; empty: its default
}

func parseSSH(s string) (sshTarget, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "ssh" {
		return sshTarget{}, fmt.Errorf("%q is no address of a computer", s)
	}
	t := sshTarget{user: u.User.Username(), host: u.Hostname(), port: u.Port(), socket: u.Path}
	_, password := u.User.Password()
	switch {
	case t.host == "" || strings.HasPrefix(t.host, "-") || strings.HasPrefix(t.user, "-"):
		return sshTarget{}, fmt.Errorf("%q names no computer", s)
	case password:
		return sshTarget{}, errors.New("an ssh:// address holds no password: use a key")
	case u.RawQuery != "" || u.Fragment != "":
		return sshTarget{}, fmt.Errorf("%q: a query has no place in an ssh:// address", s)
	}
	return t, nil
}

// args returns the arguments of ssh.
func (t sshTarget) args() []string {
	args := []string{"-T", "-o", "ConnectTimeout=10"}
	if t.user != "" {
		args = append(args, "-l", t.user)
	}
	if t.port != "" {
		args = append(args, "-p", t.port)
	}
	args = append(args, "--", t.host, "docker")
	if t.socket != "" && t.socket != "/" {
		// ssh hands the words to a shell.
		args = append(args, "--host", "'unix://"+strings.ReplaceAll(t.socket, "'", `'\''`)+"'")
	}
	return append(args, "system", "dial-stdio")
}

// dial starts ssh. The connection outlives ctx, as those of other dialers do.
func (t sshTarget) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(run, "ssh", t.args()...)
	c := &sshConn{name: t.host, cmd: cmd, stop: stop, ended: make(chan struct{})}
	cmd.Stderr = &c.stderr
	cmd.WaitDelay = time.Second
	var err error
	if c.in, err = cmd.StdinPipe(); err == nil {
		if c.out, err = cmd.StdoutPipe(); err == nil {
			err = cmd.Start()
		}
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("run ssh: %w", err)
	}
	return c, nil
}

// sshConn is the standard input and output of an ssh process.
type sshConn struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	stderr tail
	stop   context.CancelFunc
	reap   sync.Once
	ended  chan struct{} // closed when the process is gone
}

// Read says what ssh had to say where its output ends without a word.
func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if n > 0 || err == nil {
		return n, err
	}
	return 0, c.why(err)
}

// Write says what ssh had to say where it takes no more. Whoever writes to a
// program that has ended may learn of it before a reader does.
func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	if err != nil {
		err = c.why(err)
	}
	return n, err
}

// why is what ssh said before it ended; without a word, err.
func (c *sshConn) why(err error) error {
	c.wait()
	timer := time.NewTimer(time.Second) // it has nothing left to do but to exit
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
	}
	if said := c.stderr.String(); said != "" {
		return fmt.Errorf("ssh to %s: %s", c.name, said)
	}
	return err
}

// wait frees the process when it ends. Nothing is read from it any more.
func (c *sshConn) wait() {
	c.reap.Do(func() {
		go func() {
			_ = c.cmd.Wait() // what it has to say is in stderr
			close(c.ended)
		}()
	})
}

// CloseWrite ends the input of the other side.
func (c *sshConn) CloseWrite() error { return c.in.Close() }

func (c *sshConn) Close() error {
	_ = c.in.Close()
	c.stop()
	c.wait()
	return nil
}

func (c *sshConn) LocalAddr() net.Addr              { return sshAddr(c.name) }
func (c *sshConn) RemoteAddr() net.Addr             { return sshAddr(c.name) }
func (c *sshConn) SetDeadline(time.Time) error      { return nil } // requests are bounded by their contexts
func (c *sshConn) SetReadDeadline(time.Time) error  { return nil }
func (c *sshConn) SetWriteDeadline(time.Time) error { return nil }

type sshAddr string

func (a sshAddr) Network() string { return "ssh" }
func (a sshAddr) String() string  { return string(a) }

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailSize; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

// String returns the end without blanks around it.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
