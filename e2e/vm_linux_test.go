package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vms are the virtual machines of a test, which QEMU runs on this computer.
type vms struct {
	*fleet
	publisher *publisher
	options   []string
}

// needVMs returns the path of an image to make virtual machines of, without an Engine.
func needVMs(t *testing.T) string {
	t.Helper()
	image := os.Getenv("MACHINE_E2E_VM")
	if !enabled || image == "" {
		t.Skip("needs QEMU and an image: make test-vm")
	}
	return image
}

// TestVM goes through the life of virtual machines: an image comes from a publisher,
// gets an Engine, two machines boot from what comes of that, and are a swarm whose mesh
// answers at both. Where no accelerator runs guests it takes minutes.
func TestVM(t *testing.T) {
	image := needVMs(t)
	v := &vms{fleet: newFleet(t), publisher: publish(t, image)}
	v.options = []string{"-d", "qemu", "--qemu-memory", "1024", "--qemu-disk-size", "4000", "--qemu-stop-timeout", "240"}
	t.Cleanup(v.tellConsoles)
	for _, part := range []struct {
		name string
		run  func(*vms)
	}{
		{"checksum", (*vms).checksum},
		{"resume", (*vms).resume},
		{"bake", (*vms).bake},
		{"create", (*vms).create},
		{"swarm", (*vms).swarm},
		{"mesh", (*vms).mesh},
		{"restart", (*vms).restart},
		{"remove", (*vms).remove},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			in := *v
			in.fleet = v.in(t)
			begun := time.Now()
			part.run(&in)
			t.Logf("took %s", time.Since(begun).Round(time.Second))
		})
		if !ok {
			return
		}
	}
}

// checksum has what does not match its checksum refused.
func (v *vms) checksum() {
	r := v.fails(1, "image", "pull", "--checksum", "sha256:"+strings.Repeat("0", 64), v.publisher.url)
	if !strings.Contains(r.stderr, "and should be sha256:000") || !strings.Contains(r.stderr, "IMAGE_CHECKSUM") {
		v.t.Errorf("%s", r)
	}
	if got := v.ok("image", "ls", "--cached", "-q"); got != "" {
		v.t.Errorf("in the cache is %q", got)
	}
}

// resume has a download that was killed go on where it was, and two commands at once
// download once.
func (v *vms) resume() {
	p := v.publisher
	p.holdAt(p.size / 2)
	ctx, cancel := context.WithCancel(v.t.Context())
	killed := v.start(ctx, "image", "pull", "--checksum", p.sums, p.url)
	select {
	case <-p.held:
	case <-time.After(2 * time.Minute):
		v.t.Error("half of the image is not asked for within 2 minutes")
	}
	eventually(v.t, 2*time.Minute, func() error {
		if n := v.cached(); n < p.size*2/5 {
			return fmt.Errorf("%d bytes of the image are written", n)
		}
		return nil
	})
	cancel()
	killed.wait()
	p.holdAt(0)
	begun := p.sent()
	one := v.start(v.t.Context(), "image", "pull", "--checksum", p.sums, p.url)
	two := v.start(v.t.Context(), "image", "pull", "--checksum", p.sums, p.url)
	for _, r := range []result{one.wait(), two.wait()} {
		if r.code != 0 || !strings.Contains(r.stdout, "disk.qcow2") {
			v.t.Errorf("%s", r)
		}
	}
	if sent := p.sent() - begun; sent < p.size/3 || sent > p.size*2/3 {
		v.t.Errorf("%d of %d bytes were sent after half of them", sent, p.size)
	}
}

// cached returns the size of the largest file in the cache.
func (v *vms) cached() (n int64) {
	v.t.Helper()
	err := filepath.WalkDir(filepath.Join(v.store, "cache"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n = max(n, info.Size())
		}
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return n
}

const bakedImage = "debian-12-docker"

// bake has an Engine installed, and makes an image of what comes of it.
func (v *vms) bake() {
	begun := v.publisher.sent()
	args := append([]string{
		"image", "bake", "--image", v.publisher.url, "--qemu-image-checksum", v.publisher.sums, "--engine-source", "distro",
	}, v.options...)
	path := v.ok(append(args, bakedImage)...)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o444 {
		v.t.Errorf("the image is %v, %v", info, err)
	}
	if sent := v.publisher.sent() - begun; sent != 0 {
		v.t.Errorf("an image that is in the cache is fetched again: %d bytes", sent)
	}
	if got := v.ok("ls", "-q"); got != "" {
		v.t.Errorf("machines are left: %s", got)
	}
	if pids := processesOf(v.t, "guest=bake-"+bakedImage); len(pids) > 0 {
		v.t.Errorf("processes are left: %v", pids)
	}
	if got := v.ok("image", "ls", "--cached", "--format", "{{.Name}}: {{.Summary}}"); !strings.Contains(got, bakedImage+": Docker Engine 2") {
		v.t.Errorf("in the cache are %s", got)
	}
}

// create makes two machines at once, each with a port that is published: one of the image
// by its name, one of the same in another format, by its path.
func (v *vms) create() {
	baked := v.ok("image", "ls", "--cached", "--format", "{{.Name}} {{.Path}}")
	_, baked, _ = strings.Cut(baked[strings.Index(baked, bakedImage):], " ")
	baked, _, _ = strings.Cut(baked, "\n")
	other := filepath.Join(v.home, "other.vmdk")
	mustRun(v.t, "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", baked, other)
	images := map[string]string{"m1": bakedImage, "m2": other}
	var making []*running
	for _, name := range []string{"m1", "m2"} {
		port := freePort(v.t)
		if err := os.WriteFile(v.portFile(name), []byte(port), 0o600); err != nil {
			v.t.Fatal(err)
		}
		args := append([]string{"create", "--qemu-image", images[name], "--qemu-publish", port + ":8080"}, v.options...)
		making = append(making, v.start(v.t.Context(), append(args, v.name(name))...))
	}
	for _, m := range making {
		r := m.wait()
		if r.code != 0 {
			v.t.Fatalf("%s", r)
		}
		v.t.Logf("%s", r.stderr[strings.LastIndex(strings.TrimSpace(r.stderr), "\n")+1:])
		if strings.Contains(r.stderr, "pinned") {
			v.t.Error("the host key was not known from birth")
		}
		if strings.Contains(r.stderr, "install") {
			v.t.Errorf("an Engine was installed:\n%s", r.stderr)
		}
	}
	ids := map[string]bool{}
	for _, name := range v.names("m1", "m2") {
		id, is, _ := strings.Cut(v.docker(name, "info", "--format", "{{.ID}} {{.Name}}"), " ")
		if is != name || ids[id] {
			v.t.Errorf("the engine of %s is %q, with the id %s", name, is, id)
		}
		ids[id] = true
		if left := v.ok("ssh", name, "sudo grep -rl bake- /etc /home /root /var/lib/cloud 2>/dev/null; wc -l <.ssh/authorized_keys; cat /etc/machine-id"); ids[left] || !strings.HasPrefix(left, "1\n") {
			v.t.Errorf("%s has something of another: %q", name, left)
		} else {
			ids[left] = true
		}
		if got := v.ok("ssh", name, "hostname"); got != name {
			v.t.Errorf("the host of %s is %q", name, got)
		}
		v.refusesStrangers(name)
	}
	got := "\n" + v.ok("image", "ls", "--cached", "--format", "{{.Name}} {{.Format}} {{.Machines}}") + "\n"
	for _, want := range []string{bakedImage + " qcow2 " + v.name("m1"), "other.vmdk vmdk " + v.name("m2")} {
		if !strings.Contains(got, "\n"+want+"\n") {
			v.t.Errorf("there is no %q in %s", want, got)
		}
	}
}

// refusesStrangers checks that an Engine does not talk to those without a certificate.
func (v *vms) refusesStrangers(name string) {
	v.t.Helper()
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // it is about who asks
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(strings.Replace(v.ok("url", name), "tcp://", "https://", 1) + "/version")
	if err == nil {
		_ = resp.Body.Close()
		v.t.Errorf("the engine of %s answers a stranger: %s", name, resp.Status)
	} else if !strings.Contains(err.Error(), "certificate") {
		v.t.Errorf("the engine of %s: %v", name, err)
	}
}

func (v *vms) swarm() {
	v.ok("swarm", "init", v.name("m1"))
	v.ok("swarm", "join", "--swarm-name", v.name("m1"), v.name("m2"))
	nodes := v.docker(v.name("m1"), "node", "ls", "--format", "{{.Hostname}} {{.Status}}")
	for _, name := range v.names("m1", "m2") {
		if !strings.Contains(nodes, name+" Ready") {
			v.t.Errorf("%s is not ready:\n%s", name, nodes)
		}
	}
}

// mesh has a service on one node answer at both.
func (v *vms) mesh() {
	v.loadHello(v.names("m1", "m2")...)
	v.docker(v.name("m1"), "service", "create", "--detach", "--name", "hello", "--no-resolve-image",
		"--constraint", "node.hostname=="+v.name("m2"), "--publish", "published=8080,target=8080",
		"--env", "NODE={{.Node.Hostname}}", helloImage)
	v.meshAnswers(15 * time.Minute)
}

func (v *vms) meshAnswers(limit time.Duration) {
	v.t.Helper()
	want := "hello from " + v.name("m2")
	for _, name := range []string{"m1", "m2"} {
		port, err := os.ReadFile(v.portFile(name))
		if err != nil {
			v.t.Fatal(err)
		}
		eventually(v.t, limit, func() error {
			got, err := fetch(v.t.Context(), "http://127.0.0.1:"+string(port))
			if err == nil && got != want {
				err = fmt.Errorf("%s answers %q", name, got)
			}
			return err
		})
	}
}

// restart has a node come back, with its Engine, into the swarm.
func (v *vms) restart() {
	boot := v.ok("ssh", v.name("m2"), "cat", "/proc/sys/kernel/random/boot_id")
	r := v.run("restart", v.name("m2"))
	if r.code != 0 || strings.Contains(r.stderr, "power is cut") {
		v.t.Fatalf("%s", r)
	}
	if again := v.ok("ssh", v.name("m2"), "cat", "/proc/sys/kernel/random/boot_id"); again == boot {
		v.t.Error("it did not boot")
	}
	v.meshAnswers(15 * time.Minute)
}

// remove leaves nothing behind, of a machine that runs and of one whose process was killed.
func (v *vms) remove() {
	m1, m2 := v.name("m1"), v.name("m2")
	ports := append(v.ports(m1), v.ports(m2)...)
	v.ok("rm", "-y", m2)
	v.gone(m2)
	if got := v.docker(m1, "node", "ls", "--format", "{{.Hostname}}"); got != m1 {
		v.t.Errorf("nodes are %q", got)
	}
	pids := processesOf(v.t, "guest="+m1)
	if len(pids) != 1 {
		v.t.Fatalf("processes of %s: %v", m1, pids)
	}
	killProcess(v.t, pids[0])
	eventually(v.t, 30*time.Second, func() error {
		if got := v.run("status", m1); strings.TrimSpace(got.stdout) != "Stopped" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	v.ok("rm", "-y", "--force", m1)
	v.gone(m1)
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			v.t.Errorf("a port is still taken: %v", err)
			continue
		}
		_ = l.Close()
	}
	v.ok("image", "rm", "--all")
	err := filepath.WalkDir(filepath.Join(v.store, "cache"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "disk.") {
			v.t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		v.t.Error(err)
	}
}

// gone checks that a machine has no process and no file any more.
func (v *vms) gone(name string) {
	v.t.Helper()
	if pids := processesOf(v.t, "guest="+name); len(pids) > 0 {
		v.t.Errorf("%s has processes still: %v", name, pids)
	}
	if _, err := os.Stat(v.path(name, "")); !errors.Is(err, fs.ErrNotExist) {
		v.t.Errorf("%s has a folder still: %v", name, err)
	}
}

// ports are those of this computer that a machine has.
func (v *vms) ports(name string) []string {
	v.t.Helper()
	state, _ := v.inspect(name)["DriverState"].(map[string]any)
	var ports []string
	for _, key := range []string{"sshPort", "enginePort"} {
		port, ok := state[key].(float64)
		if !ok {
			v.t.Fatalf("%s has no %s: %v", name, key, state)
		}
		ports = append(ports, strconv.Itoa(int(port)))
	}
	return ports
}

// portFile remembers the port of this computer at which a machine's 8080 is.
func (v *vms) portFile(name string) string { return filepath.Join(v.home, name+".port") }

// tellConsoles shows what machines printed last, if the test failed.
func (v *vms) tellConsoles() {
	if !v.t.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(v.store, "machines", "*", "*.log"))
	for _, path := range logs {
		data, _ := os.ReadFile(path)
		v.t.Logf("%s ends with:\n%s", path, data[max(0, len(data)-3000):])
	}
}

// processesOf are the processes with a text in their command lines.
func processesOf(t *testing.T, text string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.HasPrefix(filepath.Base(strings.Split(string(line), "\x00")[0]), "qemu-system-") && strings.Contains(string(line), text) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func killProcess(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// fetch returns the answer at a URL, of hosts that may be slow.
func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}
