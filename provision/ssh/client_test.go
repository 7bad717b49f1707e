package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// lockedBuffer may be read while a command writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestOutputAndInputAreStreamed(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	in, feed := io.Pipe()
	var out lockedBuffer
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context(), "while read x; do echo got $x; done", in, &out) }()
	for i := range 3 {
		fmt.Fprintf(feed, "%d\n", i)
		eventually(t, "the answer while the command runs", func() bool { return strings.Contains(out.String(), fmt.Sprintf("got %d\n", i)) })
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRunCancelled(t *testing.T) {
	t.Parallel()
	why := errors.New("interrupted")
	for _, test := range []struct {
		name, cmd string
		freeze    bool
	}{
		{"a command that ends on SIGTERM", "echo up; sleep 60", false},
		{"a command that ignores SIGTERM", "trap '' TERM; echo up; sleep 60; sleep 60", false},
		{"a host that fell silent", "echo up; sleep 60", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := sshtest.New(t, sshtest.Options{})
			c := connect(t, server.Target())
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var out lockedBuffer
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx, test.cmd, nil, &out) }()
			eventually(t, "the command runs", func() bool { return out.String() == "up\n" })
			if test.freeze {
				server.Freeze(true)
			}
			began := time.Now()
			cancel(why)
			if err := <-done; !errors.Is(err, why) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > soon {
				t.Errorf("took %s", took)
			}
			if !test.freeze {
				if got := server.Signals(); len(got) != 1 || got[0] != "TERM" {
					t.Errorf("signals %q", got)
				}
				// The connection goes on.
				if err := c.Run(t.Context(), "true", nil, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("before it starts", func(t *testing.T) {
		t.Parallel()
		server := sshtest.New(t, sshtest.Options{})
		c := connect(t, server.Target())
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		if err := c.Run(ctx, "true", nil, nil); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		if got := server.Commands(); len(got) != 0 || c.Trips() != 0 {
			t.Errorf("ran %q", got)
		}
	})
}

func TestSessionOfADeafCommandIsClosed(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	ctx, pass := deadline(t)
	server := sshtest.New(t, sshtest.Options{Handler: func(ctx context.Context, _ sshtest.Exec) (int, string) {
		pass()
		<-ctx.Done()
		close(closed)
		return 0, ""
	}})
	c := connect(t, server.Target())
	if err := c.Run(ctx, "deaf", nil, nil); !errors.Is(err, errOutOfTime) {
		t.Errorf("got %v", err)
	}
	select {
	case <-closed:
	case <-time.After(soon):
		t.Error("the session is still open")
	}
}

// The command must not take the first half of its input for all of it: it is asked to end
// before its input ends.
func TestInputThatBreaks(t *testing.T) {
	t.Parallel()
	first := make(chan string, 1)
	server := sshtest.New(t, sshtest.Options{Handler: func(_ context.Context, x sshtest.Exec) (int, string) {
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, x.Stdin)
			close(ended)
		}()
		select {
		case sig := <-x.Signals:
			first <- sig
		case <-ended:
			first <- "end of input"
		}
		return 0, ""
	}})
	c := connect(t, server.Target())
	broken := errors.New("disk error")
	for range 50 { // it may break before anybody knows that the session is open
		in := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))
		if err := c.Run(t.Context(), "take it", in, nil); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if got := <-first; got != "TERM" {
			t.Errorf("got %s", got)
		}
	}
}

type fullDisk struct{ err error }

func (f fullDisk) Write([]byte) (int, error) { return 0, f.err }

func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	full := errors.New("disk is full")
	ctx := within(t, 20*time.Second)
	for _, cmd := range []string{"echo once; sleep 60", "yes", "echo; exit 0"} {
		if err := c.Run(ctx, cmd, nil, fullDisk{full}); !errors.Is(err, full) {
			t.Errorf("%s: got %v", cmd, err)
		}
	}
}

func TestOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	_, stuck := io.Pipe()
	began := time.Now()
	if err := c.Run(within(t, 300*time.Millisecond), "yes", nil, stuck); !errors.Is(err, errOutOfTime) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("took %s", took)
	}
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	c := connect(t, server.Target())
	var out lockedBuffer
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context(), "echo up; sleep 60", nil, &out) }()
	eventually(t, "the command runs", func() bool { return out.String() == "up\n" })
	server.DropAll()
	if err := <-done; !errors.Is(err, ssh.ErrLost) || !strings.Contains(err.Error(), "sleep 60") {
		t.Errorf("got %v", err)
	}
	if err := c.Run(t.Context(), "true", nil, nil); !errors.Is(err, ssh.ErrLost) {
		t.Errorf("afterwards: got %v", err)
	}
	if _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
		t.Error("forwarded over a lost connection")
	}
}

func TestDropInTheMiddleOfOutput(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{DropAfter: 100_000}).Target())
	if err := c.Run(within(t, 20*time.Second), "yes", nil, nil); !errors.Is(err, ssh.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	target := server.Target()
	target.KeepAlive = 300 * time.Millisecond // three of them are much for a loaded machine to be silent
	c := connect(t, target)
	// A host that answers is kept, however long a command says nothing.
	if err := c.Run(t.Context(), "sleep 1.5", nil, nil); err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context(), "echo up; sleep 60", nil, &out) }()
	eventually(t, "the command runs", func() bool { return out.String() == "up\n" })
	began := time.Now()
	server.Freeze(true)
	err := <-done
	if !errors.Is(err, ssh.ErrLost) || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took < 500*time.Millisecond || took > soon {
		t.Errorf("took %s", took)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	var out lockedBuffer
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context(), "echo up; sleep 60", nil, &out) }()
	eventually(t, "the command runs", func() bool { return out.String() == "up\n" })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, ssh.ErrLost) {
		t.Errorf("got %v", err)
	}
	if err := c.Run(t.Context(), "true", nil, nil); !errors.Is(err, ssh.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestManyAtOnceOverOneConnection(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	c := connect(t, server.Target())
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			var out bytes.Buffer
			err := c.Run(t.Context(), fmt.Sprintf("cat; echo %d", i), strings.NewReader("in "), &out)
			if want := fmt.Sprintf("in %d\n", i); err != nil || out.String() != want {
				t.Errorf("got %q, %v, want %q", out.String(), err, want)
			}
		})
	}
	all.Wait()
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if n := c.Trips(); n != 40 {
		t.Errorf("%d trips", n)
	}
}

func TestExitErrorIsShort(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	cmd := "for i in $(seq 3000); do echo line $i >&2; done\n" + strings.Repeat("# padding\n", 100) + "exit 9"
	err := c.Run(t.Context(), cmd, nil, nil)
	var got *ssh.ExitError
	if !errors.As(err, &got) || got.Code != 9 {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); len(text) > 200 || !strings.HasSuffix(text, "exit status 9: line 3000") {
		t.Errorf("got %q", text)
	}
	if tail := got.Stderr(); len(tail) > 8<<10 || !strings.HasPrefix(tail, "line ") || !strings.HasSuffix(tail, "line 3000\n") {
		t.Errorf("got a tail of %d bytes from %.20q", len(tail), tail)
	}
}

func TestSessionWithoutExitStatus(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{Handler: func(context.Context, sshtest.Exec) (int, string) { return sshtest.Silent, "" }})
	c := connect(t, server.Target())
	if err := c.Run(t.Context(), "true", nil, nil); !errors.Is(err, ssh.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestDialContext(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{Forward: true}).Target())
	web := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	tcp := httptest.NewServer(web)
	defer tcp.Close()
	sock := filepath.Join(sockDir(t), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", sock)
	if err != nil {
		t.Skip("no unix sockets:", err)
	}
	unix := httptest.NewUnstartedServer(web)
	unix.Listener = l
	unix.Start()
	defer unix.Close()
	for network, addr := range map[string]string{"tcp": tcp.Listener.Addr().String(), "unix": sock} {
		client := http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.DialContext(ctx, network, addr) },
		}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://host/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "hello" {
			t.Errorf("%s: got %q, %v", network, body, err)
		}
		client.CloseIdleConnections()
	}
	if _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := c.DialContext(ctx, "tcp", tcp.Listener.Addr().String()); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// sockDir is a folder with a short name, as sockets want it.
func sockDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
