package e2e_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStoreOfDockerMachine has docker-machine itself make a host and its store, goes on with both, and gives the store
// back to docker-machine.
func TestStoreOfDockerMachine(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	program := os.Getenv("MACHINE_E2E_DOCKER_MACHINE")
	if program == "" {
		t.Skip("needs docker-machine, built: make e2e, or go build in testdata/docker-machine and MACHINE_E2E_DOCKER_MACHINE=program")
	}
	old := *f
	old.program = program
	old.extra = append(old.extra, "MACHINE_BUGSNAG_API_TOKEN=no-report")
	h := newHost(t, withEngine)
	// docker-machine takes the engine to be where Docker's packages have it, and not to be started by a socket.
	h.sh(`ln -sf "$(command -v dockerd)" /usr/bin/dockerd
		systemctl stop docker.socket docker
		systemctl mask docker.socket
		sed -i '/^Requires=docker.socket/d' /lib/systemd/system/docker.service
		mkdir -p /etc/systemd/system/docker.service.d
		printf '[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H unix:///var/run/docker.sock\n' >/etc/systemd/system/docker.service.d/05-no-socket.conf
		systemctl daemon-reload
		systemctl reset-failed docker || true
		systemctl start docker`)
	m, stray := f.name("old"), f.name("url")
	old.ok(append(append([]string{"create"}, h.generic("root")...), "--engine-label", "tier=old", m)...)
	old.ok("create", "-d", "none", "--url", "tcp://127.0.0.1:1", stray)
	before := f.tree()

	version := h.sh("docker version -f '{{.Server.Version}}'")
	row := f.ok("ls", "--format", "{{.Name}} {{.DriverName}} {{.State}} {{.URL}} {{.DockerVersion}} {{.Error}}", "--filter", "name="+m)
	if want := m + " generic Running tcp://" + h.ip + ":2376 v" + strings.TrimSpace(version); strings.TrimSpace(row) != want {
		t.Errorf("ls shows %q, want %q", row, want)
	}
	for _, args := range [][]string{{"ip", m}, {"url", m}, {"status", m}, {"inspect", m}, {"config", m}, {"inspect", stray}, {"url", stray}, {"ls"}, {"ls", "-q"}} {
		f.ok(args...)
	}
	if got := f.docker(m, "version", "-f", "{{.Server.Version}}"); got != strings.TrimSpace(version) {
		t.Errorf("docker version: %q", got)
	}
	if after := f.tree(); !maps.Equal(before, after) {
		t.Error("looking changed the store of docker-machine")
	}
	if got := f.ok("ssh", m, "hostname"); strings.TrimSpace(got) != m {
		t.Errorf("ssh: %q", got)
	}
	f.fails(1, "migrate", "--check")
	old.ok("ssh", m, "true") // it still reads its records

	f.ok("regenerate-certs", "-f", m)
	f.ok("provision", m)
	after := f.tree()
	dir := filepath.Join("machines", m)
	if after[filepath.Join(dir, "config.json.bak")] != before[filepath.Join(dir, "config.json")] || after["certs/ca.pem"] != before["certs/ca.pem"] ||
		after[filepath.Join(dir, "server.pem")] == before[filepath.Join(dir, "server.pem")] {
		t.Error("no backup, another authority, or the same certificate")
	}
	if labels := f.docker(m, "info", "-f", "{{.Labels}}"); !strings.Contains(labels, "tier=old") {
		t.Errorf("labels %s", labels)
	}
	f.ok("migrate")
	if out := f.ok("migrate", "--undo"); !strings.Contains(out, stray) {
		t.Errorf("undo: %s", out)
	}
	eventually(t, time.Minute, func() error {
		if row := old.ok("ls", "-f", "{{.State}} {{.DockerVersion}}", "--filter", "name="+m); !strings.Contains(row, "Running v"+strings.TrimSpace(version)) {
			return errors.New("docker-machine lists " + row)
		}
		return nil
	})
	if got := f.tree()[filepath.Join(dir, "config.json")]; got != before[filepath.Join(dir, "config.json")] {
		t.Error("undo did not bring the record back")
	}
	f.ok("rm", "-y", m, stray)
}

// tree returns the files of the store by path, without locks and logs.
func (f *fleet) tree() map[string]string {
	f.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(f.store, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(f.store, path)
		if d.IsDir() && (rel == "locks" || rel == "logs") {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}
