package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// runner calls the program as GitLab Runner's docker+machine executor does: the same commands with the same
// arguments in the same order, each killed when its time is over. Only the pauses between attempts are left out.
type runner struct {
	f        *fleet
	driver   string
	options  []string // MachineOptions of config.toml
	attempts int      // of a removal, before it is by force
}

// The executor's limits of stop and of everything else.
const (
	runnerStop = time.Minute
	runnerAny  = time.Hour
)

// call runs the program as docker-machine.
func (r *runner) call(limit time.Duration, args ...string) result {
	ctx, cancel := context.WithTimeout(r.f.t.Context(), limit)
	defer cancel()
	args = append([]string{"--bugsnag-api-token=no-report"}, args...)
	p := &running{args: args, begun: time.Now()}
	p.cmd = exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary), "docker-machine"), args...)
	p.cmd.Env = r.f.env()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.err = p.cmd.Start()
	return p.wait()
}

// create makes a machine; one that cannot be made is removed.
func (r *runner) create(limit time.Duration, name string, more ...string) result {
	args := []string{"create", "--driver", r.driver}
	for _, o := range append(slices.Clone(r.options), more...) {
		args = append(args, "--"+o)
	}
	got := r.call(limit, append(args, name)...)
	if got.code != 0 {
		r.remove(name)
	}
	return got
}

func (r *runner) exists(name string) bool {
	if _, err := os.Stat(r.f.path(name, "config.json")); err != nil {
		return false
	}
	return r.call(runnerAny, "inspect", name).code == 0
}

func (r *runner) removeOnce(name string) bool {
	if !r.exists(name) {
		return true
	}
	r.call(runnerStop, "stop", name) // what becomes of it is only logged
	return r.call(runnerAny, "rm", "-y", name).code == 0
}

// remove removes a machine in the end.
func (r *runner) remove(name string) {
	for range max(r.attempts, 1) {
		if r.removeOnce(name) {
			return
		}
	}
	if got := r.call(runnerAny, "rm", "-f", name); got.code != 0 {
		r.f.t.Errorf("by force: %s", got)
	}
}

// drain is how a runner that ends removes a machine.
func (r *runner) drain(name string) {
	if r.exists(name) {
		if got := r.call(runnerAny, "rm", "-f", name); got.code != 0 {
			r.f.t.Errorf("by force: %s", got)
		}
	}
}

func (r *runner) canConnect(name string) bool { return r.call(runnerAny, "config", name).code == 0 }

// use returns what a job is given: the engine's URL and the folder of the client's certificates.
func (r *runner) use(name string) (url, certs string) {
	for range 2 { // when it is chosen, and again before its credentials are asked for
		if got := r.call(runnerAny, "config", name); got.code != 0 {
			r.f.t.Errorf("%s", got)
		}
	}
	u := r.call(runnerAny, "url", name)
	c := r.call(runnerAny, "inspect", name, "-f", "{{.HostOptions.AuthOptions.StorePath}}")
	url, certs = strings.TrimSpace(u.stdout), strings.TrimSpace(c.stdout)
	if u.code != 0 || c.code != 0 || url == "" {
		r.f.t.Errorf("%s\n%s", u, c)
	}
	for _, file := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if _, err := os.Stat(filepath.Join(certs, file)); err != nil {
			r.f.t.Error(err)
		}
	}
	return url, certs
}

// list is the runner's own look into the store.
func (r *runner) list() (names []string) {
	entries, err := os.ReadDir(filepath.Join(r.f.store, "machines"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.f.t.Error(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// read is the runner's own look at a record; whoever lists a machine finds one, or the machine is gone.
func (r *runner) read(name string) error {
	var rec struct{ DriverName string }
	data, err := os.ReadFile(r.f.path(name, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := os.Stat(r.f.path(name, "")); errors.Is(serr, fs.ErrNotExist) {
			return nil
		}
	}
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err == nil && rec.DriverName != r.driver {
		err = fmt.Errorf("its driver is %q", rec.DriverName)
	}
	return err
}

// clean fails the test if something is left of machines that are all gone.
func (r *runner) clean(temp string) {
	r.f.t.Helper()
	// What was killed before it was recorded goes with the next command that comes a minute later: it is made old, then a command comes.
	for _, dir := range []string{"machines", "locks"} {
		for _, name := range fileNames(r.f.t, filepath.Join(r.f.store, dir)) {
			then := time.Now().Add(-time.Hour)
			if err := os.Chtimes(filepath.Join(r.f.store, dir, name), then, then); err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.f.t.Error(err)
			}
		}
	}
	last := r.f.name("last")
	r.f.ok("create", "-d", "none", "--url", "tcp://127.0.0.1:1", last)
	r.f.ok("rm", "-y", last)
	for dir, want := range map[string]string{
		filepath.Join(r.f.store, "machines"): "",
		filepath.Join(r.f.store, "locks"):    "shared.lock",
		filepath.Join(r.f.store, "certs"):    "ca-key.pem ca.pem cert.pem key.pem",
		temp:                                 "",
		r.f.home:                             "",
	} {
		if got := strings.Join(fileNames(r.f.t, dir), " "); got != want {
			r.f.t.Errorf("%s holds %q, want %q", dir, got, want)
		}
	}
	if logs := fileNames(r.f.t, filepath.Join(r.f.store, "logs")); len(logs) > 20 {
		r.f.t.Errorf("%d logs are kept", len(logs))
	}
	for _, kind := range []string{"container", "volume", "network"} {
		if left := r.f.leftovers(kind); len(left) > 0 {
			r.f.t.Errorf("left: %s %v", kind, left)
		}
	}
	if left := r.processes(); len(left) > 0 {
		r.f.t.Errorf("still at work: %q", left)
	}
}

func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// processes are those that were started with the fleet's store, or by one that was.
func (r *runner) processes() (lines []string) {
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		r.f.t.Error(err)
	}
	for _, file := range all {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte("MACHINE_STORAGE_PATH="+r.f.store+"\x00")) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err == nil && len(line) > 0 {
			lines = append(lines, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return lines
}

func newRunner(t *testing.T, driver string, options ...string) (r *runner, temp string) {
	f := newFleet(t)
	temp = t.TempDir()
	f.extra = append(f.extra, "TMPDIR="+temp)
	return &runner{f: f, driver: driver, options: options, attempts: 2}, temp
}

// TestRunnerChurn is an hour of a busy runner without its pauses: a hundred machines, twenty creates and removals at
// once on one store, some of them killed, and nothing is left.
func TestRunnerChurn(t *testing.T) {
	t.Parallel()
	const machines, atOnce = 100, 20
	r, temp := newRunner(t, "none", "engine-registry-mirror=http://mirror.example.test:5000", "engine-storage-driver=overlay2",
		"engine-opt=log-driver=local", "engine-label=ci=yes")
	f := r.f
	engines := newStubEngine(t, f, atOnce)
	first := f.name("first")
	if got := r.create(runnerAny, first, "url="+engines.url(0)); got.code != 0 {
		t.Fatalf("%s", got)
	}
	engines.serve()

	over := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() { // as the runner does before each job
		for {
			for _, name := range r.list() {
				if err := r.read(name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	var killed, used atomic.Int32
	var working sync.WaitGroup
	for w := range atOnce {
		working.Go(func() {
			for i := w; i < machines; i += atOnce {
				name := f.name(fmt.Sprintf("runner-%d", i))
				limit := runnerAny
				if i%4 == 3 {
					limit = time.Duration(1+i) * 2 * time.Millisecond
				}
				if got := r.create(limit, name, "url="+engines.url(w)); got.code != 0 {
					if limit == runnerAny {
						t.Errorf("%s", got)
					}
					killed.Add(1)
					continue
				}
				if url, _ := r.use(name); url != engines.url(w) {
					t.Errorf("%s: its engine is at %s, want %s", name, url, engines.url(w))
				}
				used.Add(1)
				if i%5 == 0 { // the runner was restarted while it removed
					r.call(time.Duration(1+i)*time.Millisecond/2, "rm", "-y", name)
				}
				if i%3 == 0 {
					r.drain(name)
				} else {
					r.remove(name)
				}
			}
		})
	}
	working.Wait()
	close(over)
	looking.Wait()
	r.remove(first)
	t.Logf("%d creates were killed, %d machines were used", killed.Load(), used.Load())
	if killed.Load() == 0 || used.Load() < machines/2 {
		t.Errorf("%d creates were killed, %d machines used: that is no churn", killed.Load(), used.Load())
	}
	if left := r.list(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	r.clean(temp)
}

// TestRunnerConfig: config succeeds only if the engine answers over TLS to the store's own client.
func TestRunnerConfig(t *testing.T) {
	t.Parallel()
	r, temp := newRunner(t, "none")
	f := r.f
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	foreign := httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	foreign.StartTLS()
	t.Cleanup(foreign.Close)
	engines := newStubEngine(t, f, 2)
	names := map[string]string{}
	for what, url := range map[string]string{
		"good": engines.url(0), "closed": "tcp://127.0.0.1:1", "silent": "tcp://" + silent(t),
		"plain": strings.Replace(plain.URL, "http", "tcp", 1), "foreign": strings.Replace(foreign.URL, "https", "tcp", 1),
	} {
		names[what] = f.name(what)
		if got := r.create(runnerAny, names[what], "url="+url); got.code != 0 {
			t.Fatalf("%s", got)
		}
	}
	engines.serve()
	var asking sync.WaitGroup
	for what, name := range names {
		asking.Go(func() {
			if got := r.canConnect(name); got != (what == "good") {
				t.Errorf("%s engine: config succeeds: %v", what, got)
			}
		})
	}
	asking.Wait()

	// By force also what cannot be read goes.
	for what, content := range map[string]string{"closed": "{", "plain": ""} {
		file := f.path(names[what], "config.json")
		err := os.Remove(file)
		if content != "" {
			err = os.WriteFile(file, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := r.call(time.Minute, "rm", "-f", names[what]); got.code != 0 {
			t.Errorf("%s", got)
		}
	}
	for _, what := range []string{"good", "silent", "foreign"} {
		r.remove(names[what])
	}
	if got := r.call(time.Minute, "rm", "-f", f.name("never")); got.code != 0 {
		t.Errorf("%s", got)
	}
	r.clean(temp)
}

// TestRunnerOnDocker has the executor's calls make real hosts with engine options, two at a time, kill creates at
// their limit, and remove by force what another command is at work on.
func TestRunnerOnDocker(t *testing.T) {
	t.Parallel()
	r, temp := newRunner(t, "docker", "engine-registry-mirror=http://mirror.example.test:5000", "engine-storage-driver=overlay2",
		"engine-opt=log-driver=local", "engine-label=ci=yes")
	f := r.f
	f.ok("create", "-d", "docker", f.name("warm")) // the image of hosts is made here, not within a limit
	f.ok("rm", "-y", f.name("warm"))
	limits := []time.Duration{runnerAny, 300 * time.Millisecond, 900 * time.Millisecond, 1500 * time.Millisecond, 2200 * time.Millisecond, runnerAny}
	var working sync.WaitGroup
	for w := range 2 {
		working.Go(func() {
			for i := w; i < len(limits); i += 2 {
				name := f.name("runner-" + strconv.Itoa(i))
				if got := r.create(limits[i], name); got.code != 0 {
					if limits[i] == runnerAny {
						t.Errorf("%s", got)
					}
					continue
				}
				url, certs := r.use(name)
				out, err := exec.CommandContext(t.Context(), "docker", "--tlsverify", "--tlscacert="+certs+"/ca.pem", "--tlscert="+certs+"/cert.pem",
					"--tlskey="+certs+"/key.pem", "-H="+url, "info", "-f", "{{.Driver}} {{.LoggingDriver}} {{.Labels}} {{.RegistryConfig.Mirrors}}").CombinedOutput()
				got := strings.TrimSpace(string(out))
				if err != nil || !strings.HasPrefix(got, "overlay2 local [") || !strings.Contains(got, "ci=yes") || !strings.HasSuffix(got, "[http://mirror.example.test:5000/]") {
					t.Errorf("the engine says %q, %v", got, err)
				}
				r.remove(name)
			}
		})
	}
	working.Wait()

	name := f.name("busy")
	create := make(chan result)
	go func() { create <- r.call(runnerAny, "create", "--driver", "docker", name) }()
	eventually(t, time.Minute, func() error {
		_, err := os.Stat(f.path(name, "config.json"))
		return err
	})
	if got := r.call(3*time.Minute, "rm", "-f", name); got.code != 0 {
		t.Errorf("while it is created: %s", got)
	}
	t.Logf("create beside rm -f: exit code %d", (<-create).code)
	if left := r.list(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	r.clean(temp)
}
