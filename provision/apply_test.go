package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestApply(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		dir := t.TempDir()
		var cmds []string
		r.cmds = &cmds
		payload := "it's \\ a $(payload)\n== with lines\nmachine-0 end 0 0\nand no end\x00\xff"
		steps := []Step{
			{Name: "one", Run: "echo one; echo partial line | tr -d '\\n'"},
			{Name: "already", Unless: "true", Run: "touch " + dir + "/never"},
			{Name: "not yet", Unless: "false", Run: "touch " + dir + "/done"},
			{Name: "payload", Run: "cat >" + dir + "/payload", Stdin: []byte(payload)},
			{Name: "no stdin", Run: "cat; read -r x || echo at end"},
			{Name: "quotes", Run: "cat >" + dir + "/quotes <<'END'\n" + `a "b" 'c' \d $e ${f} $(g)` + "\nEND"},
			{Name: "waits", Run: "waiting 'for godot'; waited; note 'he came'; waiting 'for the end'"},
			{Name: "large", Run: "cat | wc -c | tr -d ' ' >" + dir + "/size", Stdin: bytes.Repeat([]byte("x"), 300_000)},
		}
		var j journal
		if err := Apply(t.Context(), r, steps, j.step); err != nil {
			t.Fatal(err)
		}
		want := `> one
< one
> already
< already
> not yet
< not yet
> payload
< payload
> no stdin
< no stdin
> quotes
< quotes
> waits
> waiting for godot
< waiting for godot
> he came
< he came
> waiting for the end
< waiting for the end
< waits
> large
< large`
		if diff := cmp.Diff(want, j.String()); diff != "" {
			t.Error(diff)
		}
		for name, want := range map[string]string{"payload": payload, "quotes": `a "b" 'c' \d $e ${f} $(g)` + "\n", "size": "300000\n", "done": ""} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
				t.Errorf("%s: got %q, want %q, %v", name, got, want, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "never")); err == nil {
			t.Error("a step ran that was already done")
		}
		if len(cmds) != 1 || cmds[0] != rootShell {
			t.Errorf("commands: %q, want one", cmds)
		}
	})
}

func TestApplyFailure(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		mark := filepath.Join(t.TempDir(), "after")
		for _, c := range []struct {
			run  string
			code int
			err  error
			text string
		}{
			{"echo before; false; echo after", 1, nil, "before"},
			{"true; echo $unset; echo after", -1, nil, "unset"},
			{"if then", -1, nil, "yntax"},
			{"exit 7", 7, nil, ""},
			{"die 75 'dpkg (pid 12) holds a lock'", 75, ErrLock, "dpkg (pid 12) holds a lock"},
			{"die 77 'no docker-ce 9; there are: 1 2'", 77, ErrNoPackage, "1 2"},
			{"echo 'cp: error writing x: No space left on device' >&2; exit 1", 1, ErrDiskFull, "No space left"},
			{"echo 'E: Failed to fetch http://x/y'; exit 100", 100, ErrMirror, "http://x/y"},
			{"kill -9 $(exec sh -c 'echo $PPID')", 137, nil, ""},
		} {
			steps := []Step{{Name: "first", Run: "echo noise of the first"}, {Name: "bad", Run: c.run, Hint: "try harder"}, {Name: "after", Run: "touch " + mark}}
			var j journal
			err := Apply(t.Context(), r, steps, j.step)
			var step *StepError
			if !errors.As(err, &step) {
				t.Errorf("%s: got %v, want a StepError", c.run, err)
				continue
			}
			if step.Step != "bad" || c.code > 0 && step.Code != c.code || step.Code == 0 || !strings.Contains(step.Output, c.text) || strings.Contains(step.Output, "first") || step.Hint() != "try harder" {
				t.Errorf("%s: got %+v", c.run, step)
			}
			if c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s: got %v, want %v", c.run, err, c.err)
			}
			if c.err == nil && step.Err != nil {
				t.Errorf("%s: took for %v", c.run, step.Err)
			}
			if want := "> first\n< first\n> bad\n! bad"; j.String() != want {
				t.Errorf("%s: got\n%s", c.run, j.String())
			}
		}
		if _, err := os.Stat(mark); err == nil {
			t.Error("a step ran after the one that failed")
		}
	})
}

// TestApplyCut shows that a script that does not arrive whole does nothing at all.
func TestApplyCut(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		mark := filepath.Join(t.TempDir(), "ran")
		steps := []Step{
			{Name: "one", Run: "echo $$ >" + mark},
			{Name: "two", Run: "cat >" + mark, Stdin: []byte("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")},
		}
		size := len(stepsScript("machine-00000000000000000000000000000000", steps))
		for cut := size - 30; cut > 0; cut -= 1 + (size-cut)/13 {
			r.cut = cut
			if err := Apply(t.Context(), r, steps, new(journal).step); err == nil {
				t.Errorf("cut at %d of %d: no error", cut, size)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Fatalf("cut at %d of %d: a step ran", cut, size)
			}
		}
	})
}

// deaf is a shell whose output nobody reads any more after a step has begun, as when the
// connection ends: the host only notices that its pipe is broken.
type deaf struct {
	shell
	broken chan struct{}
}

func (d deaf) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	script, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		// Its own context: nothing but the pipe tells the script that it is alone.
		done <- d.shell.Run(context.WithoutCancel(ctx), cmd, bytes.NewReader(script), pw)
		_ = pw.Close()
	}()
	go func() {
		<-ctx.Done()
		_ = pr.Close()
		close(d.broken)
	}()
	_, _ = io.Copy(stdout, pr)
	<-done
	return context.Cause(ctx)
}

func TestApplyCancel(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		dir := t.TempDir()
		steps := []Step{
			{Name: "long", Run: "echo $$ >" + dir + "/began; trap 'echo int >" + dir + "/interrupted; exit 0' INT; while :; do sleep 0.1; done"},
			{Name: "next", Run: "touch " + dir + "/next"},
		}
		stop := errors.New("stop it")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		go func() {
			waitFor(t, dir+"/began")
			cancel(stop)
		}()
		start := time.Now()
		err := Apply(ctx, deaf{r, make(chan struct{})}, steps, new(journal).step)
		if !errors.Is(err, stop) {
			t.Errorf("got %v, want the cause", err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("the script went on for %s", took)
		}
		waitFor(t, dir+"/interrupted")
		if _, err := os.Stat(dir + "/next"); err == nil {
			t.Error("a step ran after the end")
		}
	})
}

// waitFor waits until a step has made a file.
func waitFor(t *testing.T, file string) {
	t.Helper()
	for range 500 {
		if _, err := os.Stat(file); err == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Errorf("%s is not made", file)
}

func TestApplyLimit(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		steps := []Step{{Name: "slow", Run: "echo so far; sleep 30", Limit: 2 * time.Second, Hint: "wait"}}
		err := Apply(t.Context(), r, steps, new(journal).step)
		var step *StepError
		if !errors.As(err, &step) || step.Code != -1 || !strings.Contains(step.Output, "so far") || step.Hint() != "wait" {
			t.Errorf("got %#v", err)
		}
	})
}

// refusing is a host without rights.
type refusing struct{ stderr string }

func (r refusing) Run(_ context.Context, _ string, _ io.Reader, _ io.Writer) error {
	return &exitError{1, r.stderr}
}

func TestApplyNoRoot(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"sudo: a password is required\n", "sh: 1: exec: sudo: not found\n", "anna is not in the sudoers file.\n"} {
		err := Apply(t.Context(), refusing{said}, []Step{{Name: "x", Run: "true"}}, new(journal).step)
		var hint interface{ Hint() string }
		if !errors.Is(err, ErrNoRoot) || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%s: got %v", said, err)
		}
	}
	err := Apply(t.Context(), refusing{"connection lost"}, []Step{{Name: "x", Run: "true"}}, new(journal).step)
	if errors.Is(err, ErrNoRoot) || err == nil {
		t.Errorf("got %v", err)
	}
	if err := Apply(t.Context(), refusing{}, nil, nil); err != nil {
		t.Errorf("no steps: %v", err)
	}
}

// TestApplyStepError shows that a StepFunc can stop the work.
func TestApplyStepError(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		stop := errors.New("enough")
		err := Apply(t.Context(), r, []Step{{Name: "a", Run: "true"}, {Name: "b", Run: "sleep 20"}}, func(ctx context.Context, name string, fn func(context.Context) error) error {
			if name == "b" {
				return stop
			}
			return fn(ctx)
		})
		if !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzEventWriter(f *testing.F) {
	f.Add([]byte("\nM begin\n\nM start 0\nout\nM wait for x\nM end 0 3\n\nM done\n"), 3)
	f.Add([]byte("M end\nM end x y\nM note\nM \nM"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 1 || size > 1<<16 {
			size = 1
		}
		collect := func(size int) []event {
			var got []event
			w := &eventWriter{mark: "M", emit: func(e event) { got = append(got, e) }}
			for rest := data; len(rest) > 0; {
				n := min(size, len(rest))
				if m, err := w.Write(rest[:n]); m != n || err != nil {
					t.Fatalf("Write: %d, %v", m, err)
				}
				rest = rest[n:]
			}
			if len(w.tail()) > 4*tailSize {
				t.Errorf("keeps %d bytes", len(w.tail()))
			}
			return got
		}
		if len(data) < tailSize { // longer lines are cut where they are written
			if a, b := fmt.Sprint(collect(size)), fmt.Sprint(collect(len(data)+1)); a != b {
				t.Errorf("how the data arrives makes a difference:\n%s\n%s", a, b)
			}
		}
	})
}

func TestEventTail(t *testing.T) {
	t.Parallel()
	var got []event
	w := &eventWriter{mark: "M", emit: func(e event) { got = append(got, e) }}
	fmt.Fprintf(w, "M start 0\n%s\nlast\nM end 0 1\nM start 1\nother\nM end 1 0\n", strings.Repeat("x", 3*tailSize))
	if len(got) != 4 || !strings.HasSuffix(got[1].text, "last") || len(got[1].text) > tailSize || got[3].text != "other" {
		t.Errorf("got %v", got)
	}
}
