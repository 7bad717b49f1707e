package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hypervisors returns those of this computer that are simulated.
func hypervisors() []provider {
	return []provider{
		{name: "virtualbox", driver: "virtualbox", instance: "machine", stays: true, program: "VBoxManage", source: "./e2e/sim/vboxsim/VBoxManage", image: qcow2()},
		{name: "hyperv", driver: "hyperv", instance: "machine", stays: true, program: "powershell.exe", source: "./e2e/sim/hypervsim/powershell", image: raw()},
	}
}

// onEachHypervisor runs a test once for each of them.
func onEachHypervisor(t *testing.T, test func(t *testing.T, p provider)) {
	t.Helper()
	t.Parallel()
	needEngines(t)
	for _, p := range hypervisors() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// local tells whether machines are on this computer.
func (p provider) local() bool { return p.program != "" }

// raw is a disk with a boot sector.
func raw() []byte {
	disk := make([]byte, 1<<20)
	copy(disk[510:], "\x55\xaa")
	return disk
}

// qcow2 is an empty disk of 1 MiB in QEMU's format.
func qcow2() []byte {
	disk := make([]byte, 256<<10)
	copy(disk, "QFI\xfb")
	// Version, bits of a cluster, size, length and offset of the table, and the same of the counts.
	for at, v := range map[int]byte{7: 2, 23: 16, 29: 0x10, 39: 1, 45: 3, 53: 1, 59: 1} {
		disk[at] = v
	}
	return disk
}

// programs builds what stands in front of the hypervisors, once, into a folder.
var programs = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(binary), "programs")
	for _, p := range hypervisors() {
		build := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(dir, p.program), p.source)
		build.Dir = ".."
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", p.program, err, out)
		}
	}
	return dir, nil
})

// depot serves an image over HTTP.
type depot struct {
	*httptest.Server
	fetched atomic.Int64 // bytes
	cut     atomic.Int64 // where the connection breaks, once; 0: nowhere
	sum     string
}

func newDepot(t *testing.T, image []byte) *depot {
	t.Helper()
	d := &depot{sum: fmt.Sprintf("sha256:%x", sha256.Sum256(image))}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := &countedWriter{ResponseWriter: w, n: &d.fetched, most: d.cut.Swap(0)}
		http.ServeContent(counted, r, "disk", time.Unix(1, 0), bytes.NewReader(image))
	}))
	t.Cleanup(d.Close)
	return d
}

// countedWriter breaks the connection after most bytes, unless that is 0.
type countedWriter struct {
	http.ResponseWriter
	n    *atomic.Int64
	most int64
}

func (w *countedWriter) Write(b []byte) (int, error) {
	if w.most > 0 && w.n.Load()+int64(len(b)) > w.most {
		n, _ := w.ResponseWriter.Write(b[:max(0, w.most-w.n.Load())])
		w.n.Add(int64(n))
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := w.ResponseWriter.Write(b)
	w.n.Add(int64(n))
	return n, err
}

// equip gives a fleet's commands the program in front of a hypervisor, and an image.
func (f *fleet) equip(p provider) *depot {
	f.t.Helper()
	dir, err := programs()
	if err != nil {
		f.t.Fatal(err)
	}
	d := newDepot(f.t, p.image)
	f.extra = append(f.extra, "PATH="+dir+":"+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	f.image(p, d.URL+"/disk", d.sum)
	return d
}

// noProcesses demands that no program in front of a hypervisor is left, where a
// computer tells what runs.
func (c *cloud) noProcesses(p provider) {
	home := "VBOX_USER_HOME=" + c.ready.Env["VBOX_USER_HOME"]
	if p.name == "hyperv" {
		home = "HYPERVSIM_HOME=" + c.ready.Env["HYPERVSIM_HOME"]
	}
	eventually(c.t, 20*time.Second, func() error {
		all, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return err
		}
		for _, file := range all {
			text, _ := os.ReadFile(file) // it may have ended, or be another's
			if slices.Contains(strings.Split(string(text), "\x00"), home) {
				command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
				return fmt.Errorf("%q runs still", strings.ReplaceAll(string(command), "\x00", " "))
			}
		}
		return nil
	})
}

// image has the fleet's creates take another image.
func (f *fleet) image(p provider, url, sum string) {
	prefix := map[string]string{"virtualbox": "VIRTUALBOX_IMAGE", "hyperv": "HYPERV_IMAGE"}[p.driver]
	f.extra = append(f.extra, prefix+"="+url, prefix+"_CHECKSUM="+sum)
}
