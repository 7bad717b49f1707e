// Package sshtest is an SSH server inside a test: it runs commands by the local shell or
// by the test's own function, and misbehaves when asked to. It speaks through
// x/crypto/ssh, so the tests that use it need not import that.
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/provision/ssh"
)

// Options are how a Server behaves. The zero value is a well-behaved host.
type Options struct {
	User       string        // who may log in; empty: "tester"
	Authorized []string      // authorized_keys lines, besides the key of Target
	HostKeys   [][]byte      // private keys; nil: a new ed25519 key
	Handler    Handler       // runs the commands; nil: the local shell in a temporary folder
	RefuseAuth bool          // refuse every login
	Booting    string        // say this at each login and break the connection off, as a host that still boots does
	Forward    bool          // let clients connect onwards, as a jump host does
	MaxAuth    int           // logins that a connection may try; 0: 6
	Banner     time.Duration // wait before the first line; negative: say nothing at all
	DropAfter  int64         // close each connection after that many bytes were sent; 0: never
	Slow       time.Duration // wait before every packet that is sent
	Stopped    bool          // nothing listens until Start
}

// Server is an SSH server on a loopback address. It stops when the test ends.
type Server struct {
	Host string
	Port int

	t    testing.TB
	opts Options
	dir  string // for the login key and known_hosts
	home string // where commands run

	mu       sync.Mutex
	listener net.Listener
	held     *os.File // keeps the port while nothing listens; may be nil
	hostKeys []gossh.Signer
	refuse   bool
	frozen   bool
	conns    map[net.Conn]struct{}
	accepted int
	logins   int
	commands []string
	sizes    []Size
	signals  []string
	running  sync.WaitGroup
}

// Size is that of a terminal.
type Size struct{ Width, Height int }

// New starts a server.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	if o.User == "" {
		o.User = "tester"
	}
	s := &Server{
		Host: "127.0.0.1", t: t, opts: o, refuse: o.RefuseAuth,
		dir: t.TempDir(), home: t.TempDir(), conns: map[net.Conn]struct{}{},
	}
	l := listenAnywhere(t)
	s.Port = l.Addr().(*net.TCPAddr).Port
	if len(o.HostKeys) == 0 {
		s.hostKeys = []gossh.Signer{newSigner(t)}
	}
	for _, k := range o.HostKeys {
		s.hostKeys = append(s.hostKeys, parseSigner(t, k))
	}
	if s.opts.Handler == nil {
		s.opts.Handler = Shell(s.home)
	}
	login, err := ssh.NewKeyPair("login")
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Authorized = append([]string{login.Authorized}, o.Authorized...)
	s.write("id_ed25519", login.Private)
	s.write("known_hosts", []byte(s.KnownHosts()))
	if o.Stopped {
		_ = l.Close()
		s.held = hold(s.Port)
	} else {
		s.accept(l)
	}
	t.Cleanup(func() {
		s.Stop()
		s.free()
		s.running.Wait()
	})
	return s
}

func (s *Server) write(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Target logs in: with a key that is authorized, and a known_hosts file that holds the
// host keys that the server has at first.
func (s *Server) Target() ssh.Target {
	return ssh.Target{
		Host: s.Host, Port: s.Port, User: s.opts.User,
		Key:        filepath.Join(s.dir, "id_ed25519"),
		KnownHosts: filepath.Join(s.dir, "known_hosts"),
	}
}

// Home is the folder in which commands run.
func (s *Server) Home() string { return s.home }

// KnownHosts returns the known_hosts lines of the server's present host keys.
func (s *Server) KnownHosts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, k := range s.hostKeys {
		line, err := ssh.KnownHostsLine(s.Host, s.Port, string(gossh.MarshalAuthorizedKey(k.PublicKey())))
		if err != nil {
			s.t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Authorize lets a further key log in; line is an authorized_keys line.
func (s *Server) Authorize(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Authorized = append(s.opts.Authorized, line)
}

// SetHostKeys replaces the host keys for new connections; private keys, none: a new one.
func (s *Server) SetHostKeys(private ...[]byte) {
	var keys []gossh.Signer
	for _, p := range private {
		keys = append(keys, parseSigner(s.t, p))
	}
	if len(keys) == 0 {
		keys = append(keys, newSigner(s.t))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKeys = keys
}

// SetRefuse refuses every login from now on, or no more.
func (s *Server) SetRefuse(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// SetBooting changes Options.Booting; empty: booted.
func (s *Server) SetBooting(words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Booting = words
}

// Freeze stops reading from all connections, or goes on: a host that fell off the network.
func (s *Server) Freeze(frozen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = frozen
}

// Commands returns the commands that were started, in order; "" is a login shell.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Connections returns how many TCP connections were accepted.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open returns how many connections are open now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Logins returns how many connections logged in; one is counted before its client is told.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Sizes returns the sizes of terminals that clients told, in order.
func (s *Server) Sizes() []Size {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Size(nil), s.sizes...)
}

// Signals returns the signals that clients sent, in order, such as TERM.
func (s *Server) Signals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.signals...)
}

// DropAll closes all connections without a word.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Stop closes the listener and all connections; the address refuses connections then.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	if s.held == nil {
		s.held = hold(s.Port) // for Start
	}
	s.frozen = false
	s.mu.Unlock()
	s.DropAll()
}

func newSigner(t testing.TB) gossh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return parseSigner(t, pem.EncodeToMemory(block))
}

func parseSigner(t testing.TB, private []byte) gossh.Signer {
	t.Helper()
	signer, err := gossh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
