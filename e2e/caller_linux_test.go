package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCaller has docker-machine, built of its own packages, use our drivers as plugins: it makes a host with the
// driver docker, provisions it and does all that it does with machines. Afterwards the program goes on with them.
func TestCaller(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	plugins := t.TempDir()
	f.ok("plugin", "link", plugins)
	f.extra = append(f.extra, "PATH="+plugins+":"+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	caller := filepath.Join(t.TempDir(), "caller")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", caller, ".")
	build.Dir = filepath.Join("testdata", "caller")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build docker-machine: %v\n%s", err, out)
	}
	m := f.name("dm")
	create := []string{"create", "-d", "docker", "--docker-image", f.forCaller(), m}

	help := f.call(caller, "create", "-d", "docker", "--help")
	if !strings.Contains(help, `--docker-suite "bookworm"`) || !strings.Contains(help, "[$MACHINE_DOCKER_SUITE]") {
		t.Errorf("create --help lacks our options:\n%s", help)
	}
	t.Run("killed", func(t *testing.T) { f.in(t).killedCaller(caller, create, m) })

	f.call(caller, create...)
	if got := f.call(caller, "ls", "-f", "{{.Name}} {{.State}} {{.DriverName}} {{.Error}}"); got != m+" Running docker \n" {
		t.Errorf("ls: %q", got)
	}
	f.call(caller, "stop", m)
	if got := f.call(caller, "status", m); got != "Stopped\n" {
		t.Errorf("status: %q", got)
	}
	if out, err := f.caller(caller, "url", m).CombinedOutput(); err == nil || string(out) != "Host is not running\n" {
		t.Errorf("url of a stopped machine: %v, %q", err, out)
	}
	f.call(caller, "start", m)
	if got := strings.TrimSpace(f.call(caller, "--native-ssh", "ssh", m, "hostname")); got != m {
		t.Errorf("ssh: %q", got)
	}

	// What docker-machine made is a machine here.
	if got := f.ok("ls", "-f", "{{.Name}} {{.State}} {{.DriverName}}"); got != m+" Running docker" {
		t.Errorf("ls of machine: %q", got)
	}
	if got := f.docker(m, "info", "-f", "{{.Name}}"); got != m {
		t.Errorf("docker info: %q", got)
	}
	f.call(caller, "rm", "-y", m) // which reads what machine has only looked at
	if left := f.leftovers("container"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// For a driver that docker-machine has itself, its library starts docker-machine.
	url := f.name("url")
	f.call(caller, "create", "-d", "none", "--url", "tcp://127.0.0.1:1", url)
	if got := f.call(caller, "url", url) + f.call(caller, "ip", url); got != "tcp://127.0.0.1:1\n127.0.0.1:1\n" {
		t.Errorf("a machine that is only a URL: %q", got)
	}
	f.ok("rm", "-y", url)
}

// caller is docker-machine on the fleet's store.
func (f *fleet) caller(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(f.t.Context(), program, args...)
	cmd.Env = f.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// call is what docker-machine prints; it must not fail.
func (f *fleet) call(program string, args ...string) string {
	f.t.Helper()
	cmd := f.caller(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("docker-machine %v: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out)
}

// killedCaller kills docker-machine and its plugin once there is a container: the next rm knows of it.
func (f *fleet) killedCaller(program string, create []string, name string) {
	cmd := f.caller(program, create...)
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	eventually(f.t, time.Minute, func() error {
		if len(f.leftovers("container")) == 0 {
			return fmt.Errorf("no container of %s yet", name)
		}
		return nil
	})
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		f.t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	f.call(program, "rm", "-y", name)
	for _, kind := range []string{"container", "volume"} {
		if left := f.leftovers(kind); len(left) > 0 {
			f.t.Errorf("left behind: %s %v", kind, left)
		}
	}
}

// forCaller is an image of hosts that docker-machine can provision: it wants dockerd in another place than Debian
// has it, and it starts an Engine that its socket has started with the old options.
func (f *fleet) forCaller() string {
	f.t.Helper()
	base := newFleet(f.t)
	name := base.name("base")
	base.ok("create", "-d", "docker", name)
	found, err := exec.CommandContext(f.t.Context(), "docker", "ps", "--filter", "name="+name, "--format", "{{.Image}}").Output()
	if err != nil {
		f.t.Fatal(err)
	}
	base.ok("rm", "-y", name)
	image := "machine-" + f.name("image")
	build := exec.CommandContext(f.t.Context(), "docker", "build", "-t", image, "-")
	build.Stdin = strings.NewReader("FROM " + string(found) + `
RUN ln -sf /usr/sbin/dockerd /usr/bin/dockerd && \
	sed 's/docker.socket//; s# -H fd://##' /lib/systemd/system/docker.service > /etc/systemd/system/docker.service && \
	systemctl mask docker.socket
`)
	f.t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "docker", "rmi", "-f", image).CombinedOutput(); err != nil {
			f.t.Errorf("remove image: %v: %s", err, out)
		}
	})
	if out, err := build.CombinedOutput(); err != nil {
		f.t.Fatalf("build image: %v\n%s", err, out)
	}
	return image
}
