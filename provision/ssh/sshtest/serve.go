package sshtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// FreePort returns a port of 127.0.0.1 on which nothing listens. Systems do not hand such
// ports out by themselves, so it stays free until the test uses it, unlike one that
// was listened on and given back.
func FreePort(t testing.TB) int {
	t.Helper()
	l := listenAnywhere(t)
	defer l.Close() //nolint:errcheck // nothing is to be done about it
	return l.Addr().(*net.TCPAddr).Port
}

// listenAnywhere listens on a free port.
func listenAnywhere(t testing.TB) net.Listener {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000) // below what Linux, macOS and Windows hand out
		if l, err := listenOn(t, port); err == nil {
			return l
		}
	}
	t.Fatal("no free port")
	return nil
}

func listenOn(t testing.TB, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// Start listens again, on the same address.
func (s *Server) Start() {
	s.t.Helper()
	s.free()
	l, err := listenOn(s.t, s.Port)
	for begun := time.Now(); err != nil && time.Since(begun) < 10*time.Second; l, err = listenOn(s.t, s.Port) {
		timer := time.NewTimer(10 * time.Millisecond) // another test looks whether the port is free
		<-timer.C
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.accept(l)
}

// free gives the port up that was held while nothing listened there.
func (s *Server) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		_ = s.held.Close()
		s.held = nil
	}
}

// accept serves those who connect.
func (s *Server) accept(l net.Listener) {
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.accepted++
			s.conns[conn] = struct{}{}
			s.mu.Unlock()
			s.running.Go(func() {
				s.serve(conn)
				_ = conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			})
		}
	})
}

func (s *Server) config(conn net.Conn) *gossh.ServerConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &gossh.ServerConfig{
		MaxAuthTries: s.opts.MaxAuth,
		PublicKeyCallback: func(meta gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.opts.Booting != "" {
				_ = conn.Close()
			}
			if s.refuse || meta.User() != s.opts.User {
				return nil, errors.New("refused")
			}
			for _, line := range s.opts.Authorized {
				known, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
				if err == nil && bytes.Equal(known.Marshal(), key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("unknown key")
		},
		// Counted before the client is told, so that who has logged in is counted.
		AuthLogCallback: func(_ gossh.ConnMetadata, _ string, err error) {
			if err != nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.logins++
		},
	}
	if s.opts.Booting != "" {
		words := s.opts.Booting
		c.BannerCallback = func(gossh.ConnMetadata) string { return words }
	}
	for _, k := range s.hostKeys {
		c.AddHostKey(k)
	}
	return c
}

func (s *Server) serve(conn net.Conn) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	defer cancel()
	if s.opts.Banner != 0 {
		// The client's hanging up is what ends a server that says nothing.
		first := make([]byte, 1)
		if s.opts.Banner < 0 {
			for {
				if _, err := conn.Read(first); err != nil {
					return
				}
			}
		}
		timer := time.NewTimer(s.opts.Banner)
		defer timer.Stop()
		<-timer.C
	}
	raw, channels, requests, err := gossh.NewServerConn(&badConn{Conn: conn, server: s}, s.config(conn))
	if err != nil {
		return
	}
	defer raw.Close() //nolint:errcheck // nothing is to be done about it
	s.running.Go(func() {
		for r := range requests {
			if r.WantReply {
				_ = r.Reply(r.Type == "keepalive@openssh.com", nil)
			}
		}
	})
	for c := range channels {
		switch {
		case c.ChannelType() == "session":
			ch, reqs, err := c.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.session(ctx, ch, reqs) })
		case c.ChannelType() == "direct-tcpip" && s.opts.Forward:
			s.running.Go(func() { forwardTCP(ctx, c) })
		case c.ChannelType() == "direct-streamlocal@openssh.com" && s.opts.Forward:
			s.running.Go(func() { forwardUnix(ctx, c) })
		default:
			_ = c.Reject(gossh.Prohibited, "administratively prohibited")
		}
	}
}

func forwardTCP(ctx context.Context, c gossh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := gossh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(gossh.ConnectionFailed, "malformed request")
		return
	}
	forward(ctx, c, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
}

func forwardUnix(ctx context.Context, c gossh.NewChannel) {
	var to struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	if err := gossh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(gossh.ConnectionFailed, "malformed request")
		return
	}
	forward(ctx, c, "unix", to.Path)
}

func forward(ctx context.Context, c gossh.NewChannel, network, addr string) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		_ = c.Reject(gossh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is to be done about it
	ch, reqs, err := c.Accept()
	if err != nil {
		return
	}
	defer ch.Close() //nolint:errcheck // nothing is to be done about it
	go gossh.DiscardRequests(reqs)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(conn, ch)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(ch, conn)
}

// badConn is a connection with the faults of the server's options.
type badConn struct {
	net.Conn
	server *Server
	sent   atomic.Int64
}

func (c *badConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for err == nil {
		c.server.mu.Lock()
		frozen := c.server.frozen
		c.server.mu.Unlock()
		if !frozen {
			break
		}
		timer := time.NewTimer(5 * time.Millisecond)
		<-timer.C
	}
	return n, err
}

func (c *badConn) Write(b []byte) (int, error) {
	if wait := c.server.opts.Slow; wait > 0 {
		timer := time.NewTimer(wait)
		<-timer.C
	}
	if limit := c.server.opts.DropAfter; limit > 0 && c.sent.Add(int64(len(b))) > limit {
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
