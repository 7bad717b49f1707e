package provision

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestHostInstall: a bare host gets the distribution's engine with one start, serves TLS to
// whom it should, and is done.
func TestHostInstall(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	e := Engine{Source: SourceDistro, Port: 2400, Labels: []string{"provider=test", "zone=b 2"}, Options: []string{"mtu=1400", "log-opt=tag=a b%"}, Env: []string{`ODD=x "y" $z 100%\`}}
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	if got, err := n.version(t, 2400, id.client); err != nil || !strings.HasPrefix(got, "20.10") {
		t.Errorf("over TLS: %q, %v", got, err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate":    {RootCAs: id.client.RootCAs, ServerName: "localhost"},
		"another authority": {RootCAs: id.client.RootCAs, ServerName: "localhost", Certificates: newIdentity(t).client.Certificates},
	} {
		if got, err := n.version(t, 2400, config); err == nil {
			t.Errorf("a client with %s is served: %s", name, got)
		}
	}
	if got := n.starts(t); got != "1" {
		t.Errorf("the engine started %s times", got)
	}
	if got := n.sh(t, "tr '\\0' '\\n' </proc/$(cat /run/docker.pid)/environ | grep ^ODD="); got != `ODD=x "y" $z 100%\` {
		t.Errorf("environment: %s", got)
	}
	if got := n.sh(t, "tr '\\0' '\\n' </proc/$(cat /run/docker.pid)/cmdline | grep log-opt"); got != "--log-opt=tag=a b%" {
		t.Errorf("option: %s", got)
	}
	if got := n.sh(t, "stat -c '%a %u' /etc/docker/*.pem | sort -u"); got != "600 0" {
		t.Errorf("mode of TLS files: %s", got)
	}
	n.settledPlan(t, e, id)

	// What changes is changed with one restart; what is taken back is gone.
	e.Options, e.Labels = nil, []string{"provider=test"}
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	if got := n.starts(t); got != "2" {
		t.Errorf("the engine started %s times", got)
	}
	if got := n.sh(t, "cat /etc/docker/daemon.json; tr '\\0' ' ' </proc/$(cat /run/docker.pid)/cmdline"); strings.Contains(got, "zone") || strings.Contains(got, "mtu") {
		t.Errorf("left over: %s", got)
	}
	n.settledPlan(t, e, id)
	for _, line := range Evidence(t.Context(), n, e) {
		if strings.Contains(line, "no further evidence") {
			t.Error(line)
		}
	}
}

// TestHostAdopt: a host with an engine and a configuration of its own keeps them, and has them
// back when the machine is removed.
func TestHostAdopt(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	n.sh(t, "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends docker.io >/dev/null 2>&1")
	const theirs = `{"log-driver": "json-file", "labels": ["rack=7"], "max-concurrent-downloads": 2}`
	n.sh(t, "echo '"+theirs+`' >/etc/docker/daemon.json; mkdir -p /etc/systemd/system/docker.service.d
		printf '[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// \\\n  --containerd=/run/containerd/containerd.sock\n' >/etc/systemd/system/docker.service.d/override.conf
		systemctl daemon-reload; systemctl restart docker`)
	e := Engine{Gentle: true, Labels: []string{"provider=generic"}}
	before := n.sh(t, "dpkg -l | md5sum; hostname; cat /etc/hosts")
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	if _, err := n.version(t, DefaultPort, id.client); err != nil {
		t.Error(err)
	}
	if got := n.sh(t, "dpkg -l | md5sum; hostname; cat /etc/hosts"); got != before {
		t.Errorf("packages or names changed:\n%s\n%s", before, got)
	}
	if got := n.sh(t, "cat /etc/docker/daemon.json.before-machine"); got != theirs {
		t.Errorf("kept copy: %s", got)
	}
	f := n.settledPlan(t, e, id)
	steps, err := PlanRemoval(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(t.Context(), n, steps, new(journal).step); err != nil {
		t.Fatal(err)
	}
	o, err := parseObject([]byte(n.sh(t, "cat /etc/docker/daemon.json")))
	want, _ := parseObject([]byte(theirs))
	if err != nil || !sameSettings(o, want) {
		t.Errorf("daemon.json after removal: %v", o)
	}
	if got := n.sh(t, "systemctl is-active docker; ls /etc/docker /etc/systemd/system/docker.service.d; [ ! -e /run/machine-engine-restart ]"); got !=
		"active\n/etc/docker:\ndaemon.json\nkey.json\n\n/etc/systemd/system/docker.service.d:\noverride.conf" {
		t.Errorf("after removal: %s", got)
	}
}

// TestHostBadOptions: what the engine does not accept does not stop the engine that runs; what it
// dies of is told with its own words, and mended by another run.
func TestHostBadOptions(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	if _, err := n.provision(t, Engine{Source: SourceDistro}, id); err != nil {
		t.Fatal(err)
	}
	pid := n.sh(t, "cat /run/docker.pid")
	for _, c := range []struct {
		e    Engine
		want error
		text string
	}{
		{Engine{Options: []string{"no-such-flag=1"}}, ErrOption, "no-such-flag"},
		{Engine{Options: []string{"mtu=many"}}, ErrOption, "many"},
	} {
		_, err := n.provision(t, c.e, id)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("got %v, want %v", err, c.want)
		}
		if got := n.sh(t, "cat /run/docker.pid"); got != pid {
			t.Error("the engine was restarted")
		}
	}
	_, err := n.provision(t, Engine{StorageDriver: "nosuch"}, id)
	var step *StepError
	if !errors.Is(err, ErrEngineStart) || !errors.As(err, &step) || !strings.Contains(step.Output, "nosuch") || step.Hint() == "" {
		t.Errorf("got %v", err)
	}
	if lines := strings.Join(Evidence(t.Context(), n, Engine{}), "\n"); !strings.Contains(lines, "nosuch") || !strings.Contains(lines, "nothing listens") {
		t.Errorf("evidence: %s", lines)
	}
	if _, err := n.provision(t, Engine{}, id); err != nil {
		t.Error(err)
	}
	n.settledPlan(t, Engine{}, id)

	n.sh(t, "systemctl stop docker.service docker.socket; systemd-run -q --unit=thief --socket-property=ListenStream=2376 cat")
	if _, err := n.provision(t, Engine{}, id); !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "systemd (pid 1)") {
		t.Errorf("got %v", err)
	}
}

// TestHostUpgrade: the distribution's engine goes from one release's to another's, and back
// only if that is allowed.
func TestHostUpgrade(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	if _, err := n.provision(t, Engine{Source: SourceDistro}, id); err != nil {
		t.Fatal(err)
	}
	_, err := n.provision(t, Engine{Version: "27"}, id)
	if !errors.Is(err, ErrNoPackage) || !strings.Contains(err.Error(), "20.10") {
		t.Errorf("got %v", err)
	}
	n.sh(t, `echo 'deb http://deb.debian.org/debian trixie main' >/etc/apt/sources.list.d/trixie.list
		printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >/etc/apt/preferences.d/trixie
		apt-mark -qq hold docker.io`)
	// The release's own is the newest that apt would take by itself.
	if _, err := n.provision(t, Engine{Upgrade: true}, id); err != nil {
		t.Error(err)
	}
	n.isNewest(t, Engine{Upgrade: true})
	if got := n.settledPlan(t, Engine{}, id); !strings.HasPrefix(got.Version, "20.10") || !got.Held {
		t.Errorf("got %s, held %v", got.Version, got.Held)
	}
	e := Engine{Version: "26.1", Upgrade: true}
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	e.Upgrade = false
	if got := n.settledPlan(t, e, id); !got.Held || got.Stale || !strings.HasPrefix(got.Version, "26.1") {
		t.Errorf("after the upgrade: %+v", got)
	}
	if got, err := n.version(t, DefaultPort, id.client); err != nil || !strings.HasPrefix(got, "26.1") {
		t.Errorf("over TLS: %q, %v", got, err)
	}
	if got := n.starts(t); got != "2" {
		t.Errorf("the engine started %s times", got)
	}
	// This engine can judge a file before it is restarted with it.
	pid := n.sh(t, "cat /run/docker.pid; sed -i 's/{/{\"no-such-key\": 1,/' /etc/docker/daemon.json")
	_, err = n.provision(t, Engine{Labels: []string{"a=b"}}, id)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "no-such-key") {
		t.Errorf("got %v", err)
	}
	if got := n.sh(t, "cat /run/docker.pid; grep -q a=b /etc/docker/daemon.json || sed -i 's/\"no-such-key\": 1,//' /etc/docker/daemon.json"); got != pid {
		t.Error("the engine was restarted")
	}
	n.settledPlan(t, e, id)
	if _, err := n.provision(t, Engine{Version: "20"}, id); !errors.Is(err, ErrDowngrade) {
		t.Errorf("got %v", err)
	}
}

// TestHostCrash: a host that dies while packages are installed is finished by the next run.
func TestHostCrash(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	e := Engine{Source: SourceDistro}
	f, err := Probe(t.Context(), n, e)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(f, e, id.tls)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Apply(t.Context(), n, steps, new(journal).step) }()
	n.sh(t, "until grep -q ' half-installed docker.io\\| unpacked docker.io' /var/log/dpkg.log; do sleep 0.05; done")
	for _, args := range [][]string{{"kill", n.name}, {"start", n.name}} {
		if out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	n.await(t)
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	if _, err := n.version(t, DefaultPort, id.client); err != nil {
		t.Error(err)
	}
	n.settledPlan(t, Engine{}, id)
}

// TestHostFaults: each fault of a host has its own error.
func TestHostFaults(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	_, err := n.provision(t, Engine{RepoURL: "http://127.0.0.1:9/linux"}, id)
	if !errors.Is(err, ErrMirror) || !strings.Contains(err.Error(), "http://127.0.0.1:9/linux/debian/gpg") {
		t.Errorf("mirror: got %v", err)
	}

	n.sh(t, "useradd -m -s /bin/bash anna")
	anna := node{name: n.name, user: "anna"}
	if _, err := anna.provision(t, Engine{Source: SourceDistro}, id); !errors.Is(err, ErrNoRoot) {
		t.Errorf("no sudo: got %v", err)
	}
	if err := Apply(t.Context(), anna, []Step{{Name: "x", Run: "true"}}, new(journal).step); !errors.Is(err, ErrNoRoot) {
		t.Errorf("no sudo in Apply: got %v", err)
	}

	// Another process has the package lock for a while, and a step says which.
	n.sh(t, "apt-get -qq update; (setsid apt-get -o DPkg::Pre-Invoke::='sleep 8' install -y --no-install-recommends hello >/dev/null 2>&1 &) ; sleep 1")
	n.sh(t, "echo 'anna ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/anna")
	j, err := anna.provision(t, Engine{Source: SourceDistro}, id)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(j.String(), "> waiting for the package manager: apt-get (pid ") {
		t.Errorf("no word of the lock:\n%s", j.String())
	}
	anna.settledPlan(t, Engine{}, id)

	n.sh(t, "mount -t tmpfs -o size=64k tmpfs /etc/docker; dd if=/dev/zero of=/etc/docker/fill bs=1k count=60 2>/dev/null; :")
	steps := planTLS(Facts{}, TLS{CA: bytes.Repeat([]byte("x\n"), 20000), Cert: []byte("x"), Key: []byte("x")}, layout{tlsDir: "/etc/docker"})
	if err := Apply(t.Context(), n, steps, new(journal).step); !errors.Is(err, ErrDiskFull) {
		t.Errorf("full disk: got %v", err)
	}
}
