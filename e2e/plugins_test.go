package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// buildPlugin builds a plugin that is a module of its own, with the library of another program.
func buildPlugin(t *testing.T, dir, library, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "docker-machine-driver-"+name), ".")
	cmd.Dir = filepath.Join("testdata", "plugins", library)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build plugin with the library of %s: %v\n%s", library, err, out)
	}
}

// TestThirdPartyPlugins has plugins of docker-machine's and rancher-machine's libraries make Docker hosts.
func TestThirdPartyPlugins(t *testing.T) {
	t.Parallel()
	h := newHost(t, withEngine)
	bin := t.TempDir()
	buildPlugin(t, bin, "docker-machine", "old")
	buildPlugin(t, bin, "rancher-machine", "newer")
	f := newFleet(t)
	f.extra = append(f.extra, "PATH="+filepath.Dir(binary)+":"+bin+":"+os.Getenv("PATH"))

	help := f.ok("create", "-d", "old", "--help")
	for _, want := range []string{"--old-access-token VALUE", "[$OLD_TOKEN]", "SSH port (default: 22) [$GENERIC_SSH_PORT]"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
	if help := f.ok("create", "--help"); strings.Contains(help, "old-access-token") {
		t.Error("the options of a driver are shown that nobody named")
	}
	o, n := f.name("o"), f.name("n")
	options := []string{"--generic-ip-address", h.ip, "--generic-ssh-key", h.key}
	f.wantFailure("old driver requires", append([]string{"create", "-d", "old", o}, options...)...)
	f.wantFailure("flag provided but not defined: --old-size", append([]string{"create", "-d", "old", "--old-size", "1", o}, options...)...)
	f.wantFailure(`Driver "older" not found. Do you have the plugin binary "docker-machine-driver-older" accessible in your PATH?`,
		"create", "-d", "older", "--older-size", "1", o)
	f.extra = append(f.extra, "OLD_TOKEN=tell-nobody")
	f.ok(append([]string{"create", "-d", "old", o}, options...)...)
	f.extra = f.extra[:len(f.extra)-1]

	record, err := os.ReadFile(f.path(o, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Driver struct{ IPAddress, MachineName, AccessToken string }
	}
	if err := json.Unmarshal(record, &stored); err != nil || stored.Driver.IPAddress != h.ip || stored.Driver.MachineName != o {
		t.Errorf("the record is not docker-machine's: %v\n%s", err, record)
	}
	if inspected := f.ok("inspect", o); strings.Contains(string(record)+inspected, "tell-nobody") || strings.Contains(inspected, "machine:") {
		t.Errorf("record or inspect tell too much:\n%s\n%s", record, inspected)
	}
	if got := strings.TrimSpace(f.ok("ssh", o, "echo", "$USER")); got != "root" {
		t.Errorf("ssh: %q", got)
	}
	f.docker(o, "version")
	if row := f.ok("ls", "-f", "{{.DriverName}} {{.State}} {{.URL}} {{.Error}}", "--filter", "name="+o); strings.TrimSpace(row) != "old Running tcp://"+h.ip+":2376" {
		t.Errorf("ls: %s", row)
	}
	f.ok("stop", o)
	if state := f.ok("status", o); state != "Stopped" { // which only the record knows
		t.Errorf("state after stop: %q", state)
	}
	f.ok("start", o)
	f.ok("rm", "-y", o)

	f.ok(append([]string{"create", "-d", filepath.Join(bin, "docker-machine-driver-newer"), n}, options...)...)
	f.docker(n, "version")
	if err := os.Remove(filepath.Join(bin, "docker-machine-driver-newer")); err != nil {
		t.Fatal(err)
	}
	if url := f.ok("url", n); url != "tcp://"+h.ip+":2376" { // without its plugin
		t.Errorf("url: %q", url)
	}
	f.wantFailure("Do you have the plugin binary", "rm", "-y", n)
	f.ok("rm", "-f", n)

	if runtime.GOOS == "linux" {
		if out, _ := exec.CommandContext(t.Context(), "pgrep", "-f", bin).Output(); len(out) > 0 {
			t.Errorf("plugins still run: %s", out)
		}
	}
}

// wantFailure demands that a command fails with words on its standard error.
func (f *fleet) wantFailure(words string, args ...string) {
	f.t.Helper()
	if r := f.run(args...); r.code == 0 || !strings.Contains(r.stderr, words) {
		f.t.Errorf("want %q:\n%s", words, r)
	}
}
