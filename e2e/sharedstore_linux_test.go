package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// etcdServer is an etcd of Debian's that the test has for itself.
type etcdServer struct {
	t               *testing.T
	dir, addr, peer string
	cmd             *exec.Cmd
}

func newEtcd(t *testing.T) *etcdServer {
	t.Helper()
	needEngines(t)
	for _, tool := range []string{"etcd", "etcdctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s on PATH: apt-get install etcd-server etcd-client", tool)
		}
	}
	e := &etcdServer{t: t, dir: t.TempDir(), addr: freeAddr(t), peer: "http://" + freeAddr(t)}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (e *etcdServer) start() {
	e.t.Helper()
	e.cmd = exec.Command("etcd", "--data-dir", filepath.Join(e.dir, "data"), "--unsafe-no-fsync",
		"--listen-client-urls", "http://"+e.addr, "--advertise-client-urls", "http://"+e.addr,
		"--listen-peer-urls", e.peer, "--initial-advertise-peer-urls", e.peer, "--initial-cluster", "default="+e.peer)
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	eventually(e.t, time.Minute, func() error { _, err := e.ctl("endpoint", "health"); return err })
}

func (e *etcdServer) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

func (e *etcdServer) ctl(args ...string) (string, error) {
	cmd := exec.Command("etcdctl", append([]string{"--endpoints", e.addr}, args...)...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("etcdctl %v: %w: %s", args, err, out)
	}
	return string(out), err
}

func (e *etcdServer) mustCtl(args ...string) string {
	e.t.Helper()
	out, err := e.ctl(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// operator is a fleet of somebody who works on the shared store from a home of his own.
func (e *etcdServer) operator(name string) *fleet {
	f := newFleet(e.t)
	f.store = "etcd://" + e.addr + "/team?lease=10s"
	f.extra = append(f.extra, "USER="+name)
	return f
}

// copyDir is the folder of an operator's copy.
func (f *fleet) copyDir() string {
	f.t.Helper()
	all, err := filepath.Glob(filepath.Join(f.home, ".docker", "machine", "etcd", "*", "machines"))
	if err != nil || len(all) != 1 {
		f.t.Fatalf("Got %v, %v", all, err)
	}
	return filepath.Dir(all[0])
}

// until waits until a container of a machine is there.
func (f *fleet) untilContainer(name string) {
	f.t.Helper()
	eventually(f.t, 3*time.Minute, func() error {
		for _, c := range f.leftovers("container") {
			if strings.Contains(c, name) {
				return nil
			}
		}
		return fmt.Errorf("no container of %s", name)
	})
}

// TestSharedStore has two operators work on one store in etcd at once, which is compacted,
// restarted and stopped under them; commands are killed and stopped while they hold locks.
func TestSharedStore(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ann, bob := etcd.operator("ann"), etcd.operator("bob")
	share(t, ann, bob)
	atOnce(t, etcd, ann, bob)
	d1 := ann.name("d1")
	ann.ok("create", "-d", "docker", d1)
	bothUse(t, ann, bob, d1)
	restarted(t, etcd, ann, bob, d1)
	copies(t, etcd, ann, bob, d1)
	holdersGone(t, etcd, ann, bob)
	partitioned(t, etcd, bob)
	bob.ok("rm", "-y", d1)
	if got := ann.ok("ls", "-q"); strings.Contains(got, d1) {
		t.Errorf("Bob removed %s, and ann sees %s", d1, got)
	}
	secretsOnlySealed(t, etcd, ann)
}

// share makes ann the first recipient and lets bob in.
func share(t *testing.T, ann, bob *fleet) {
	t.Helper()
	r := ann.fails(1, "create", "-d", "none", "--url", "tcp://192.0.2.1:2376", ann.name("n0"))
	if !strings.Contains(r.stderr, "STORE_NO_RECIPIENTS") {
		t.Errorf("%s", r)
	}
	ann.ok("store", "recipients", "add")
	ann.ok("create", "-d", "none", "--url", "tcp://192.0.2.1:2376", ann.name("n0"))
	r = bob.fails(1, "store", "recipients", "add")
	_, key, _ := strings.Cut(r.stderr, "machine store recipients add \"")
	key, _, ok := strings.Cut(key, "\"")
	if !ok || !strings.HasPrefix(key, "age1") {
		t.Fatalf("Bob is not told what to ask for: %s", r)
	}
	ann.ok("store", "recipients", "add", key)
	if got := bob.ok("ls", "-q"); got != ann.name("n0") {
		t.Fatalf("Bob sees %q", got)
	}
}

// atOnce has both create and remove while etcd is compacted and defragmented.
func atOnce(t *testing.T, etcd *etcdServer, ann, bob *fleet) {
	t.Helper()
	var all []*running
	for i := range 4 {
		for _, f := range []*fleet{ann, bob} {
			all = append(all, f.start(t.Context(), "create", "-d", "none", "--url", "tcp://192.0.2.1:2376", f.name(fmt.Sprint("n", i+1))))
		}
	}
	for range 3 {
		var status []struct {
			Status struct {
				Header struct{ Revision int64 }
			}
		}
		if err := json.Unmarshal([]byte(etcd.mustCtl("endpoint", "status", "-w", "json")), &status); err != nil {
			t.Fatal(err)
		}
		_, err := etcd.ctl("compact", fmt.Sprint(status[0].Status.Header.Revision), "--physical")
		if err != nil && !strings.Contains(err.Error(), "has been compacted") { // nobody wrote since the last time
			t.Fatal(err)
		}
		etcd.mustCtl("defrag")
	}
	for _, p := range all {
		if r := p.wait(); r.code != 0 {
			t.Fatalf("%s", r)
		}
	}
	if a, b := ann.ok("ls", "-q"), bob.ok("ls", "-q"); a != b || len(strings.Fields(a)) != 9 {
		t.Fatalf("Ann sees %q, bob %q", a, b)
	}
	one, err := os.ReadFile(filepath.Join(ann.copyDir(), "certs", "ca.pem"))
	other, oerr := os.ReadFile(filepath.Join(bob.copyDir(), "certs", "ca.pem"))
	if err != nil || oerr != nil || !bytes.Equal(one, other) {
		t.Errorf("Not one authority: %v, %v", err, oerr)
	}
	bob.ok("rm", "-y", "--force", ann.name("n0"), ann.name("n1"), bob.name("n1"))
}

// bothUse has bob use the machine that ann made.
func bothUse(t *testing.T, ann, bob *fleet, m string) {
	t.Helper()
	if a, b := ann.ok("ssh", m, "hostname"), bob.ok("ssh", m, "hostname"); a != b {
		t.Errorf("Ann is on %q, bob on %q", a, b)
	}
	bob.docker(m, "version")
	key := filepath.Join(bob.copyDir(), "machines", m, "id_ed25519")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Got %v, %v", info, err)
	}
	bob.ok("regenerate-certs", "-f", m)
	ann.docker(m, "version")
}

// restarted kills etcd under a command of each, and starts it again.
func restarted(t *testing.T, etcd *etcdServer, ann, bob *fleet, m string) {
	t.Helper()
	working := ann.start(t.Context(), "provision", m)
	eventually(t, time.Minute, func() error {
		out, err := etcd.ctl("get", "--prefix", "--keys-only", "/team/locks/")
		if err == nil && !strings.Contains(out, m) {
			err = fmt.Errorf("not locked: %s", out)
		}
		return err
	})
	etcd.kill()
	asking := bob.start(t.Context(), "ls", "-q")
	etcd.start()
	for _, p := range []*running{working, asking} {
		if r := p.wait(); r.code != 0 {
			t.Errorf("%s", r)
		}
	}
}

// copies has the fleet go to a folder and back.
func copies(t *testing.T, etcd *etcdServer, ann, bob *fleet, m string) {
	t.Helper()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	elsewhere := "etcd://" + etcd.addr + "/elsewhere"
	ann.ok("store", "copy", ann.store, one)
	ann.ok("--storage-path", elsewhere, "store", "recipients", "add")
	ann.ok("store", "copy", one, elsewhere)
	ann.ok("store", "copy", elsewhere, two)
	if out, err := exec.Command("diff", "-r", "--exclude=locks", one, two).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if a, b := ann.ok("ls", "-q"), ann.ok("--storage-path", two, "ls", "-q"); a != b {
		t.Errorf("The store has %q, its copy %q", a, b)
	}
	if got := bob.ok("--storage-path", elsewhere, "ls", "-q"); got != ann.ok("ls", "-q") {
		t.Errorf("Bob, who is no recipient, sees %q", got)
	}
	if got := bob.ok("--storage-path", elsewhere, "ls"); !strings.Contains(got, "encrypted for others") {
		t.Errorf("It is not said why bob cannot use what he sees: %s", got)
	}
	r := bob.fails(1, "--storage-path", elsewhere, "ssh", m, "true")
	if !strings.Contains(r.stderr, "STORE_SEALED") {
		t.Errorf("%s", r)
	}
}

// holdersGone kills one command that holds a lock and stops another. Others go on when the lease
// is over, and what was stopped writes nothing when it wakes up.
func holdersGone(t *testing.T, etcd *etcdServer, ann, bob *fleet) {
	t.Helper()
	killed, stopped := ann.name("d2"), ann.name("d3")
	dead := ann.start(t.Context(), "create", "-d", "docker", killed)
	asleep := ann.start(t.Context(), "create", "-d", "docker", stopped)
	ann.untilContainer(killed)
	_ = dead.cmd.Process.Kill()
	dead.wait()
	ann.untilContainer(stopped)
	if err := asleep.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = asleep.cmd.Process.Signal(syscall.SIGCONT) }()
	r := bob.fails(4, "provision", killed)
	if !strings.Contains(r.stderr, "ann@") {
		t.Errorf("It does not say who: %s", r)
	}
	for _, m := range []string{killed, stopped} {
		eventually(t, 2*time.Minute, func() error {
			if r := bob.run("rm", "-y", "--force", m); r.code != 0 {
				return fmt.Errorf("%s", r)
			}
			return nil
		})
	}
	_ = asleep.cmd.Process.Signal(syscall.SIGCONT)
	if r := asleep.wait(); r.code == 0 {
		t.Errorf("It went on without its lock: %s", r)
	} else if !strings.Contains(r.stderr, "LOCK_LOST") {
		t.Errorf("It does not say why it ended: %s", r)
	}
	ann.endsWithItsLock(etcd)
	if got := bob.ok("ls", "-q"); strings.Contains(got, killed) || strings.Contains(got, stopped) {
		t.Errorf("What was removed is there again: %q", got)
	}
}

// endsWithItsLock takes the lock from a command that would wait for long, and never write meanwhile.
func (f *fleet) endsWithItsLock(etcd *etcdServer) {
	f.t.Helper()
	m := f.name("g1")
	// Nobody answers at this address, which SSH is waited for on.
	waiting := f.start(f.t.Context(), "create", "-d", "generic", "--generic-ip-address", "192.0.2.1", m)
	key := "/team/locks/machine-" + strings.ToLower(m)
	eventually(f.t, time.Minute, func() error {
		out, err := etcd.ctl("get", "--keys-only", "/team/machines/"+m+"/config.json")
		if err == nil && out == "" {
			err = fmt.Errorf("%s is not recorded yet", m)
		}
		return err
	})
	var got struct{ KVs []struct{ Lease int64 } }
	if err := json.Unmarshal([]byte(etcd.mustCtl("get", key, "-w", "json")), &got); err != nil || len(got.KVs) != 1 {
		f.t.Fatalf("Got %+v, %v", got, err)
	}
	etcd.mustCtl("lease", "revoke", fmt.Sprintf("%x", got.KVs[0].Lease))
	if r := waiting.wait(); r.code != 1 || !strings.Contains(r.stderr, "LOCK_LOST") {
		f.t.Errorf("%s", r)
	}
	f.ok("rm", "-y", "--force", m)
}

// partitioned stops etcd: commands end in bounded time and say why, and work when it is back.
func partitioned(t *testing.T, etcd *etcdServer, f *fleet) {
	t.Helper()
	if err := etcd.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	list, tab := f.start(ctx, "ls"), f.start(ctx, "__complete", "rm", "")
	if r := tab.wait(); r.took > 30*time.Second {
		t.Errorf("Completion hangs: %s", r)
	}
	if r := list.wait(); r.code != 1 || !strings.Contains(r.stderr, "STORE_UNREACHABLE") {
		t.Errorf("%s", r)
	}
	if err := etcd.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if r := f.run("ls", "-q"); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

// secretsOnlySealed looks at what etcd has.
func secretsOnlySealed(t *testing.T, etcd *etcdServer, f *fleet) {
	t.Helper()
	all := etcd.mustCtl("get", "--prefix", "/")
	if strings.Contains(all, "PRIVATE KEY") || !strings.Contains(all, "age-encryption.org/v1") {
		t.Error("etcd has private keys that are not encrypted, or none at all")
	}
	if left := etcd.mustCtl("get", "--prefix", "--keys-only", "/team/locks/"); strings.TrimSpace(left) != "" {
		t.Errorf("Locks are left: %s", left)
	}
	f.ok("ls")
}
