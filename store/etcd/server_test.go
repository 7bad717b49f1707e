package etcd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/store/storetest"
)

// server is an etcd of Debian's on a port of its own.
type server struct {
	t    testing.TB
	dir  string
	addr string
	peer string
	args []string
	cmd  *exec.Cmd
	log  *os.File
	n    atomic.Int32
}

// startServer starts an etcd for one test or for several.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("needs etcd on PATH: apt-get install etcd-server")
	}
	s := &server{t: t, args: args}
	for try := 0; ; try++ { // another program may take a port that was free
		s.addr, s.peer = freePort(t), "http://"+freePort(t)
		s.dir = t.TempDir()
		s.start()
		if s.answers() {
			break
		}
		if s.kill(); try == 3 {
			text, _ := os.ReadFile(s.log.Name())
			t.Fatalf("etcd does not start: %s", text)
		}
	}
	t.Cleanup(s.kill)
	return s
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = log
	scheme := "http://"
	for _, arg := range s.args {
		if strings.HasPrefix(arg, "--cert-file") {
			scheme = "https://"
		}
	}
	s.cmd = exec.Command("etcd", append([]string{
		"--data-dir", filepath.Join(s.dir, "data"), "--unsafe-no-fsync",
		"--listen-client-urls", scheme + s.addr, "--advertise-client-urls", scheme + s.addr,
		"--listen-peer-urls", s.peer, "--initial-advertise-peer-urls", s.peer, "--initial-cluster", "default=" + s.peer,
		"--heartbeat-interval", "20", "--election-timeout", "200",
		"--logger", "zap",
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// answers waits until the server serves, or has ended.
func (s *server) answers() bool {
	ended := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(ended) }()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		text, _ := os.ReadFile(s.log.Name())
		if bytes.Contains(text, []byte("serving client ")) {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if c, err := net.Dial("tcp", s.addr); err != nil {
			break
		} else {
			_ = c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = s.log.Close()
}

// again starts the server that was killed.
func (s *server) again() {
	s.t.Helper()
	s.start()
	if !s.answers() {
		text, _ := os.ReadFile(s.log.Name())
		s.t.Fatalf("etcd does not start again: %s", text)
	}
}

// location is of a store of its own.
func (s *server) location() string {
	return fmt.Sprintf("etcd://%s/test/%d?lease=3s", s.addr, s.n.Add(1))
}

// operator is somebody who works on a store from a computer of his own.
func operator(t testing.TB, location, identity string, change ...func(*Config)) *Backend {
	t.Helper()
	l, err := Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Location: l, Dir: filepath.Join(t.TempDir(), "copy"), Identity: identity, User: "ann"}
	for _, f := range change {
		f(&c)
	}
	b, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// identity makes an identity, and who has it the first recipient of a store.
func identity(t testing.TB, location string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "identity.txt")
	b := operator(t, location, file)
	key, err := b.OwnRecipient(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.SetRecipients(t.Context(), "machine test", func(all []Recipient) ([]Recipient, error) {
		return append(all, Recipient{Key: key, Name: "number " + strconv.Itoa(len(all))}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConformance(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	storetest.Run(t, func(t *testing.T) storetest.Place {
		location := s.location()
		file := identity(t, location)
		return func() *store.Store { return store.OpenBackend(operator(t, location, file)) }
	})
}

// Nothing is copied to a store that nobody could read, and a dry run says so too.
func TestCopyWithoutRecipients(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	to := store.OpenBackend(operator(t, s.location(), t.TempDir()+"/ann.txt"))
	for _, dry := range []bool{true, false} {
		_, err := store.Copy(t.Context(), store.Open(t.TempDir()), to, store.CopyRequest{Command: "copy", DryRun: dry})
		wantErr(t, err, store.ErrNoRecipients)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	storetest.RunCopy(t, func(t *testing.T) storetest.Place {
		location := s.location()
		file := identity(t, location)
		return func() *store.Store { return store.OpenBackend(operator(t, location, file)) }
	})
}
