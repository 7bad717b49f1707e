package provision

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestProbe probes this machine, with whatever rights and tools there are.
func TestProbe(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a host is a Linux machine")
	}
	eachShell(t, func(t *testing.T, r shell) {
		var cmds []string
		r.cmds = &cmds
		f, err := Probe(t.Context(), r, Engine{})
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := exec.CommandContext(t.Context(), "uname", "-r").Output()
		if err != nil {
			t.Fatal(err)
		}
		name, _ := os.Hostname()
		if f.Kernel != strings.TrimSpace(string(kernel)) || f.Hostname != name || f.UID != os.Getuid() || f.Arch != archOf(f.Arch) || f.Clock.IsZero() || f.FreeVarMiB < 0 {
			t.Errorf("got %+v", f)
		}
		if len(cmds) != 1 {
			t.Errorf("%d commands", len(cmds))
		}
	})
}

func TestParseProbe(t *testing.T) {
	t.Parallel()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	lines := []string{"motd of the host", "M begin"}
	for _, kv := range [][2]string{
		{"os-release", osReleases["ubuntu"]}, {"machine", "aarch64"}, {"clock", "1700000000"}, {"uid", "1000"}, {"sudo", "yes"}, {"init", "systemd"},
		{"free-var", "123"}, {"engine-version", "Docker version 28.5.2, build abc"}, {"enabled", "enabled-runtime"}, {"daemon-json", ""},
		{"drop-in", "/a"}, {"drop-in", "/b"}, {"env-file", "DOCKER_OPTS=\"--x y\"\n"}, {"tls-ca.pem", "00"}, {"tls-loose", "ca.pem"}, {"news", "of a later probe"},
	} {
		lines = append(lines, kv[0]+" "+b64(kv[1]))
	}
	lines = append(lines, "M end", "bye")
	f, err := parseProbe([]byte(strings.Join(lines, "\n")+"\n"), "M")
	if err != nil {
		t.Fatal(err)
	}
	want := Facts{
		ID: "ubuntu", IDLike: []string{"debian"}, VersionID: "24.04", Codename: "noble", Pretty: "Ubuntu 24.04.2 LTS", Arch: "arm64", UID: 1000, Sudo: true, Init: "systemd",
		Clock: f.Clock, FreeVarMiB: 123, FreeEtcMiB: -1, Version: "28.5.2", Enabled: true, DaemonJSON: []byte{}, DropIns: []string{"/a", "/b"},
		EnvFiles: map[string]string{"DOCKER_OPTS": "--x y"}, TLSHashes: map[string]string{"ca.pem": "00"}, TLSLoose: []string{"ca.pem"},
	}
	if diff := cmp.Diff(want, f); diff != "" || f.Clock.Unix() != 1700000000 || f.DaemonJSON == nil {
		t.Errorf("%v %s", f.Clock, diff)
	}
	for name, out := range map[string]string{
		"nothing":   "",
		"no script": "This account is currently not available.\n",
		"cut":       "M begin\nuid " + b64("0") + "\n",
		"no base64": "M begin\nuid !\nM end\n",
	} {
		if _, err := parseProbe([]byte(out), "M"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte("M begin\nuid MA==\nM end\n"))
	f.Add([]byte("x\nM begin\ntls- \ntls-ca.pem eA==\nos-release SUQ9YQ==\n\nM end\nM end\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		facts, err := parseProbe(out, "M")
		if err != nil {
			return
		}
		// Whatever a host says, planning for it does not break.
		_, _ = Plan(facts, Engine{Options: []string{"mtu=1"}}, testTLS)
		_, _ = PlanRemoval(facts)
		_ = fmt.Sprint(facts)
		if bytes.Contains([]byte(facts.Version), []byte("\n")) {
			t.Errorf("version %q", facts.Version)
		}
	})
}
