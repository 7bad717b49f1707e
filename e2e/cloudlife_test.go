package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCloudLife takes a machine of each cloud through its whole life, with a host
// that boots through cloud-init.
func TestCloudLife(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "docker")
		m := f.name("m1")
		data := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(data, []byte("#cloud-config\nhostname: other\nruncmd: [touch /owner-was-here]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f.ok(p.create("--userdata", data, "--engine-label", "tier=gold", m)...)
		t.Logf("create made %d calls to its provider", c.calls())

		if got := f.ok("ls", "--format", "{{.Name}} {{.DriverName}} {{.State}} {{.Error}}"); got != m+" "+p.driver+" Running " {
			t.Errorf("ls: got %q", got)
		}
		if got := f.docker(m, "info", "--format", "{{.Labels}}"); !strings.Contains(got, "tier=gold") {
			t.Errorf("Labels of the engine: got %q", got)
		}
		version := f.docker(m, "version", "--format", "{{.Server.Version}}")
		if got := f.ok("version", m); got != version {
			t.Errorf("version: got %q, want %q", got, version)
		}
		if got := f.ok("ssh", m, "hostname; ls /owner-was-here"); got != m+"\n/owner-was-here" {
			t.Errorf("ssh: got %q", got)
		}
		if r := f.run("exec", m, "--", "sh", "-c", "exit 7"); r.code != 7 {
			t.Errorf("exec: %s", r)
		}
		f.secretsAreKept(m)

		before, certificate := f.ok("ip", m), f.certificate(m)
		f.docker(m, "volume", "create", "kept")
		f.ok("stop", m)
		if got := f.ok("status", m); got != "Stopped" {
			t.Errorf("status: got %q", got)
		}
		f.ok("start", m)
		if after := f.ok("ip", m); (after == before) != p.stays {
			t.Errorf("Address before stop %s, after start %s", before, after)
		}
		if again := f.certificate(m); (again == certificate) != p.stays {
			t.Errorf("The certificate after start is another: %v, want %v", again != certificate, !p.stays)
		}
		if got := f.docker(m, "volume", "ls", "-q"); got != "kept" {
			t.Errorf("Volumes: got %q", got)
		}
		f.ok("restart", m)
		f.docker(m, "info")
		f.ok("kill", m)
		if got := f.ok("status", m); got != "Stopped" {
			t.Errorf("status after kill: got %q", got)
		}
		f.ok("start", m)
		f.ok("upgrade", m)
		f.docker(m, "info")
		f.ok("provision", m)
		made := len(c.ledger())
		if out := f.ok("gc", "--yes"); strings.Contains(out, m) || len(c.ledger()) != made {
			t.Errorf("gc of a store whose machines are well left %v:\n%s", c.ledger(), out)
		}
		f.docker(m, "info")
		f.ok("rm", "-y", m)
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("rm left %v", left)
		}
	}, append(hypervisors(), azureOfFakes())...)
}

// certificate is the one of a machine's Engine.
func (f *fleet) certificate(m string) string {
	f.t.Helper()
	text, err := os.ReadFile(f.path(m, "server.pem"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// secretsAreKept looks for secrets of the environment, and for private keys, in
// what inspect shows and in all files of the store but those that are for them.
func (f *fleet) secretsAreKept(m string) {
	f.t.Helper()
	secrets := []string{"PRIVATE KEY"}
	for _, pair := range f.extra {
		if k, v, _ := strings.Cut(pair, "="); slices.ContainsFunc([]string{"SECRET", "PASSWORD"}, func(s string) bool { return strings.Contains(k, s) }) && v != os.DevNull {
			secrets = append(secrets, v)
		}
	}
	look := func(where, text string) {
		for i, s := range secrets {
			if strings.Contains(text, s) {
				f.t.Errorf("%s holds secret %d", where, i)
			}
		}
	}
	look("inspect", f.ok("inspect", m))
	look("inspect in JSON", f.ok("inspect", "--format", "{{json .}}", m))
	forThem := []string{"id_ed25519", "key.pem", "server-key.pem", "ca-key.pem", "secrets.json", "host_key", "seed.iso"}
	err := walkStore(f.store, func(name, text string) {
		if !slices.Contains(forThem, filepath.Base(name)) {
			look(name, text)
		} else if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			f.t.Errorf("%s is for others too: %v, %v", name, info, err)
		}
	})
	if err != nil {
		f.t.Error(err)
	}
}

func walkStore(root string, visit func(name, text string)) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		visit(name, string(text))
		return err
	})
}

// TestCloudSwarm makes a swarm of two hosts of each cloud, with a service on both.
func TestCloudSwarm(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "docker")
		a, b := f.name("a"), f.name("b")
		f.ok(p.create("--swarm-master", a)...)
		f.ok(p.create("--swarm", b)...)
		env := f.dockerEnv("--swarm", a)
		if got := f.nodes(env); len(got) != 2 || !strings.HasPrefix(got[0], a+" Ready Active") || !strings.HasPrefix(got[1], b+" Ready Active") {
			t.Fatalf("Nodes: got %q", got)
		}
		f.loadHello(a, b)
		f.deployHello(env)
		f.answersEverywhere(a, b)
		if p.firewall {
			f.closedToOthers(c, p)
		}
		f.ok("rm", "-y", b)
		if got := f.nodes(env); len(got) != 1 {
			t.Errorf("Nodes after rm: got %q", got)
		}
		f.ok("rm", "-y", a)
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("rm left %v", left)
		}
	}, append(hypervisors(), azureOfFakes())...)
}

// closedToOthers looks into the provider's books for who may reach which ports of
// the hosts of a swarm.
func (f *fleet) closedToOthers(c *cloud, p provider) {
	f.t.Helper()
	management, swarm := []string{"tcp/22", "tcp/2376"}, []string{"tcp/2377", "tcp/7946", "udp/7946", "udp/4789"}
	const caller, stranger = "127.0.0.1", "203.0.113.9" // where the provider is asked from
	hosts := map[string]string{}
	for _, r := range c.ledger() {
		if r.Kind == p.instance {
			hosts[r.Tags["machine-name"]] = r.ID
		}
	}
	if len(hosts) != 2 {
		f.t.Fatalf("Hosts: got %v", hosts)
	}
	for m, id := range hosts {
		expect := func(ports []string, from string, want bool) {
			f.t.Helper()
			for _, port := range ports {
				if got := c.admits(id, from, port); got != want {
					f.t.Errorf("%s admits %s to %s: got %v, want %v", m, from, port, got, want)
				}
			}
		}
		expect(management, caller, true)
		expect(swarm, caller, false)
		expect(slices.Concat(management, swarm, []string{"tcp/80", "tcp/2375", "udp/53"}), stranger, false)
		for other := range hosts {
			if other != m {
				expect(swarm, f.ok("inspect", "--format", "{{.Address.Peer}}", other), true)
			}
		}
		neighbour := c.ready.Private.Masked().Addr() // in the members' network, and no member
		for range 250 {
			neighbour = neighbour.Next()
		}
		expect(slices.Concat(management, swarm), neighbour.String(), false)
	}
}
