package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got\n%s", name, diff)
	}
}

// clock moves when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type machineKey struct{}

func on(ctx context.Context, machine string) context.Context {
	return context.WithValue(ctx, machineKey{}, machine)
}

func machineOf(ctx context.Context) string {
	m, _ := ctx.Value(machineKey{}).(string)
	return m
}

// never is a tick that does not come: tests redraw themselves.
func never() <-chan time.Time { return make(chan time.Time) }

// play is a create of two machines, the second of which fails.
func play(ctx context.Context, r *Renderer, c *clock, between func()) error {
	step := func(ctx context.Context, name string, d time.Duration, fn func(context.Context) error) error {
		return r.Step(ctx, name, func(ctx context.Context) error {
			between()
			c.pass(d)
			if fn != nil {
				return fn(ctx)
			}
			return nil
		})
	}
	one, two := on(ctx, "m1"), on(ctx, "m2")
	r.Note(ctx, "driver docker: its check passes")
	err := errors.Join(
		step(one, "check", 100*time.Millisecond, nil),
		step(two, "check", 200*time.Millisecond, nil),
		step(one, "provision", time.Second, func(ctx context.Context) error {
			return errors.Join(
				step(ctx, "install docker-ce 28.5.2", 61*time.Second, nil),
				step(ctx, "start the engine", 2*time.Second, nil),
			)
		}),
		step(two, "provision", time.Second, func(ctx context.Context) error {
			r.Note(ctx, "pinned the host key")
			return step(ctx, "install docker-ce 28.5.2", 5*time.Second, func(context.Context) error { return errors.New("no space left") })
		}),
	)
	between()
	return err
}

func TestPlain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := New(Config{Out: &out, Mode: Plain, Now: c.Now, Machine: machineOf})
	err := play(t.Context(), r, c, func() {})
	r.Close()
	if err == nil || err.Error() != "no space left" {
		t.Errorf("steps return %v, want what the work returned", err)
	}
	golden(t, "plain.golden", out.String())
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := New(Config{Out: &out, Mode: JSON, Now: c.Now, Machine: machineOf})
	_ = play(t.Context(), r, c, func() {})
	r.Close()
	golden(t, "json.golden", out.String())
	for line := range strings.Lines(out.String()) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := New(Config{Out: &out, Mode: Quiet, Now: c.Now, Machine: machineOf})
	_ = play(t.Context(), r, c, func() {})
	if _, err := io.WriteString(r, "warning\n"); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if out.String() != "warning\n" {
		t.Errorf("quiet printed %q", out.String())
	}
}

// TestTree looks at the screen each time something happens.
func TestTree(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{80, 24}, {40, 24}, {80, 7}, {80, 4}, {12, 24}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			t.Parallel()
			s := newScreen(size[0])
			c := newClock()
			r := New(Config{
				Out: s, Mode: Tree, Now: c.Now, Machine: machineOf, Tick: never(),
				Size: func() (int, int) { return size[0], size[1] },
			})
			var story strings.Builder
			look := func() {
				if n := s.lines(); n > size[1] {
					t.Errorf("%d lines on a terminal of %d:\n%s", n, size[1], s)
				}
				fmt.Fprintf(&story, "%s\n----\n", s)
			}
			_ = play(t.Context(), r, c, look)
			r.Close()
			fmt.Fprintf(&story, "%s\n", s)
			golden(t, fmt.Sprintf("tree-%dx%d.golden", size[0], size[1]), story.String())
			if strings.Count(s.raw.String(), hideCursor) != 1 || !strings.HasSuffix(s.raw.String(), showCursor) {
				t.Error("the cursor is not hidden once and shown in the end")
			}
		})
	}
}

// TestTreeText: what others write stands above the tree, which stays whole.
func TestTreeText(t *testing.T) {
	t.Parallel()
	s := newScreen(80)
	c := newClock()
	r := New(Config{Out: s, Mode: Tree, Now: c.Now, Machine: machineOf, Tick: never(), Size: func() (int, int) { return 80, 24 }})
	_ = r.Step(on(t.Context(), "m1"), "work", func(context.Context) error {
		_, err := io.WriteString(r, "warning: one\nwarning: two\n")
		c.pass(time.Second)
		return err
	})
	r.Close()
	if _, err := io.WriteString(r, "after\n"); err != nil {
		t.Fatal(err)
	}
	golden(t, "tree-text.golden", s.String()+"\n")
}

// TestTreeNarrowed: lines that the terminal has wrapped since are replaced all the same.
func TestTreeNarrowed(t *testing.T) {
	t.Parallel()
	s := newScreen(80)
	width := 80
	c := newClock()
	r := New(Config{Out: s, Mode: Tree, Now: c.Now, Machine: machineOf, Tick: never(), Size: func() (int, int) { return width, 24 }})
	_ = r.Step(on(t.Context(), "m1"), "a step with quite a long name that fills the line", func(context.Context) error {
		width = 30
		s.narrow(30)
		r.show(view.redraw)
		return nil
	})
	r.Close()
	golden(t, "tree-narrowed.golden", s.String()+"\n")
}

func TestTreeColorAndASCII(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := New(Config{Out: &out, Mode: Tree, Now: c.Now, Machine: machineOf, Tick: never(), Color: true, ASCII: true, Size: func() (int, int) { return 80, 24 }})
	_ = r.Step(on(t.Context(), "m1"), "good", func(context.Context) error { return nil })
	_ = r.Step(on(t.Context(), "m1"), "bad\x1b[2J\n", func(context.Context) error { return io.EOF })
	r.Close()
	for _, want := range []string{"\x1b[1mm1\x1b[0m", "\x1b[32m+\x1b[0m good", "\x1b[31mx\x1b[0m bad [2J"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b[2J") {
		t.Error("a name's control sequence reached the terminal")
	}
}

// TestConcurrent is for the race detector: everything at once, with the real ticker.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Tree, Plain, JSON} {
		s := newScreen(80)
		r := New(Config{Out: s, Mode: mode, Now: time.Now, Machine: machineOf, Size: func() (int, int) { return 80, 10 }})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				ctx := on(t.Context(), fmt.Sprintf("m%d", i))
				_ = r.Step(ctx, "outer", func(ctx context.Context) error {
					r.Note(ctx, "note")
					_, err := io.WriteString(r, "text\n")
					return errors.Join(err, r.Step(ctx, "inner", func(context.Context) error { return nil }))
				})
			})
		}
		wg.Wait()
		r.Close()
		r.Close()
		ran := false
		_ = r.Step(t.Context(), "late", func(context.Context) error { ran = true; return nil })
		if !ran {
			t.Errorf("%s: a step after Close does not run", mode)
		}
		if got := strings.Count(s.raw.String(), "late"); got != 0 {
			t.Errorf("%s: a step after Close is shown", mode)
		}
	}
}

func TestParseMode(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"auto", "tty", "plain", "json", "quiet"} {
		if m, err := ParseMode(s); err != nil || string(m) != s {
			t.Errorf("ParseMode(%q) = %q, %v", s, m, err)
		}
	}
	if _, err := ParseMode("loud"); err == nil {
		t.Error("ParseMode takes loud")
	}
}

func TestElapsed(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1234 * time.Millisecond: "1.2s", 59900 * time.Millisecond: "59.9s", time.Minute: "1m00s",
		125 * time.Second: "2m05s", 3*time.Hour + 25*time.Minute: "3h25m",
	} {
		if got := Elapsed(d); got != want {
			t.Errorf("Elapsed(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"y\n": true, "Yes\n": true, " y": true, "n\n": false, "\n": false, "maybe": false} {
		var out bytes.Buffer
		got, err := Confirm(t.Context(), strings.NewReader(in), &out, "Sure? ")
		if err != nil || got != want || out.String() != "Sure? " {
			t.Errorf("answer %q: %v, %v, asked %q", in, got, err, out.String())
		}
	}
	if _, err := Confirm(t.Context(), strings.NewReader(""), io.Discard, "Sure? "); !errors.Is(err, io.EOF) {
		t.Errorf("nothing to read: %v, want EOF", err)
	}
	rest := strings.NewReader("y\nfor somebody else")
	if _, err := Confirm(t.Context(), rest, io.Discard, ""); err != nil || rest.Len() != len("for somebody else") {
		t.Errorf("Confirm read more than its line (%v)", err)
	}
}

func TestConfirmInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("signal")
	cancel(cause)
	in, typed := io.Pipe()
	defer typed.Close()
	if yes, err := Confirm(ctx, in, io.Discard, "Sure? "); yes || !errors.Is(err, cause) {
		t.Errorf("Confirm waits for an answer after the end: %v, %v", yes, err)
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	no := NewTerminal(&bytes.Buffer{}, env())
	if no.Is() || no.Mode(Auto) != Plain || no.Mode(Tree) != Tree || no.Color() {
		t.Error("a buffer is taken for a terminal")
	}
	if w, h := no.Size(); w != 80 || h != 24 {
		t.Errorf("size of no terminal: %d, %d", w, h)
	}
	for _, tt := range []struct {
		env  func(string) string
		want bool
	}{
		{env("LANG", "en_US.UTF-8"), false}, {env("LC_ALL", "C.utf8", "LANG", "C"), false}, {env("LC_CTYPE", "C", "LANG", "en_US.UTF-8"), true},
	} {
		if got := NewTerminal(nil, tt.env).ASCII(); got != tt.want && !alwaysUnicode() {
			t.Errorf("ASCII is %v, want %v", got, tt.want)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	const mb = 1_000_000
	tell := func(r *Renderer, c *clock) {
		r.Progress(t.Context(), 1, 2) // no step
		_ = r.Step(on(t.Context(), "m1"), "download x", func(ctx context.Context) error {
			for done := range int64(31) {
				r.Progress(ctx, done*mb, 30*mb)
				c.pass(time.Second)
			}
			return r.Step(ctx, "unpack x", func(ctx context.Context) error {
				c.pass(10 * time.Second)
				r.Progress(ctx, 5*mb, -1)
				return nil
			})
		})
	}
	var out bytes.Buffer
	c := newClock()
	r := New(Config{Out: &out, Mode: Plain, Now: c.Now, Machine: machineOf})
	tell(r, c)
	r.Close()
	want := "m1: download x ...\nm1: download x 33% of 30MB\nm1: download x 66% of 30MB\nm1: download x 100% of 30MB\n" +
		"m1: unpack x ...\nm1: unpack x 5MB\nm1: unpack x done (10.0s)\nm1: download x done (41.0s)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	r = New(Config{Out: &out, Mode: JSON, Now: c.Now, Machine: machineOf})
	tell(r, c)
	r.Close()
	var told []Event
	for line := range strings.Lines(out.String()) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "progress" {
			told = append(told, e)
		}
	}
	if n := len(told); n != 31 || *told[0].Done != mb || *told[0].Total != 30*mb || told[n-1].Step != "unpack x" || told[n-1].Total != nil {
		t.Errorf("%d events: %s", n, out.String())
	}

	for _, width := range []int{80, 12} {
		s := newScreen(width)
		r = New(Config{Out: s, Mode: Tree, Now: c.Now, Machine: machineOf, Tick: never(), Size: func() (int, int) { return width, 24 }})
		_ = r.Step(on(t.Context(), "m1"), "download x", func(ctx context.Context) error {
			r.Progress(ctx, 3*mb, 30*mb)
			r.Note(ctx, "draws")
			if got := s.String(); width == 80 && !strings.Contains(got, "download x") || width == 80 && !strings.Contains(got, "10% of 30MB 0.0s") {
				t.Errorf("the screen shows\n%s", got)
			}
			return nil
		})
		r.Close()
		if got := s.String(); strings.Contains(got, "%") {
			t.Errorf("what is done shows how far it is:\n%s", got)
		}
		for line := range strings.Lines(s.String()) {
			if n := len([]rune(strings.TrimSpace(line))); n > width {
				t.Errorf("a line of %d on %d columns: %s", n, width, line)
			}
		}
	}
}
