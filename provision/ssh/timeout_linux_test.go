package ssh_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostsmith/machine/provision/ssh"
)

// A listener whose queue is full drops what comes, as a firewall does.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	target := ssh.Target{Host: "127.0.0.1", Port: name.(*unix.SockaddrInet4).Port, User: "tester"}
	full := false
	for range 16 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(target.Port)))
		cancel()
		if full = err != nil; full {
			break
		}
		t.Cleanup(func() { conn.Close() })
	}
	if !full {
		t.Skip("the queue of connections is never full here")
	}
	_, err = ssh.DialPatience(t.Context(), target, 200*time.Millisecond, time.Second, false)
	var got *ssh.NotReadyError
	if !errors.As(err, &got) || got.State != ssh.TimedOut {
		t.Fatalf("got %v", err)
	}
	if !strings.HasSuffix(err.Error(), ": no answer") || !strings.Contains(got.Hint(), "firewall") {
		t.Errorf("got %q, hint %q", err, got.Hint())
	}
	_, err = ssh.DialReady(within(t, 1500*time.Millisecond), target)
	if !errors.As(err, &got) || got.State != ssh.TimedOut || !strings.Contains(err.Error(), "; waited ") {
		t.Fatalf("got %v", err)
	}
}
