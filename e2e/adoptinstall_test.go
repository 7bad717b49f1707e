package e2e_test

import (
	"strings"
	"testing"
)

// TestAdoptInstalls takes over a host without an engine: adopt says so, and installs the distribution's if asked to.
// An upgrade then finds nothing newer, and leaves the engine alone.
func TestAdoptInstalls(t *testing.T) {
	t.Parallel()
	h, f := newHost(t, bareTrixie), newFleet(t)
	m := f.name("bare")
	adopt := []string{"adopt", "ssh://root@" + h.ip, m, "--ssh-key", h.key, "--host-key", h.hostKey()}
	if r := f.fails(3, adopt...); !strings.Contains(r.stderr, "--engine install") {
		t.Errorf("the way out is not told\n%s", r)
	}
	if r := f.fails(2, append(adopt, "--engine", "install")...); !strings.Contains(r.stderr, "--tls on") {
		t.Errorf("the way out is not told\n%s", r)
	}
	adopt = append(adopt, "--tls", "on")
	install := append(adopt, "--engine", "install", "--engine-source", "distro") //nolint:gocritic // adopt is used once more
	configured := h.configured()
	if plan := f.ok(append(install, "--dry-run")...); !strings.Contains(plan, "install docker.io") {
		t.Errorf("the plan is\n%s", plan)
	}
	if now := h.configured(); now != configured {
		t.Error("looking changed the host")
	}
	f.ok(install...)
	version := f.docker(m, "version", "-f", "{{.Server.Version}}")
	if row := f.ok("ls", "-f", "{{.Name}} {{.State}} {{.DockerVersion}} {{.Error}}"); row != m+" Running v"+version+" " {
		t.Errorf("ls shows %q", row)
	}
	if out := h.sh("dpkg-query -W -f '${db:Status-Status}' docker.io"); out != "installed" {
		t.Errorf("docker.io is %s", out)
	}

	// The host is its owner's: it keeps its engine when the machine goes, and can be adopted again.
	f.ok("rm", "-y", m)
	engine := h.engineStarted()
	f.ok(append(adopt, "--engine", "upgrade")...)
	if now := f.docker(m, "version", "-f", "{{.Server.Version}}"); now != version {
		t.Errorf("the engine was %s, is %s, and the distribution has no other", version, now)
	}
	if h.engineStarted() == engine {
		t.Error("the machine has a new certificate, and its engine was not restarted")
	}
}

// TestAdoptUpgrades takes over a host whose distribution has a newer engine than the one that runs there: it is
// told, left alone unless an upgrade is asked for, and then replaced.
func TestAdoptUpgrades(t *testing.T) {
	t.Parallel()
	h, f := newHost(t, withEngine), newFleet(t)
	h.sh(trixie)
	m := f.name("old")
	adopt := []string{"adopt", "ssh://root@" + h.ip, m, "--ssh-key", h.key, "--host-key", h.hostKey(), "--tls", "on"}
	upgrade := append(adopt, "--engine", "upgrade") //nolint:gocritic // adopt is used once more
	if plan := f.ok(append(upgrade, "--dry-run")...); !strings.Contains(plan, "docker.io") {
		t.Errorf("the plan is\n%s", plan)
	}
	f.ok(adopt...)
	if version := f.docker(m, "version", "-f", "{{.Server.Version}}"); !strings.HasPrefix(version, "20.10.") {
		t.Errorf("the engine was to be kept, and is %s", version)
	}
	f.ok("rm", "-y", m)
	f.ok(upgrade...)
	if version := f.docker(m, "version", "-f", "{{.Server.Version}}"); !strings.HasPrefix(version, "26.") {
		t.Errorf("the engine was to be upgraded, and is %s", version)
	}
}
