package docker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestMain lets the test binary be the ssh that the driver runs.
func TestMain(m *testing.M) {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "ssh" {
		os.Exit(fakeSSH(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fakeSSH connects its input and output to the engine at $FAKE_ENGINE, or
// refuses as ssh does.
func fakeSSH(args []string) int {
	if want := "-T -o ConnectTimeout=10 -l me -- engine.example.com docker system dial-stdio"; strings.Join(args, " ") != want {
		fmt.Fprintf(os.Stderr, "called as %q\n", args)
		return 255
	}
	at := os.Getenv("FAKE_ENGINE")
	if at == "" {
		fmt.Fprintln(os.Stderr, "me@engine.example.com: Permission denied (publickey).")
		return 255
	}
	c, err := net.Dial("tcp", at)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, c)
	return 0
}

func becomeSSH(t *testing.T, engine string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege on Windows")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("FAKE_ENGINE", engine)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // nothing may come between
}

func TestEngineOverSSH(t *testing.T) {
	s := newStub()
	becomeSSH(t, strings.TrimPrefix(serve(t, s), "tcp://"))
	m := newHost(t, testFactory(), "m1", on("ssh://me@engine.example.com"))
	got := m.mustCreate()
	if got.Host != "engine.example.com" || got.SSHPort < 1024 || got.Peer != "172.28.0.2" {
		t.Errorf("%+v", got)
	}
	for _, c := range s.containers {
		for port, bindings := range c.host.PortBindings {
			if bindings[0].HostIP.String() != "0.0.0.0" {
				t.Errorf("%s is published on %s of another computer", port, bindings[0].HostIP)
			}
		}
	}
	if err := m.Remove(t.Context()); err != nil || len(s.containers) > 0 {
		t.Errorf("%v, left %v", err, s.containers)
	}
}

func TestEngineOverSSHRefuses(t *testing.T) {
	becomeSSH(t, "")
	err := newHost(t, testFactory(), "m1", on("ssh://me@engine.example.com")).Check(t.Context())
	if !errors.Is(err, drivers.ErrUnreachable) || !strings.Contains(err.Error(), "Permission denied (publickey)") ||
		!strings.Contains(hintOf(err), "docker -H ssh://me@engine.example.com version") {
		t.Errorf("got %v (%s)", err, hintOf(err))
	}
}

// TestWriteToEndedSSH writes when ssh has ended for certain: the transport may
// meet either end of the connection first.
func TestWriteToEndedSSH(t *testing.T) {
	becomeSSH(t, "")
	c, err := sshTarget{user: "me", host: "engine.example.com"}.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil {
		_, err = c.Write([]byte("GET /_ping HTTP/1.1\r\n"))
	}
	if !strings.Contains(err.Error(), "Permission denied (publickey)") {
		t.Errorf("got %v", err)
	}
}
