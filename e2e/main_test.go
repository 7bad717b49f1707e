// Package e2e_test drives the built binary as a user does, against real Docker
// Engines on real hosts. It imports nothing of the project: what it knows is
// the command line, the output, the exit codes and the files.
//
// The suites run when MACHINE_E2E is set; they need a Docker Engine that
// answers and the image debian:bookworm-slim on it (make e2e sees to both).
// MACHINE_E2E_CLIENTS is the folder of other people's clients, which scripts/clients.sh
// prints. MACHINE_E2E_BINARY names a program to test instead of the one built here.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Set by TestMain, never changed after it.
var (
	enabled   bool
	binary    string // path of the program
	coverData string // folder that runs of the program leave their coverage in
)

func TestMain(m *testing.M) {
	enabled = os.Getenv("MACHINE_E2E") != ""
	if !enabled {
		os.Exit(m.Run())
	}
	code, err := runSuites(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// runSuites builds the program once, runs the suites and says how much of the
// program they ran.
func runSuites(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "machine-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if rerr := os.RemoveAll(dir); err == nil {
			err = rerr
		}
	}()
	binary = filepath.Join(dir, "machine")
	coverData = filepath.Join(dir, "cover")
	if err := os.Mkdir(coverData, 0o700); err != nil {
		return 1, err
	}
	if err := os.Symlink(binary, filepath.Join(dir, "docker-machine")); err != nil {
		return 1, err
	}
	if given := os.Getenv("MACHINE_E2E_BINARY"); given != "" {
		if err := os.Symlink(given, binary); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	ctx := context.Background()
	build := exec.CommandContext(ctx, "go", "build", "-cover", "-covermode=atomic", "-coverpkg=./...", "-o", binary, "./cmd/machine")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build machine: %w\n%s", err, out)
	}
	code = m.Run()
	percent := exec.CommandContext(ctx, "go", "tool", "covdata", "percent", "-i", coverData)
	percent.Dir = ".."
	if out, err := percent.CombinedOutput(); err == nil {
		fmt.Printf("statements that these suites ran, by package:\n%s", out)
	}
	if out := os.Getenv("MACHINE_E2E_COVER"); out != "" {
		return code, os.CopyFS(out, os.DirFS(coverData))
	}
	return code, nil
}

// needEngines skips a test where there is no real Engine to be had.
func needEngines(t *testing.T) {
	t.Helper()
	if !enabled {
		t.Skip("needs real Docker Engines: MACHINE_E2E=1, or make e2e")
	}
}

// needSwarmStage leaves out what takes too long for make test. Such tests are named TestSwarmStage...
func needSwarmStage(t *testing.T) {
	t.Helper()
	if os.Getenv("MACHINE_E2E_SWARM") == "" {
		t.Skip("a long suite of swarms: make test-swarm")
	}
}
