package e2e_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runWeb runs a container on the host, by hand and without a restart policy, and returns what changes when it is
// started again or replaced.
func (h *host) runWeb() (now func() string) {
	h.t.Helper()
	archive, err := helloArchive()
	if err != nil {
		h.t.Fatal(err)
	}
	load := exec.CommandContext(h.t.Context(), "docker", "exec", "-i", h.container, "docker", "load", "-q")
	load.Stdin = bytes.NewReader(archive)
	if out, err := load.CombinedOutput(); err != nil {
		h.t.Fatalf("docker load on the host: %v: %s", err, out)
	}
	h.sh("docker run -d --name web --network none " + helloImage)
	now = func() string {
		h.t.Helper()
		return h.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}' web")
	}
	if state := now(); !strings.HasSuffix(state, " true") {
		h.t.Fatalf("the container does not run: %s", state)
	}
	return now
}

// configured is a digest of the host's configuration.
func (h *host) configured() string {
	h.t.Helper()
	return h.sh("find /etc /root /home -type f ! -name .bash_history -exec sha256sum {} + | sort | sha256sum")
}

// hostKey is the fingerprint of the key that the host presents.
func (h *host) hostKey() string {
	h.t.Helper()
	return strings.Fields(h.sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"))[1]
}

// userSSH has docker clients of the fleet log in by an ssh configuration of its user's.
func (f *fleet) userSSH(config string) (env []string) {
	f.t.Helper()
	dir := f.t.TempDir()
	for name, text := range map[string]string{
		"config": config, // OpenSSH looks for it in the home of the account, whatever HOME says
		"ssh":    "#!/bin/sh\nexec " + mustRun(f.t, "which", "ssh") + " -F " + filepath.Join(dir, "config") + " \"$@\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // one is a program
			f.t.Fatal(err)
		}
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
}

// TestAdoptHost takes over a host on which a person has installed the distribution's engine and runs a container: through SSH,
// which changes nothing, and then with TLS, which the container survives. Then the machine goes to another store.
func TestAdoptHost(t *testing.T) {
	t.Parallel()
	h, f := newHost(t, withEngine), newFleet(t)
	web := h.runWeb()
	running, configured, engine := web(), h.configured(), h.engineStarted()
	m, url := f.name("own"), "ssh://root@"+h.ip
	adopt := []string{"adopt", url, m, "--ssh-key", h.key}

	r := f.fails(1, adopt...)
	if !strings.Contains(r.stderr, "--host-key "+h.hostKey()) {
		t.Errorf("the host key is not told\n%s", r)
	}
	adopt = append(adopt, "--host-key", h.hostKey())
	var plan struct {
		Found struct {
			Containers     int
			Socket, Asked  bool
			Package, State string
		}
		Steps []string
	}
	if err := json.Unmarshal([]byte(f.ok(append(adopt, "--dry-run", "--output", "json")...)), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Found.Containers != 1 || !plan.Found.Socket || plan.Found.Package != "docker.io" || plan.Found.State != "active" || len(plan.Steps) != 2 {
		t.Errorf("found %+v", plan)
	}
	f.fails(2, "adopt", url, m, "--ssh-key", h.key, "--host-key", "SHA256:nonsense", "--tls", "maybe")
	f.ok(adopt...)
	if now := h.configured(); now != configured {
		t.Error("the host's configuration was changed")
	}
	if want, got := "ssh://root@"+h.ip+":22", f.ok("url", m); got != want {
		t.Errorf("url is %s, want %s", got, want)
	}
	if row := f.ok("ls", "--filter", "name="+m, "-f", "{{.State}} {{.URL}} {{.DockerVersion}} {{.Error}}"); !strings.HasPrefix(row, "Running ssh://root@"+h.ip+":22 v") {
		t.Errorf("ls shows %q", row)
	}
	if out := f.ok("config", m); out != "-H=ssh://root@"+h.ip+":22" {
		t.Errorf("config prints %q", out)
	}
	out := f.ok("env", "--shell", "sh", m)
	if !strings.Contains(out, "unset DOCKER_TLS_VERIFY") || !strings.Contains(out, "unset DOCKER_CERT_PATH") || !strings.Contains(out, `export DOCKER_HOST="ssh://root@`+h.ip+`:22"`) {
		t.Errorf("env prints %s", out)
	}
	env := append(f.userSSH(f.ok("ssh-config", m)), "DOCKER_HOST=ssh://root@"+h.ip+":22")
	if ids := f.dockerWith(env, "ps", "-q", "--no-trunc"); !strings.HasPrefix(running, ids+" ") {
		t.Errorf("a docker client sees %q, the host runs %q", ids, running)
	}
	if out := f.ok("ssh", m, "hostname"); out != h.container {
		t.Errorf("ssh: %s", out)
	}
	f.fails(1, "regenerate-certs", "-f", m)
	f.ok("rm", "-y", m)
	if now := h.configured() + h.engineStarted() + web(); now != configured+engine+running {
		t.Error("something on the host was changed, all in all")
	}

	// With TLS, the engine is another run of itself, and the container the same.
	f.ok(append(adopt, "--tls", "on")...)
	if h.engineStarted() == engine {
		t.Error("the engine was not restarted: the test does not show what it says")
	}
	if now := web(); now != running {
		t.Errorf("the container was %s, is %s", running, now)
	}
	if out := h.sh("cat /etc/docker/daemon.json; ls /etc/docker"); strings.Contains(out, "live-restore") {
		t.Errorf("live-restore is on still: %s", out)
	}
	if ids := f.docker(m, "ps", "-q", "--no-trunc"); !strings.HasPrefix(running, ids+" ") {
		t.Errorf("a docker client sees %q", ids)
	}
	engine = h.engineStarted()
	f.ok("provision", m)
	if h.engineStarted() != engine {
		t.Error("provisioning restarts the engine of a machine that is as it should be")
	}

	// In another store, of another user, by a pipe.
	g := newFleet(t)
	bundle := f.run("export", "--plain", m)
	if bundle.code != 0 {
		t.Fatal(bundle)
	}
	imports := exec.CommandContext(t.Context(), binary, "import", "--as", "mine", "-")
	imports.Env, imports.Stdin = g.env(), strings.NewReader(bundle.stdout)
	if out, err := imports.CombinedOutput(); err != nil {
		t.Fatalf("import: %v: %s", err, out)
	}
	for name, fleet := range map[string]*fleet{m: f, "mine": g} {
		if row := fleet.ok("ls", "-f", "{{.Name}} {{.State}} {{.Error}}"); row != name+" Running " {
			t.Errorf("ls shows %q", row)
		}
		if ids := fleet.docker(name, "ps", "-q", "--no-trunc"); !strings.HasPrefix(running, ids+" ") {
			t.Errorf("%s: a docker client sees %q", name, ids)
		}
		if out := fleet.ok("ssh", name, "hostname"); out != h.container {
			t.Errorf("ssh: %s", out)
		}
	}
	g.ok("rm", "-y", "mine")
	f.ok("rm", "-y", m)
	if now := web(); now != running {
		t.Errorf("the container was %s, is %s", running, now)
	}
}

// dockerMachined makes a host such as docker-machine left it: an engine with TLS of an authority that is none of ours.
func (h *host) dockerMachined(a authority) {
	h.t.Helper()
	pair := a.issue(h.t, time.Now().Add(24*time.Hour), net.ParseIP(h.ip))
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		h.t.Fatal(err)
	}
	for file, data := range map[string][]byte{
		"/etc/docker/ca.pem": a.pem, "/etc/docker/server.pem": encodePEM("CERTIFICATE", pair.Certificate[0]), "/etc/docker/server-key.pem": encodePEM("PRIVATE KEY", key),
		"/etc/systemd/system/docker.service.d/10-machine.conf": []byte(`[Service]
ExecStart=
ExecStart=/usr/sbin/dockerd -H tcp://0.0.0.0:2376 -H unix:///var/run/docker.sock --tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/server.pem --tlskey /etc/docker/server-key.pem --label provider=generic 
Environment=
`),
	} {
		write := exec.CommandContext(h.t.Context(), "docker", "exec", "-i", h.container, "sh", "-c", fmt.Sprintf("mkdir -p %s && cat >%s", filepath.Dir(file), file))
		write.Stdin = bytes.NewReader(data)
		if out, err := write.CombinedOutput(); err != nil {
			h.t.Fatalf("write %s: %v: %s", file, err, out)
		}
	}
	h.sh("systemctl daemon-reload && systemctl restart docker")
}

// TestAdoptHostOfDockerMachine takes over a host that docker-machine made, in the place of what it left there.
func TestAdoptHostOfDockerMachine(t *testing.T) {
	t.Parallel()
	h, f := newHost(t, withEngine), newFleet(t)
	h.dockerMachined(newAuthority(t))
	web := h.runWeb()
	running := web()
	m := f.name("dm")
	adopt := []string{"adopt", "ssh://admin@" + h.ip + ":22", m, "--ssh-key", h.key, "--host-key", h.hostKey(), "--tls", "on"}
	plan := f.ok(append(adopt, "--dry-run")...)
	for _, want := range []string{"10-machine.conf", "listens with TLS at port 2376, its certificate signed by e2e", "1 running containers", "are not let in any more"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan does not tell %q:\n%s", want, plan)
		}
	}
	f.ok(adopt...)
	if now := web(); now != running {
		t.Errorf("the container was %s, is %s", running, now)
	}
	if ids := f.docker(m, "ps", "-q", "--no-trunc"); !strings.HasPrefix(running, ids+" ") {
		t.Errorf("a docker client sees %q", ids)
	}
	if out := h.sh("grep -l ExecStart /etc/systemd/system/docker.service.d/*; cat /etc/docker/daemon.json"); strings.Count(out, "machine.conf") != 1 || strings.Contains(out, "live-restore") {
		t.Errorf("on the host: %s", out)
	}
}
