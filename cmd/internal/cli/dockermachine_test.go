package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

func TestIsDockerMachine(t *testing.T) {
	t.Parallel()
	for argv0, want := range map[string]bool{
		"docker-machine": true, "/usr/local/bin/docker-machine": true, "./docker-machine-Linux-x86_64": true,
		"machine": false, "docker-machine-driver-qemu": false, "docker-machined": false, "": false,
	} {
		if got := IsDockerMachine([]string{argv0, "ls"}); got != want {
			t.Errorf("%q: %v", argv0, got)
		}
	}
	if IsDockerMachine(nil) {
		t.Error("nobody is docker-machine")
	}
}

func TestLegacyEnginePort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		port  int
		given []string
		want  int
	}{{0, nil, 0}, {0, []string{"4243"}, 4243}, {0, []string{"1", "2"}, 2}, {2377, []string{"4243"}, 2377}, {0, []string{"x"}, 0}} {
		if got := legacyEnginePort(tt.port, drivers.Values{"azure-docker-port": tt.given}); got != tt.want {
			t.Errorf("%v: %d", tt, got)
		}
	}
}

// TestLegacyText: an error is told in docker-machine's words and ends with its codes, whatever wraps it.
func TestLegacyText(t *testing.T) {
	t.Parallel()
	of := func(err error) error { return &lifecycle.MachineError{Machine: "m1", Err: err} }
	for _, tt := range []struct {
		err  error
		text string
		code int
	}{
		{usagef("Expected one machine name as an argument"), "Error: Expected one machine name as an argument", 1},
		{usagef("flag provided but not defined: -x"), "flag provided but not defined: -x", 1},
		{usagef("Error parsing boolean value from MACHINE_DEBUG: x"), "Error parsing boolean value from MACHINE_DEBUG: x", 1},
		{of(&lifecycle.AlreadyError{Machine: "m1", State: "stopped"}), `Machine "m1" is already stopped.`, 1},
		{of(fmt.Errorf("upgrade: %w", lifecycle.ErrNotRunning)), "m1: upgrade: Host is not running", 1},
		{fmt.Errorf("machine %q: %w", "m1", lifecycle.ErrNotRunning), "Host is not running", 1},
		{fmt.Errorf("read: %w", store.ErrFuture), "config version is from the future -- you should upgrade your Docker Machine client (read: " + store.ErrFuture.Error() + ")", 1},
		{
			of(fmt.Errorf("Error removing host \"m1\": read: %w", store.ErrFuture)),
			`Error removing host "m1": config version is from the future -- you should upgrade your Docker Machine client (read: ` + store.ErrFuture.Error() + ")", 1,
		},
		{
			fmt.Errorf("error getting state for host m1: no answer: %w: %w \"x\"", lifecycle.ErrDriverless, drivers.ErrUnknown),
			`error getting state for host m1: Driver "x" not found. Do you have the plugin binary "docker-machine-driver-x" accessible in your PATH? (no answer)`, 1,
		},
		{
			fmt.Errorf("neither SSH nor the engine answers at h: %w: %w \"x\"", lifecycle.ErrDriverless, drivers.ErrUnknown),
			`Driver "x" not found. Do you have the plugin binary "docker-machine-driver-x" accessible in your PATH? (neither SSH nor the engine answers at h)`, 1,
		},
		{
			of(fmt.Errorf("Error removing host \"m1\": remove host: %w: %w \"x\"", lifecycle.ErrDriverless, drivers.ErrUnknown)),
			`Error removing host "m1": Driver "x" not found. Do you have the plugin binary "docker-machine-driver-x" accessible in your PATH?`, 1,
		},
		{
			of(fmt.Errorf("Error removing host \"m1\": %w: %w \"x\"", lifecycle.ErrDriverless, drivers.ErrUnknown)),
			`Error removing host "m1": Driver "x" not found. Do you have the plugin binary "docker-machine-driver-x" accessible in your PATH?`, 1,
		},
		{store.ErrLocked, store.ErrLocked.Error(), 1},
		{fmt.Errorf("%w: no processor", lifecycle.ErrCheck), `Error with pre-create check: "no processor"`, 3},
		{fmt.Errorf("%w: %w: there is no such kind", lifecycle.ErrCheck, drivers.ErrOption), "Error setting machine configuration from flags provided: there is no such kind", 1},
		{errors.New("anything"), "anything", 1},
		{context.Canceled, context.Canceled.Error(), 130},
		{nil, "", 0},
	} {
		a := &app{name: "docker-machine", legacy: true}
		if tt.err != nil && a.text(tt.err) != tt.text {
			t.Errorf("%v: %q, want %q", tt.err, a.text(tt.err), tt.text)
		}
		if got := a.exitCode(t.Context(), tt.err); got != tt.code {
			t.Errorf("%v: exits with %d, want %d", tt.err, got, tt.code)
		}
	}
}
