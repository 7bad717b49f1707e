package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fleet is a store of its own and the machines in it. All that its commands
// made is removed when the test ends, whatever became of it.
type fleet struct {
	t      *testing.T
	store  string // storage path
	home   string // home folder of the commands
	prefix string // of machine names, so that tests do not meet each other's
	extra  []string

	program string // another one than the program that is tested; empty: that
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	needEngines(t)
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, store: filepath.Join(t.TempDir(), "store"), home: t.TempDir(), prefix: "e" + hex.EncodeToString(id[:])}
	t.Cleanup(f.clean)
	return f
}

// in returns the fleet for a subtest, which fails alone.
func (f *fleet) in(t *testing.T) *fleet {
	c := *f
	c.t = t
	return &c
}

// name returns a machine name that no other test has.
func (f *fleet) name(s string) string { return f.prefix + "-" + s }

func (f *fleet) names(ss ...string) []string {
	names := make([]string, len(ss))
	for i, s := range ss {
		names[i] = f.name(s)
	}
	return names
}

// clean removes all machines, then by name what a killed command may have left.
func (f *fleet) clean() {
	if f.t.Failed() {
		r := f.start(context.Background(), "ls").wait()
		lines := strings.SplitAfterN(r.stdout, "\n", 12)
		f.t.Logf("machines at the end:\n%s%s", strings.Join(lines[:min(len(lines), 11)], ""), r.stderr)
	}
	out := f.start(context.Background(), "ls", "-q").wait().stdout
	if names := strings.Fields(out); len(names) > 0 {
		if r := f.start(context.Background(), append([]string{"rm", "-y", "--force"}, names...)...).wait(); r.code != 0 {
			f.t.Logf("%s", r)
		}
	}
	for _, kind := range []string{"container", "volume", "network"} {
		for _, name := range f.leftovers(kind) {
			f.t.Logf("left behind: %s %s", kind, name)
			args := []string{kind, "rm", "-f", name}
			if kind == "network" {
				args = []string{kind, "rm", name}
			}
			if out, err := exec.CommandContext(context.Background(), "docker", args...).CombinedOutput(); err != nil {
				f.t.Logf("docker %v: %v: %s", args, err, out)
			}
		}
	}
}

// leftovers returns what the local Engine has of a kind that bears our machines' names.
func (f *fleet) leftovers(kind string) []string {
	args := []string{kind, "ls", "--format", "{{.Name}}"}
	if kind == "container" {
		args = []string{"ps", "-a", "--format", "{{.Names}}"}
	}
	out, err := exec.CommandContext(context.Background(), "docker", args...).Output()
	if err != nil {
		f.t.Errorf("docker %v: %v", args, err)
		return nil
	}
	var found []string
	for name := range strings.Lines(string(out)) {
		if strings.Contains(name, f.prefix) {
			found = append(found, strings.TrimSpace(name))
		}
	}
	return found
}

// env is the environment of the program: nothing of the caller's but what it takes to run.
func (f *fleet) env() []string {
	env := []string{
		"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"),
		"HOME=" + f.home,
		"USER=e2e",
		"SHELL=/bin/sh",
		"MACHINE_STORAGE_PATH=" + f.store,
		"GOCOVERDIR=" + coverData,
	}
	for _, k := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "TMPDIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return append(env, f.extra...)
}

// result is how a run of the program ended.
type result struct {
	args           []string
	stdout, stderr string
	code           int // -1: killed by a signal
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("$ machine %s\n(exit %d after %s)\n--- stdout\n%s--- stderr\n%s",
		strings.Join(r.args, " "), r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// running is the program at work.
type running struct {
	cmd            *exec.Cmd
	args           []string
	stdout, stderr bytes.Buffer
	begun          time.Time
	err            error // why it did not start
}

func (f *fleet) start(ctx context.Context, args ...string) *running {
	p := &running{args: args, begun: time.Now()}
	p.cmd = exec.CommandContext(ctx, cmp.Or(f.program, binary), args...)
	p.cmd.Env = f.env()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = 5 * time.Second
	p.err = p.cmd.Start()
	return p
}

func (p *running) wait() result {
	err := p.err
	if err == nil {
		err = p.cmd.Wait()
	}
	r := result{args: p.args, took: time.Since(p.begun), stdout: p.stdout.String(), stderr: p.stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		r.code = -1
		r.stderr += err.Error()
	}
	return r
}

// run runs the program to its end.
func (f *fleet) run(args ...string) result {
	f.t.Helper()
	return f.start(f.t.Context(), args...).wait()
}

// ok runs the program, which must succeed, and returns what it printed, without
// the newline at the end.
func (f *fleet) ok(args ...string) string {
	f.t.Helper()
	r := f.run(args...)
	if r.code != 0 {
		f.t.Fatalf("Got exit code %d, want 0\n%s", r.code, r)
	}
	return strings.TrimRight(r.stdout, "\n")
}

// fails runs the program, which must end with the exit code.
func (f *fleet) fails(code int, args ...string) result {
	f.t.Helper()
	r := f.run(args...)
	if r.code != code {
		f.t.Fatalf("Got exit code %d, want %d\n%s", r.code, code, r)
	}
	if strings.TrimSpace(r.stderr) == "" {
		f.t.Errorf("machine %v failed without a word on stderr", args)
	}
	return r
}

// inspect decodes what inspect prints of a machine.
func (f *fleet) inspect(name string) map[string]any {
	f.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(f.ok("inspect", name)), &v); err != nil {
		f.t.Fatalf("inspect %s: %v", name, err)
	}
	return v
}

// path names a file of a machine in the store.
func (f *fleet) path(name, file string) string { return filepath.Join(f.store, "machines", name, file) }

// dockerEnv returns the variables that "machine env ARGS" sets.
func (f *fleet) dockerEnv(args ...string) []string {
	f.t.Helper()
	out := f.ok(append([]string{"env", "--shell", "sh"}, args...)...)
	var env []string
	for _, m := range regexp.MustCompile(`(?m)^export ([A-Z_]+)="?([^"\n]*)"?$`).FindAllStringSubmatch(out, -1) {
		env = append(env, m[1]+"="+m[2])
	}
	if len(env) < 3 {
		f.t.Fatalf("machine env %v set only %v:\n%s", args, env, out)
	}
	return env
}

// dockerCommand is the docker client pointed at an Engine by variables of dockerEnv.
func (f *fleet) dockerCommand(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.home}, env...)
	return cmd
}

// docker runs the docker client against a machine's Engine and returns what it printed.
func (f *fleet) docker(machine string, args ...string) string {
	f.t.Helper()
	return f.dockerWith(f.dockerEnv(machine), args...)
}

func (f *fleet) dockerWith(env []string, args ...string) string {
	f.t.Helper()
	out, err := f.tryDocker(env, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// tryDocker is dockerWith for an Engine that may not be able to answer now, such as one of a swarm that elects a leader.
func (f *fleet) tryDocker(env []string, args ...string) (string, error) {
	out, err := f.dockerCommand(f.t.Context(), env, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %v: %w\n%s", args, err, out)
	}
	return strings.TrimRight(string(out), "\n"), err
}

// eventually calls try until it returns nil, for at most limit.
func eventually(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
