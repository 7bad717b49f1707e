package qemu

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
)

// TestReal boots the image at MACHINE_TEST_QEMU_IMAGE, such as e2e/scripts/cloud-image.sh
// makes, if MACHINE_TEST_QEMU is 1. It takes minutes where no accelerator runs guests.
func TestReal(t *testing.T) {
	t.Parallel()
	image := os.Getenv("MACHINE_TEST_QEMU_IMAGE")
	if os.Getenv("MACHINE_TEST_QEMU") != "1" || image == "" {
		t.Skip("MACHINE_TEST_QEMU is not 1, or MACHINE_TEST_QEMU_IMAGE names no image")
	}
	values := drivers.Values{"qemu-image": {image}, "qemu-memory": {"1024"}, "qemu-disk-size": {"4000"}, "qemu-stop-timeout": {"180"}}
	b := newBench(t, Factory(), "real-1", t.TempDir(), values)
	client, key := loginKey(t)
	b.req.AuthorizedKey = key
	b.req.UserData = []byte("#cloud-config\nwrite_files: [{path: /etc/of-the-owner, content: here}]\n")
	t.Cleanup(func() {
		if err := b.open().Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	lap := func(what string) {
		t.Logf("%s after %v", what, time.Since(begin).Round(100*time.Millisecond))
		begin = time.Now()
	}
	b.must("check", b.open().Check(t.Context()))
	b.must("create", b.create())
	lap("created (" + b.open().state.Value.Accel + ")")
	st := b.is(drivers.Running)
	said := b.login(client, st, "cloud-init status --wait >/dev/null; hostname; cat /etc/of-the-owner; echo; ip -4 -br addr; df -m / | tail -n 1; sudo id -un")
	lap("first login, and cloud-init done")
	t.Log(said)
	for _, want := range []string{"real-1\n", "here\n", st.Peer + "/24", "192.168.85.15/24", "root\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	b.must("stop", b.open().Stop(t.Context()))
	lap("stopped")
	b.is(drivers.Stopped)
	if len(b.notes) > 0 && strings.Contains(strings.Join(b.notes, " "), "power is cut") {
		t.Errorf("notes are %q", b.notes)
	}
	b.must("start", b.open().Start(t.Context()))
	if again := b.is(drivers.Running); again != st {
		t.Errorf("was %+v, is %+v", st, again)
	}
	t.Log(b.login(client, st, "cat /proc/uptime"))
	lap("second login")
}

// loginKey is a key pair to log in with.
func loginKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	line, private := keyPair(t)
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, line
}

// login waits until the machine lets us in, presents the host key that it was given,
// and runs a command there.
func (b *bench) login(key ssh.Signer, st drivers.Status, command string) string {
	b.t.Helper()
	host, err := ssh.ParsePrivateKey(b.req.HostKey)
	if err != nil {
		b.t.Fatal(err)
	}
	config := &ssh.ClientConfig{
		User: st.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: 20 * time.Second,
		HostKeyCallback: ssh.FixedHostKey(host.PublicKey()),
	}
	at := net.JoinHostPort(st.Host, strconv.Itoa(st.SSHPort))
	for deadline := time.Now().Add(15 * time.Minute); ; time.Sleep(2 * time.Second) {
		c, err := ssh.Dial("tcp", at, config)
		if err == nil {
			defer func() { _ = c.Close() }()
			return b.remote(c, command)
		}
		if time.Now().After(deadline) {
			console, _ := b.open().Console(b.t.Context())
			b.t.Fatalf("%v; the console:\n%s", err, console[max(0, len(console)-4000):])
		}
	}
}

func (b *bench) remote(c *ssh.Client, command string) string {
	b.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := s.CombinedOutput(command) // one buffer for both, set by hand, loses what it has when the other ends
	if err != nil {
		var failed *ssh.ExitError
		b.t.Errorf("%v (ended by itself: %v): %s", err, errors.As(err, &failed), out)
	}
	return string(out)
}
