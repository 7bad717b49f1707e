package provision

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The tests of this file provision real hosts: system containers of an image with
// systemd and without an engine, whose name on the local Docker Engine
// MACHINE_TEST_IMAGE gives. They install packages from the distribution's mirrors.

// node is a system container, and a Runner for it.
type node struct {
	name string
	user string // empty: root
}

func startNode(t *testing.T) node {
	t.Helper()
	image := os.Getenv("MACHINE_TEST_IMAGE")
	if image == "" {
		t.Skip("MACHINE_TEST_IMAGE names no image of a system container")
	}
	b := make([]byte, 4)
	_, _ = rand.Read(b)
	n := node{name: fmt.Sprintf("prov-%x", b)}
	t.Cleanup(func() {
		_ = exec.Command("docker", "rm", "-fv", n.name).Run()
		_ = exec.Command("docker", "volume", "rm", "-f", n.name).Run()
	})
	out, err := exec.CommandContext(t.Context(), "docker", "run", "-d", "--name", n.name, "--hostname", n.name, "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm", "--cgroupns=private", "--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",
		"-v", n.name+":/var/lib/docker", image).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 300 {
		state, _ := exec.CommandContext(t.Context(), "docker", "exec", n.name, "systemctl", "is-system-running").Output()
		if s := strings.TrimSpace(string(state)); s == "running" || s == "degraded" {
			return n
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal("the container does not come up")
	return n
}

func (n node) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	args := []string{"exec", "-i"}
	if n.user != "" {
		args = append(args, "-u", n.user)
	}
	c := exec.CommandContext(ctx, "docker", append(args, n.name, "bash", "-c", cmd)...)
	var stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr, c.WaitDelay = stdin, stdout, &stderr, 5*time.Second
	err := c.Run()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{exit.ExitCode(), stderr.String()}
	}
	return err
}

// sh runs a command on the host and returns what it prints.
func (n node) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "exec", n.name, "bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// identity is a CA with a server and a client certificate.
type identity struct {
	tls    TLS
	client *tls.Config
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (certPEM, keyPEM []byte, key *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), key
	}
	caPEM, _, caKey := issue(ca, ca, nil)
	leaf := func(usage x509.ExtKeyUsage) ([]byte, []byte) {
		c, k, _ := issue(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, ca, caKey)
		return c, k
	}
	var id identity
	id.tls.CA = caPEM
	id.tls.Cert, id.tls.Key = leaf(x509.ExtKeyUsageServerAuth)
	pair, err := tls.X509KeyPair(leaf(x509.ExtKeyUsageClientAuth))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	id.client = &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	return id
}

// version asks the host's engine over TLS.
func (n node) version(t *testing.T, port int, config *tls.Config) (string, error) {
	t.Helper()
	ip, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", n.name).Output()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+net.JoinHostPort(strings.TrimSpace(string(ip)), fmt.Sprint(port))+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	_, after, _ := strings.Cut(string(body), `"Version":"`)
	version, _, _ := strings.Cut(after, `"`)
	return version, err
}

// provision does what a caller does, and returns the facts that it began with.
func (n node) provision(t *testing.T, e Engine, id identity) (*journal, error) {
	t.Helper()
	f, err := Probe(t.Context(), n, e)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(f, e, id.tls)
	if err != nil {
		return nil, err
	}
	var j journal
	err = Apply(t.Context(), n, steps, j.step)
	t.Logf("%s\n%v", j.String(), err)
	return &j, err
}

// settledPlan fails unless nothing is left to do.
func (n node) settledPlan(t *testing.T, e Engine, id identity) Facts {
	t.Helper()
	f, err := Probe(t.Context(), n, e)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(f, e, id.tls)
	if err != nil || len(steps) != 0 {
		t.Errorf("a second plan is not empty: %v\n%s", err, render(steps))
	}
	return f
}

func (n node) starts(t *testing.T) string {
	return n.sh(t, "journalctl -u docker.service -o cat --no-pager | grep -c 'Daemon has completed initialization' || :")
}

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
	if _, err := n.provision(t, Engine{Version: "20"}, id); !errors.Is(err, ErrDowngrade) {
		t.Errorf("got %v", err)
	}
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

// repositoryScript makes packages as Docker's repository has them out of the distribution's, and
// a repository of them below /repo, signed.
const repositoryScript = `set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends dpkg-dev gnupg apt-utils >/dev/null
mkdir -p /repo/debian/dists/bookworm/stable/binary-amd64 /repo/debian/pool /build && cd /build
apt-get -qq download docker.io
for version in 27.5.1 28.0.4 28.5.2 29.0.0; do
	rm -rf x && dpkg-deb -R docker.io_*.deb x && rm -f x/DEBIAN/md5sums x/DEBIAN/conffiles
	mkdir -p x/usr/bin && mv x/usr/sbin/dockerd x/usr/bin/dockerd.real
	printf '#!/bin/sh\ncase "$*" in *--version*) /usr/bin/dockerd.real "$@" >/dev/null && echo "Docker version %s, build 0" && exit ;; esac\nexec /usr/bin/dockerd.real "$@"\n' $version >x/usr/bin/dockerd
	chmod +x x/usr/bin/dockerd
	rm -f x/usr/bin/docker x/etc/default/docker x/etc/init.d/docker
	sed -i 's,/usr/sbin/dockerd,/usr/bin/dockerd,; s/ $DOCKER_OPTS//; /EnvironmentFile/d' x/lib/systemd/system/docker.service
	sed -i "s/^Package: .*/Package: docker-ce/; s/^Version: .*/Version: 5:$version-1~debian.12~bookworm/; /^Provides/d; /^Breaks/d; /^Recommends/d; /^Suggests/d; /^Source/d; /^Conflicts/d; /^Replaces/d; s/^Depends: /Depends: docker-ce-cli, /; /^Depends/a Conflicts: docker.io\nReplaces: docker.io" x/DEBIAN/control
	dpkg-deb -Znone -b x /repo/debian/pool/docker-ce_$version.deb >/dev/null
	rm -rf y && mkdir -p y/DEBIAN && printf 'Package: docker-ce-cli\nVersion: 5:%s-1~debian.12~bookworm\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n' $version >y/DEBIAN/control
	dpkg-deb -Znone -b y /repo/debian/pool/docker-ce-cli_$version.deb >/dev/null
done
printf 'Package: containerd.io\nVersion: 1.7.27-1\nArchitecture: amd64\nMaintainer: x <x@x>\nDepends: containerd\nDescription: x\n' >y/DEBIAN/control
dpkg-deb -Znone -b y /repo/debian/pool/containerd.io.deb >/dev/null
cd /repo/debian
dpkg-scanpackages -m pool >dists/bookworm/stable/binary-amd64/Packages 2>/dev/null
(cd dists/bookworm && apt-ftparchive -o APT::FTPArchive::Release::Suite=bookworm -o APT::FTPArchive::Release::Codename=bookworm -o APT::FTPArchive::Release::Components=stable -o APT::FTPArchive::Release::Architectures=amd64 release . >/build/Release && mv /build/Release .)
export GNUPGHOME=/build/gnupg && mkdir -m 700 $GNUPGHOME
gpg --batch -q --passphrase '' --quick-gen-key repo@x ed25519 sign never
gpg --batch -q --clearsign -o dists/bookworm/InRelease dists/bookworm/Release
gpg --batch -q --armor --export >gpg
apt-get -qq purge -y dpkg-dev gnupg >/dev/null && apt-get -qq autoremove -y >/dev/null
`

// TestHostRepository: from a mirror of Docker's repository comes the version that is asked for,
// held against every upgrade but ours.
func TestHostRepository(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	n.sh(t, repositoryScript)
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "docker", "cp", n.name+":/repo/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	base := n.serve(t, http.StripPrefix("/linux/", http.FileServer(http.Dir(dir)))) + "/linux"
	e := Engine{RepoURL: base, Version: "28"}

	_, err := n.provision(t, Engine{RepoURL: base, Version: "28.9"}, id)
	if !errors.Is(err, ErrNoPackage) || !strings.Contains(err.Error(), "5:28.0.4-1~debian.12~bookworm") {
		t.Errorf("got %v", err)
	}
	e.Version = "28.0"
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	f := n.settledPlan(t, e, id)
	if f.Package != "docker-ce" || f.Version != "28.0.4" || !f.Held || f.Dockerd != "/usr/bin/dockerd" || n.starts(t) != "1" {
		t.Errorf("got %+v", f)
	}
	if _, err := n.version(t, DefaultPort, id.client); err != nil {
		t.Error(err)
	}
	n.sh(t, "apt-get -qq -y upgrade")
	if got := n.sh(t, "dockerd --version"); !strings.Contains(got, "28.0.4") {
		t.Errorf("an upgrade by others took the engine to %s", got)
	}
	for _, c := range []struct {
		e    Engine
		want string
		err  error
	}{
		{Engine{Version: "28", Upgrade: true}, "28.5.2", nil},
		{Engine{Upgrade: true}, "29.0.0", nil},
		{Engine{Version: "28.5"}, "29.0.0", ErrDowngrade},
		{Engine{Version: "28.5", AllowDowngrade: true}, "28.5.2", nil},
		{Engine{Source: SourceDistro, AllowDowngrade: true, Version: "20"}, "20.10.24+dfsg1", nil},
		{Engine{Source: SourceRepo, Version: "27"}, "27.5.1", nil},
	} {
		c.e.RepoURL = base
		if _, err := n.provision(t, c.e, id); !errors.Is(err, c.err) {
			t.Errorf("%+v: got %v, want %v", c.e, err, c.err)
		}
		f, err := Probe(t.Context(), n, e)
		if err != nil {
			t.Fatal(err)
		}
		if f.Version != c.want || !f.Held || f.EngineState != "active" {
			t.Errorf("%+v: got %s, held %v, %s", c.e, f.Version, f.Held, f.EngineState)
		}
		if _, err := n.version(t, DefaultPort, id.client); err != nil {
			t.Errorf("%+v: %v", c.e, err)
		}
	}
}

// serve serves to the host and returns the base URL.
func (n node) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://" + n.sh(t, "ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'") + ":" + port
}

// TestHostScript: an install script is fetched, looked at and run.
func TestHostScript(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	scripts := map[string]string{
		"/page":  "<html>not found</html>\n",
		"/fails": "#!/bin/sh\necho doing; false | true\nexit 3\n",
		"/empty": "#!/bin/sh\ntrue\n",
		"/good":  "#!/bin/bash -e\n[[ $VERSION == 20.10 ]]\napt-get -qq update\napt-get -qq install -y --no-install-recommends docker.io\n",
	}
	base := n.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := scripts[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	for path, want := range map[string]error{"/none": ErrMirror, "/page": ErrScript, "/fails": ErrScript, "/empty": ErrScript} {
		_, err := n.provision(t, Engine{InstallURL: base + path}, id)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), base+path) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	e := Engine{InstallURL: base + "/good", Version: "20.10"}
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	n.settledPlan(t, e, id)
}
