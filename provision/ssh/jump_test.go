package ssh_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// through is the host's target by way of a jump host, which the user's own known_hosts knows.
func through(t *testing.T, hop, host *sshtest.Server) ssh.Target {
	t.Helper()
	target := host.Target()
	login, err := os.ReadFile(target.Key)
	if err != nil {
		t.Fatal(err)
	}
	hop.Authorize(public(t, login))
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	// A line that is not understood must not hide the others.
	known := "nonsense\n" + hop.KnownHosts()
	if err := os.WriteFile(filepath.Join(home, ".ssh", "known_hosts"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	target.Jump = net.JoinHostPort(hop.Host, strconv.Itoa(hop.Port))
	target.Getenv = env("HOME", home, "USER", "tester")
	return target
}

func TestJump(t *testing.T) {
	t.Parallel()
	hop, host := sshtest.New(t, sshtest.Options{Forward: true}), sshtest.New(t, sshtest.Options{})
	target := through(t, hop, host)
	c := connect(t, target)
	var out strings.Builder
	if err := c.Run(t.Context(), "echo there", nil, &out); err != nil || out.String() != "there\n" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
	if hop.Logins() != 1 || host.Logins() != 1 || len(hop.Commands()) != 0 {
		t.Errorf("%d logins on the jump host, %d on the host, commands %q on the jump host", hop.Logins(), host.Logins(), hop.Commands())
	}
	t.Run("is closed with the connection", func(t *testing.T) {
		c := connect(t, target)
		if hop.Open() != 2 {
			t.Fatalf("%d connections to the jump host, want 2", hop.Open())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		eventually(t, "the connection to the jump host is closed", func() bool { return hop.Open() == 1 && host.Open() == 1 })
	})
	t.Run("its end is the connection's end", func(t *testing.T) {
		hop.DropAll()
		if err := c.Run(t.Context(), "true", nil, nil); !errors.Is(err, ssh.ErrLost) {
			t.Errorf("got %v", err)
		}
	})
}

func TestJumpWaitsForTheHostWithOneLogin(t *testing.T) {
	t.Parallel()
	hop, host := sshtest.New(t, sshtest.Options{Forward: true}), sshtest.New(t, sshtest.Options{Stopped: true})
	target := through(t, hop, host)
	told := states{on: func(state ssh.State) {
		if state == ssh.Refused {
			host.Start()
		}
	}}
	target.Waiting = told.add
	connect(t, target)
	if hop.Logins() != 1 {
		t.Errorf("%d logins on the jump host", hop.Logins())
	}
	if got := told.String(); !strings.HasSuffix(got, "connection refused|; ready|") { // a slow login is told before
		t.Errorf("told %q", got)
	}
}

func TestJumpLostWhileWaiting(t *testing.T) {
	t.Parallel()
	hop, host := sshtest.New(t, sshtest.Options{Forward: true}), sshtest.New(t, sshtest.Options{Stopped: true})
	target := through(t, hop, host)
	var once sync.Once
	told := states{on: func(state ssh.State) {
		if state == ssh.Refused {
			once.Do(func() {
				hop.DropAll()
				host.Start()
			})
		}
	}}
	target.Waiting = told.add
	connect(t, target)
	if hop.Logins() != 2 {
		t.Errorf("%d logins on the jump host", hop.Logins())
	}
}

func TestJumpFails(t *testing.T) {
	t.Parallel()
	host := sshtest.New(t, sshtest.Options{})
	forward := sshtest.Options{Forward: true}
	for _, test := range []struct {
		name    string
		hop     *sshtest.Server
		change  func(*sshtest.Server, *ssh.Target)
		want    error
		text    string
		forever ssh.State // what is waited for; empty: nothing, waiting does not heal it
	}{
		{
			name: "malformed", hop: sshtest.New(t, forward), want: ssh.ErrJump, text: "parse jump host",
			change: func(_ *sshtest.Server, target *ssh.Target) { target.Jump = "-oProxyCommand=x" },
		},
		{name: "login refused", hop: sshtest.New(t, sshtest.Options{Forward: true, RefuseAuth: true}), want: ssh.ErrAuth, text: "tried"},
		{
			name: "host key changed", hop: sshtest.New(t, forward), want: ssh.ErrHostKey, text: "presents",
			change: func(s *sshtest.Server, _ *ssh.Target) { s.SetHostKeys() },
		},
		{
			name: "host key unknown", hop: sshtest.New(t, forward), want: ssh.ErrUnknownKey, text: "not known",
			change: func(_ *sshtest.Server, target *ssh.Target) { target.Getenv = env("USER", "tester") },
		},
		{name: "does not forward", hop: sshtest.New(t, sshtest.Options{}), want: ssh.ErrJump, text: "does not forward"},
		{name: "down", hop: sshtest.New(t, sshtest.Options{Forward: true, Stopped: true}), want: ssh.ErrNotReady, text: "refused", forever: ssh.Refused},
		{name: "silent", hop: sshtest.New(t, sshtest.Options{Forward: true, Banner: -1}), want: ssh.ErrNotReady, text: "no SSH banner", forever: ssh.Banner},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := through(t, test.hop, host)
			at := target.Jump
			if test.change != nil {
				test.change(test.hop, &target)
			}
			ctx, pass := deadline(t)
			told := states{on: func(state ssh.State) {
				if state == test.forever {
					pass()
				}
			}}
			target.Waiting = told.add
			_, err := ssh.DialReady(ctx, target)
			if !errors.Is(err, ssh.ErrJump) || !errors.Is(err, test.want) || errors.Is(err, ssh.ErrNotReady) != (test.forever != "") {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), test.text) || test.name != "malformed" && !strings.Contains(err.Error(), "jump host "+at) {
				t.Errorf("got %q, want %q and the jump host in it", err, test.text)
			}
		})
	}
}

func TestJumpToAHostThatIsNotThere(t *testing.T) {
	t.Parallel()
	hop, host := sshtest.New(t, sshtest.Options{Forward: true}), sshtest.New(t, sshtest.Options{Stopped: true})
	for name, want := range map[string]ssh.State{host.Host: ssh.Refused, "no-such-host.invalid": ssh.Unresolved} {
		target := through(t, hop, host)
		target.Host = name
		_, err := ssh.Dial(within(t, 20*time.Second), target)
		var got *ssh.NotReadyError
		if !errors.As(err, &got) || got.State != want || errors.Is(err, ssh.ErrJump) {
			t.Errorf("got %v, want state %q", err, want)
		}
	}
}

func TestJumpIsPinnedToo(t *testing.T) {
	t.Parallel()
	hop, host := sshtest.New(t, sshtest.Options{Forward: true}), sshtest.New(t, sshtest.Options{})
	target := through(t, hop, host)
	target.Getenv = env("USER", "tester")
	target.KnownHosts, target.Pin = filepath.Join(t.TempDir(), "known_hosts"), true
	var lines string
	target.OnPin = func(line, _ string) error {
		lines += line + "\n"
		return os.WriteFile(target.KnownHosts, []byte(lines), 0o600)
	}
	connect(t, target)
	if want := hop.KnownHosts() + host.KnownHosts(); lines != want {
		t.Errorf("pinned %q, want %q", lines, want)
	}
	target.Pin, target.OnPin = false, nil
	connect(t, target)
}

func TestJumpUser(t *testing.T) {
	t.Parallel()
	hop := sshtest.New(t, sshtest.Options{Forward: true, User: "gate"})
	host := sshtest.New(t, sshtest.Options{})
	target := through(t, hop, host)
	if _, err := ssh.Dial(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrAuth) || !strings.Contains(err.Error(), `as "tester"`) {
		t.Errorf("got %v", err)
	}
	target.Jump = "gate@" + target.Jump
	connect(t, target)
}
