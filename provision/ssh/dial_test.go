package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// within is a context whose deadline has a cause of its own.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errOutOfTime)
	t.Cleanup(cancel)
	return ctx
}

var errOutOfTime = errors.New("the phase is over")

// soon is far less than what the tests' hosts would have one wait, and much for a loaded machine.
const soon = 15 * time.Second

// deadline is a context whose deadline passes when pass is called.
func deadline(t *testing.T) (ctx context.Context, pass func()) {
	t.Helper()
	inner, cancel := context.WithCancelCause(t.Context())
	return passing{inner}, func() { cancel(errOutOfTime) }
}

type passing struct{ context.Context }

func (p passing) Err() error {
	if p.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// states collects what Waiting is told.
type states struct {
	on   func(ssh.State) // is told too; may be nil
	mu   sync.Mutex
	text []string
}

func (s *states) add(state ssh.State, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, string(state)+"|"+detail)
	if s.on != nil {
		s.on(state)
	}
}

func (s *states) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.text, "; ")
}

// peer is a TCP server that does no more than fn, which ends when the test does.
func peer(t *testing.T, fn func(ctx context.Context, conn net.Conn)) ssh.Target {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				defer stop()
				fn(ctx, conn)
			})
		}
	})
	return ssh.Target{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "tester"}
}

func TestDialReadyWaitsForTheServer(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{Stopped: true})
	target := server.Target()
	told := states{on: func(state ssh.State) {
		if state == ssh.Refused {
			server.Start()
		}
	}}
	target.Waiting = told.add
	c, err := ssh.DialReady(within(t, 20*time.Second), target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, want := told.String(), "connection refused|; ready|"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if err := c.Run(t.Context(), "true", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestDialReadyIsSilentWhenTheHostAnswers(t *testing.T) {
	t.Parallel()
	target := sshtest.New(t, sshtest.Options{}).Target()
	var told states
	target.Waiting = told.add
	connect(t, target)
	if got := told.String(); got != "" {
		t.Errorf("told %q", got)
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	silent := func(ctx context.Context, conn net.Conn) { io.Copy(io.Discard, conn) }
	hangUp := func(context.Context, net.Conn) {}
	refused := sshtest.New(t, sshtest.Options{Stopped: true}).Target()
	for _, test := range []struct {
		name   string
		target ssh.Target
		want   ssh.State
		text   string
	}{
		{"refused", refused, ssh.Refused, ": connection refused"},
		{"silent", peer(t, silent), ssh.Banner, "no SSH banner: no progress within 500ms"},
		{"hangs up", peer(t, hangUp), ssh.Banner, "no SSH banner: "},
		{"not SSH", peer(t, func(_ context.Context, conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\nX-SSH-Like: SSH-2.0\r\n\r\n")
		}), ssh.Banner, "no SSH banner: "},
		{"stops after the banner", peer(t, func(ctx context.Context, conn net.Conn) {
			fmt.Fprint(conn, "Welcome!\r\nSSH-2.0-half\r\n")
		}), ssh.HostKey, "verifying the host key: "},
		{"stays silent after the banner", peer(t, func(ctx context.Context, conn net.Conn) {
			fmt.Fprint(conn, "SSH-2.0-half\r\n")
			io.Copy(io.Discard, conn)
		}), ssh.HostKey, "verifying the host key; waited"},
		{"unresolved", ssh.Target{Host: "no-such-host.invalid", User: "tester"}, ssh.Unresolved, "no-such-host.invalid:22: host name does not resolve: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, pass := deadline(t)
			told := states{on: func(state ssh.State) {
				if state == test.want {
					pass()
				}
			}}
			test.target.Waiting = told.add
			banner := soon
			if test.name == "silent" {
				banner = 500 * time.Millisecond
			}
			began := time.Now()
			_, err := ssh.DialPatience(ctx, test.target, soon, banner, true)
			var got *ssh.NotReadyError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a NotReadyError", err)
			}
			if got.State != test.want {
				t.Errorf("got state %q, want %q", got.State, test.want)
			}
			if !errors.Is(err, ssh.ErrNotReady) || !errors.Is(err, errOutOfTime) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v lacks a cause", err)
			}
			if text := err.Error(); !strings.Contains(text, test.text) || !strings.Contains(text, test.target.Host+":") || !strings.Contains(text, "; waited ") {
				t.Errorf("got %q, want %q in it", text, test.text)
			}
			if got.Waited <= 0 || got.Waited > time.Since(began) {
				t.Errorf("waited %s", got.Waited)
			}
			if got.Hint() == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestDialMakesOneAttempt(t *testing.T) {
	t.Parallel()
	target := sshtest.New(t, sshtest.Options{Stopped: true}).Target()
	began := time.Now()
	_, err := ssh.Dial(within(t, 20*time.Second), target)
	var got *ssh.NotReadyError
	if !errors.As(err, &got) || got.State != ssh.Refused || !errors.Is(err, ssh.ErrNotReady) {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), "waited") {
		t.Errorf("%q tells of a wait", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("took %s", took)
	}
}

func TestDialSilentServerIsBounded(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{Banner: -1})
	began := time.Now()
	_, err := ssh.DialPatience(t.Context(), server.Target(), soon, 100*time.Millisecond, false)
	var got *ssh.NotReadyError
	if !errors.As(err, &got) || got.State != ssh.Banner {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("took %s", took)
	}
}

func TestDialLateBanner(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{Banner: 300 * time.Millisecond})
	c, err := ssh.DialPatience(within(t, 20*time.Second), server.Target(), soon, soon, false)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestDialSlowServer(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{Slow: 30 * time.Millisecond}).Target())
	var out strings.Builder
	if err := c.Run(t.Context(), "echo slow", nil, &out); err != nil || out.String() != "slow\n" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
}

func TestDialReadyRetriesBrokenHandshakes(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{DropAfter: 300}) // within the key exchange
	target := server.Target()
	ctx, pass := deadline(t)
	done := make(chan error, 1)
	go func() {
		_, err := ssh.DialReady(ctx, target)
		done <- err
	}()
	eventually(t, "a third attempt", func() bool { return server.Connections() >= 3 })
	pass()
	var got *ssh.NotReadyError
	if err := <-done; !errors.As(err, &got) || got.State != ssh.HostKey {
		t.Fatalf("got %v", err)
	}
}

// A host that still boots closes the connection after the key was accepted; that is no refusal.
func TestDialReadyWaitsForTheEndOfTheBoot(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{Booting: "System is booting up.\nPlease come back later."})
	target := server.Target()
	ctx, pass := deadline(t)
	told := states{on: func(ssh.State) { pass() }}
	target.Waiting = told.add
	_, err := ssh.DialReady(ctx, target)
	var got *ssh.NotReadyError
	if !errors.As(err, &got) || got.State != ssh.Authentication || errors.Is(err, ssh.ErrAuth) {
		t.Fatalf("got %v", err)
	}
	for _, text := range []string{err.Error(), told.String()} {
		if !strings.Contains(text, `the host says "System is booting up. Please come back later."`) {
			t.Errorf("got %q", text)
		}
	}
	timer := time.AfterFunc(300*time.Millisecond, func() { server.SetBooting("") })
	defer timer.Stop()
	connect(t, target)
}

func TestDialReadyCancelled(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]ssh.Target{
		"between attempts": sshtest.New(t, sshtest.Options{Stopped: true}).Target(),
		"in an attempt":    sshtest.New(t, sshtest.Options{Banner: -1}).Target(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("interrupted")
			timer := time.AfterFunc(200*time.Millisecond, func() { cancel(why) })
			defer timer.Stop()
			began := time.Now()
			_, err := ssh.DialReady(ctx, target)
			if !errors.Is(err, why) || errors.Is(err, ssh.ErrNotReady) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > soon {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestWaitingIsNotCalledAfterwards(t *testing.T) {
	t.Parallel()
	// The stage lingers longer than the wait; its timer must not fire after the return.
	server := sshtest.New(t, sshtest.Options{Banner: -1})
	target := server.Target()
	var mu sync.Mutex
	over := false
	target.Waiting = func(ssh.State, string) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			t.Error("told after the return")
		}
	}
	ssh.DialReady(within(t, 900*time.Millisecond), target)
	mu.Lock()
	over = true
	mu.Unlock()
	timer := time.NewTimer(400 * time.Millisecond)
	<-timer.C
}

func TestWaitingTellsALingeringStage(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{Banner: -1})
	target := server.Target()
	ctx, pass := deadline(t)
	told := states{on: func(ssh.State) { pass() }}
	target.Waiting = told.add
	ssh.DialReady(ctx, target)
	if got, want := told.String(), "no SSH banner|"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
