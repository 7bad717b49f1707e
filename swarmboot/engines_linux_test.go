package swarmboot_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostsmith/machine/swarmboot"
)

// lab is some real engines, each in a network namespace of its own, on one
// bridge that lies in a further namespace out of reach of the host's firewall.
type lab struct {
	t    *testing.T
	dir  string
	ns   string // prefix of the namespaces
	proc map[int]*exec.Cmd
}

// needLab skips the test unless real engines are asked for and can be started here.
func needLab(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("MACHINE_TEST_DOCKER") != "1" {
		t.Skip("MACHINE_TEST_DOCKER is not 1")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	for _, tool := range append(tools, "ip", "nsenter") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb") // short: paths of sockets are limited
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, ns: filepath.Base(dir), proc: make(map[int]*exec.Cmd)}
	t.Cleanup(l.clean)
	l.ip("netns", "add", l.ns+"-hub")
	l.ip("-n", l.ns+"-hub", "link", "add", "br0", "type", "bridge")
	l.ip("-n", l.ns+"-hub", "link", "set", "br0", "up")
	return l
}

func (l *lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (l *lab) netns(i int) string { return fmt.Sprintf("%s-%d", l.ns, i) }
func (l *lab) addr(i int) string  { return fmt.Sprintf("10.213.77.%d", i) }

// host makes the network namespace of host i.
func (l *lab) host(i int) {
	l.t.Helper()
	ns, port := l.netns(i), fmt.Sprintf("v%d", i)
	l.ip("netns", "add", ns)
	l.ip("-n", l.ns+"-hub", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
	l.ip("-n", l.ns+"-hub", "link", "set", port, "master", "br0", "up")
	l.ip("-n", ns, "link", "set", "lo", "up")
	l.ip("-n", ns, "link", "set", "eth0", "up")
	l.ip("-n", ns, "addr", "add", l.addr(i)+"/24", "dev", "eth0")
}

// link takes the cable of host i out, or puts it back.
func (l *lab) link(i int, state string) {
	l.ip("-n", l.ns+"-hub", "link", "set", fmt.Sprintf("v%d", i), state)
}

// in is a command in the network of host i and, unlike that of ip netns exec, with the cgroups of all.
func (l *lab) in(i int, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + l.netns(i)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// engine starts an engine on host i, again if it was stopped.
func (l *lab) engine(i int) swarmboot.Engine {
	l.t.Helper()
	root := filepath.Join(l.dir, fmt.Sprint(i))
	if err := os.MkdirAll(root, 0o700); err != nil {
		l.t.Fatal(err)
	}
	sock := filepath.Join(root, "sock")
	cmd := l.in(i, "dockerd", "--data-root", root+"/data", "--exec-root", root+"/exec", "--pidfile", root+"/pid",
		"--host", "unix://"+sock, "--bridge", "none")
	log, err := os.OpenFile(root+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.proc[i] = cmd
	e := newSocket(sock)
	deadline := time.Now().Add(time.Minute)
	for e.Do(l.t.Context(), http.MethodGet, "/info", nil, nil) != nil {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(root + "/log")
			l.t.Fatalf("engine %d does not answer: %s", i, text)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return e
}

// stop ends the engine of host i.
func (l *lab) stop(i int) {
	cmd := l.proc[i]
	delete(l.proc, i)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}

func (l *lab) clean() {
	for i := range l.proc {
		l.stop(i)
	}
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], l.dir+"/") {
			_ = unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
	out, _ := exec.Command("ip", "netns", "list").Output()
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, l.ns+"-") {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Errorf("clean up: %v", err)
	}
}

// newSocket is an engine at a Unix socket.
func newSocket(path string) client {
	return client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}, "http://engine"}
}
