package e2e_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/rand"
	"crypto/sha256"
)

// image says what a host has installed at birth.
type image struct {
	suite    string
	packages string
}

var (
	bare           = image{suite: "bookworm"}
	bareTrixie     = image{suite: "trixie"}
	withEngine     = image{suite: "bookworm", packages: "docker.io"}
	imagesInMaking sync.Map // reference to *sync.Once: hosts of one image wait for one build
)

// host is a host of the user's own: a system container that the docker client
// started, reached over SSH, of which machine knows nothing.
type host struct {
	t         *testing.T
	container string
	ip        string
	key       string // path of the private key that root, admin and plain accept
}

// newHost boots a host and waits for its SSH. flags go to docker run.
func newHost(t *testing.T, img image, flags ...string) *host {
	t.Helper()
	needEngines(t)
	var id [3]byte
	if _, err := rand.Read(id[:]); err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, container: "machine-e2e-" + hex.EncodeToString(id[:]), key: filepath.Join(t.TempDir(), "key")}
	mustRun(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f", h.key)
	public, err := os.ReadFile(h.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.CommandContext(context.Background(), "docker", "exec", h.container,
				"sh", "-c", "systemctl --failed --no-legend; journalctl --no-pager -p warning -n 15").CombinedOutput()
			t.Logf("host %s at the end:\n%s", h.container, out)
		}
		if out, err := exec.CommandContext(context.Background(), "docker", "rm", "-fv", h.container).CombinedOutput(); err != nil {
			t.Errorf("remove host: %v: %s", err, out)
		}
	})
	common := append([]string{
		"run", "-d", "--name", h.container, "--hostname", h.container,
		"--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "-v", "/var/lib/docker",
		"-e", "container=docker", "-e", "AUTHORIZED_KEY=" + strings.TrimSpace(string(public)), "--cgroupns=private",
	}, flags...)
	reference := hostImage(t, img)
	out, err := dockerOutput(t, append(append(common, "--privileged"), reference)...)
	if err != nil { // an Engine that lacks a capability itself cannot give all
		_, _ = dockerOutput(t, "rm", "-fv", h.container)
		common = append(common,
			"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined",
			"--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
			"--device-cgroup-rule", "a *:* rwm")
		out, err = dockerOutput(t, append(common, reference)...)
	}
	if err != nil {
		t.Fatalf("start host: %v: %s", err, out)
	}
	h.ip = h.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	eventually(t, 60*time.Second, func() error {
		if out, err := h.try("systemctl is-system-running --wait; systemctl is-active ssh"); err != nil {
			return fmt.Errorf("boot: %w: %s", err, out)
		}
		return nil
	})
	return h
}

// hostImage returns the reference of an image, built if it is not there. What it
// is built from is part of its name.
func hostImage(t *testing.T, img image) string {
	t.Helper()
	hash := sha256.New()
	err := fs.WalkDir(os.DirFS("testdata/host"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join("testdata/host", name))
		fmt.Fprintf(hash, "%s %x %v", name, content, img)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	reference := fmt.Sprintf("machine-e2e-host:%s-%x", img.suite, hash.Sum(nil)[:6])
	once, _ := imagesInMaking.LoadOrStore(reference, new(sync.Once))
	once.(*sync.Once).Do(func() {
		if _, err := dockerOutput(t, "image", "inspect", reference); err == nil {
			return
		}
		if out, err := dockerOutput(t, "build", "-t", reference, "--build-arg", "SUITE="+img.suite,
			"--build-arg", "PACKAGES="+img.packages, "testdata/host"); err != nil {
			t.Fatalf("build image of hosts: %v\n%s", err, out)
		}
	})
	return reference
}

// generic returns the options that tell the generic driver of the host.
func (h *host) generic(user string) []string {
	return []string{"-d", "generic", "--generic-ip-address", h.ip, "--generic-ssh-user", user, "--generic-ssh-key", h.key}
}

func (h *host) inspect(format string) string {
	h.t.Helper()
	out, err := dockerOutput(h.t, "inspect", "-f", format, h.container)
	if err != nil {
		h.t.Fatalf("inspect host: %v: %s", err, out)
	}
	return strings.TrimSpace(out)
}

// try runs a shell script as root on the host, not by way of machine.
func (h *host) try(script string) (string, error) {
	return dockerOutput(h.t, "exec", h.container, "sh", "-c", script)
}

// sh is try for a script that must succeed.
func (h *host) sh(script string) string {
	h.t.Helper()
	out, err := h.try(script)
	if err != nil {
		h.t.Fatalf("on host: %s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(out)
}

// engineStarted identifies the present run of the host's Engine.
func (h *host) engineStarted() string {
	return h.sh("systemctl show -p ExecMainStartTimestampMonotonic -p MainPID docker.service")
}

func dockerOutput(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx := t.Context()
	if ctx.Err() != nil { // in a cleanup
		ctx = context.Background()
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestHost checks what the other suites stand on: a host boots, its SSH answers,
// and it can run an Engine.
func TestHost(t *testing.T) {
	t.Parallel()
	h := newHost(t, withEngine)
	out := mustRun(t, "ssh", "-i", h.key, "-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile="+filepath.Join(t.TempDir(), "known"),
		"-o", "IdentitiesOnly=yes", "admin@"+h.ip, "sudo docker info -f '{{.ServerVersion}} {{.Driver}}'")
	if !regexp.MustCompile(`\d+\.\d+\.\d+\S* \w+`).MatchString(out) {
		t.Errorf("Got %q, want version and storage driver of the host's Engine", out)
	}
}
