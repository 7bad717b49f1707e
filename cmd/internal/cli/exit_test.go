package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

func named(machine string, err error) error {
	return &lifecycle.MachineError{Machine: machine, Err: err}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	check := fmt.Errorf("%w: %w", lifecycle.ErrCheck, drivers.ErrQuota)
	locked := fmt.Errorf("start: %w", store.ErrLocked)
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		caught bool
		err    error
		want   int
	}{
		{"none", t.Context(), false, nil, 0},
		{"any", t.Context(), false, io.ErrUnexpectedEOF, 1},
		{"usage", t.Context(), false, usagef("x"), 2},
		{"wrapped usage", t.Context(), false, fmt.Errorf("x: %w", usagef("x")), 2},
		{"usage by lifecycle", t.Context(), false, fmt.Errorf("%w: x", lifecycle.ErrUsage), 2},
		{"unknown driver", t.Context(), false, fmt.Errorf("x: %w", drivers.ErrUnknown), 2},
		{"check", t.Context(), false, check, 3},
		{"two checks", t.Context(), false, errors.Join(named("a", check), named("b", check)), 3},
		{"locked", t.Context(), false, locked, 4},
		{"check and locked", t.Context(), false, errors.Join(named("a", check), named("b", locked)), 1},
		{"remote", t.Context(), false, &remoteExit{77}, 77},
		{"remote and another", t.Context(), false, errors.Join(named("a", io.EOF), &remoteExit{255}), 255},
		{"signal", cancelled, true, errors.New("whatever"), 130},
		{"cancelled", cancelled, false, fmt.Errorf("x: %w", context.Canceled), 130},
		{"signal too late", cancelled, true, nil, 0},
		{"ended, but not by a signal", cancelled, false, io.EOF, 1},
	} {
		a := &app{Env: Env{Caught: func() bool { return tt.caught }}}
		if got := a.exitCode(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	one, two, three := errors.New("one"), errors.New("two"), errors.New("three")
	both := fmt.Errorf("%w: %w", one, two)
	got := flatten(errors.Join(one, errors.Join(two, both), nil, three))
	if diff := cmp.Diff([]string{"one", "two", "one: two", "three"}, texts(got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := flatten(nil); got != nil {
		t.Errorf("flatten(nil) = %v", got)
	}
}

func texts(errs []error) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Error())
	}
	return out
}

// evidence is an error with advice and evidence of its own.
type evidence struct{ error }

func (evidence) Hint() string      { return "machine provision NAME" }
func (evidence) Details() []string { return []string{"unit: failed", "journal: no such flag"} }

func TestReport(t *testing.T) {
	t.Parallel()
	notExist := fmt.Errorf("start: %w: %q", store.ErrNotExist, "x1")
	for _, tt := range []struct {
		name, want string
		err        error
		log        string
	}{
		{
			name: "usage", err: usagef("--x: no").hint("give --y"),
			want: "Error: --x: no\nHint: give --y\n",
		},
		{
			name: "own advice and evidence", err: evidence{errors.New("start engine: exit 1")}, log: "/s/logs/1.log",
			want: "Error: start engine: exit 1\n  unit: failed\n  journal: no such flag\n" +
				"Hint: docker-machine provision NAME\nReason: UNKNOWN\nLog: /s/logs/1.log\n",
		},
		{
			name: "docker-machine's words", err: notExist,
			want: `Error: start: Docker machine "x1" does not exist. Use "docker-machine ls" to list machines. ` +
				`Use "docker-machine create" to add a new one.` + "\nHint: docker-machine ls\nReason: MACHINE_UNKNOWN\n",
		},
		{
			name: "several, advice once", err: errors.Join(named("a", store.ErrLocked), named("b", store.ErrLocked)),
			want: "Error: a: another command is at work\nHint: Wait for it to end, or end it; a lock never outlives its process, or in a shared store only for the time of its lease.\nReason: MACHINE_LOCKED\n" +
				"Error: b: another command is at work\nReason: MACHINE_LOCKED\n",
		},
		{
			name: "no second Error", err: &textError{"Error getting IP address: x", lifecycle.ErrNotRunning},
			want: "Error getting IP address: x\nHint: docker-machine start NAME\nReason: NOT_RUNNING\n",
		},
	} {
		var out bytes.Buffer
		a := &app{Env: Env{Stderr: &out}, name: "docker-machine"}
		a.report(t.Context(), tt.err, 1, tt.log)
		if diff := cmp.Diff(tt.want, out.String()); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}

func TestReportJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{Env: Env{Stderr: &out}, name: "machine", globals: globals{mode: ui.JSON}}
	a.report(t.Context(), errors.Join(named("a", store.ErrLocked), usagef("b")), 1, "/log")
	var got []problem
	for dec := json.NewDecoder(&out); dec.More(); {
		var p problem
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	want := []problem{
		{Error: "a: another command is at work", Reason: "MACHINE_LOCKED", Hint: "Wait for it to end, or end it; a lock never outlives its process, or in a shared store only for the time of its lease.", Code: 1, Machine: "a", Log: "/log"},
		{Error: "b", Reason: "USAGE", Code: 1, Log: "/log"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestInterrupted: a signal is one problem, however many machines it stopped.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	a := &app{Env: Env{Stderr: &out, Caught: func() bool { return true }}, name: "machine"}
	a.report(ctx, errors.Join(named("a", errors.New("signal")), named("b", io.EOF)), 130, "")
	want := "Error: a: signal\nHint: Run the same command again to continue, or machine rm NAME to remove what there is.\nReason: INTERRUPTED\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// plainError is an error in plain words for what a library said.
type plainError struct{ error }

func (e plainError) Unwrap() error { return e.error }
func (plainError) Raw() string     { return "rpc error: code = 14" }

func TestRawTextIsForDebugging(t *testing.T) {
	t.Parallel()
	err := named("m1", fmt.Errorf("list: %w", plainError{store.ErrUnreachable}))
	for debug, want := range map[bool][]string{false: nil, true: {"rpc error: code = 14"}} {
		a := &app{globals: globals{debug: debug}}
		if got := a.problem(err, false); !cmp.Equal(got.Details, want) || got.Error != err.Error() || got.Reason != "STORE_UNREACHABLE" {
			t.Errorf("debug %v: %+v", debug, got)
		}
	}
}
