package swarmboot_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// TestRealStories tells the stories with real engines.
func TestRealStories(t *testing.T) {
	needLab(t, "dockerd")
	t.Parallel()
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &real{lab: newLab(t), hosts: make(map[string]int), engines: make(map[string]swarmboot.Engine)}
			story(t, &teller{t: t, w: w, nodes: make(map[string]swarmboot.Node), ids: make(map[string]string)})
		})
	}
}

// real is a world of real engines.
type real struct {
	lab     *lab
	hosts   map[string]int
	engines map[string]swarmboot.Engine
}

func (r *real) addr(name string) string { r.engine(name); return r.lab.addr(r.hosts[name]) }

func (r *real) engine(name string) swarmboot.Engine {
	if r.hosts[name] == 0 {
		i := len(r.hosts) + 1
		r.hosts[name] = i
		r.lab.host(i)
		r.engines[name] = r.lab.engine(i)
	}
	return r.engines[name]
}

func (r *real) stop(name string)  { r.lab.stop(r.hosts[name]) }
func (r *real) start(name string) { r.lab.engine(r.hosts[name]) }
func (r *real) cut(name string)   { r.lab.link(r.hosts[name], "down") }
func (r *real) heal(name string)  { r.lab.link(r.hosts[name], "up") }

// task runs a service of one task that ignores requests to stop, from an image made of this program's toolchain.
func (r *real) task(name, service string, stopAfter time.Duration) {
	t := r.lab.t
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	const program = `package main
import ("os/signal"; "syscall"; "time")
func main() { signal.Ignore(syscall.SIGTERM); for { time.Sleep(time.Hour) } }`
	if err := os.WriteFile(src, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", dir+"/stay", src)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	bin, err := os.ReadFile(dir + "/stay")
	if err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	_ = w.WriteHeader(&tar.Header{Name: "stay", Mode: 0o755, Size: int64(len(bin))})
	_, _ = w.Write(bin)
	_ = w.Close()
	res, err := r.engines[name].(client).http.Post("http://engine/images/create?fromSrc=-&repo=stay&tag=1", "application/x-tar", &image)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("import image: %s", res.Status)
	}
	err = r.engines["m1"].Do(t.Context(), http.MethodPost, "/services/create", map[string]any{
		"Name": service,
		"TaskTemplate": map[string]any{"ContainerSpec": map[string]any{
			"Image": "stay:1", "Command": []string{"/stay"}, "StopGracePeriod": stopAfter,
		}},
		"Mode": map[string]any{"Replicated": map[string]any{"Replicas": 1}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// TestRealLocked: a manager whose swarm is locked with a key does not start by itself.
func TestRealLocked(t *testing.T) {
	needLab(t, "dockerd")
	t.Parallel()
	w := &real{lab: newLab(t), hosts: make(map[string]int), engines: make(map[string]swarmboot.Engine)}
	s := &teller{t: t, w: w, nodes: make(map[string]swarmboot.Node), ids: make(map[string]string)}
	s.want(mgr, "m1")
	s.reach()
	m1 := w.engine("m1")
	var c struct {
		Version struct{ Index uint64 }
		Spec    map[string]any
	}
	if err := m1.Do(t.Context(), http.MethodGet, "/swarm", nil, &c); err != nil {
		t.Fatal(err)
	}
	c.Spec["EncryptionConfig"] = map[string]bool{"AutoLockManagers": true}
	if err := m1.Do(t.Context(), http.MethodPost, fmt.Sprintf("/swarm/update?version=%d", c.Version.Index), c.Spec, nil); err != nil {
		t.Fatal(err)
	}
	w.stop("m1")
	w.start("m1")
	if got := swarmboot.Inspect(t.Context(), m1); got.State != "locked" || got.Control {
		t.Errorf("got %+v, want it locked", got)
	}
	s.want(wrk, "w1")
	if _, err := s.plan(); !errors.Is(err, swarmboot.ErrLocked) {
		t.Errorf("join a locked swarm: got %v, want ErrLocked", err)
	}
	s.swarm.ID = ""
	if _, err := s.plan(); !errors.Is(err, swarmboot.ErrLocked) {
		t.Errorf("new swarm of a locked node: got %v, want ErrLocked", err)
	}
}
