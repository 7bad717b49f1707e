package provision_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision"
)

// container runs commands in a system container that the caller of the test has started;
// the tests that need one are skipped without.
type container struct{ name string }

type exitError struct {
	code   int
	stderr string
}

func (e *exitError) Error() string  { return "exit status" }
func (e *exitError) ExitCode() int  { return e.code }
func (e *exitError) Stderr() string { return e.stderr }

func (c container) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	return runLocal(ctx, exec.CommandContext(ctx, "docker", "exec", "-i", c.name, "bash", "-c", cmd), stdin, stdout)
}

func runLocal(ctx context.Context, cmd *exec.Cmd, stdin io.Reader, stdout io.Writer) error {
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{exit.ExitCode(), stderr.String()}
	}
	return err
}

func testStep(t *testing.T) provision.StepFunc {
	return func(ctx context.Context, name string, fn func(context.Context) error) error {
		start := time.Now()
		err := fn(ctx)
		t.Logf("%-60s %6dms %v", name, time.Since(start).Milliseconds(), err)
		return err
	}
}

func TestHost(t *testing.T) {
	name := os.Getenv("MACHINE_TEST_HOST")
	if name == "" {
		t.Skip("MACHINE_TEST_HOST names no system container")
	}
	r := container{name}
	e := provision.Engine{Labels: []string{"provider=test"}, Source: provision.Source(os.Getenv("MACHINE_TEST_SOURCE"))}
	tls := provision.TLS{CA: []byte(os.Getenv("CA")), Cert: []byte(os.Getenv("CERT")), Key: []byte(os.Getenv("KEY"))}
	for range 2 {
		start := time.Now()
		f, err := provision.Probe(t.Context(), r, e)
		t.Logf("probe %v", time.Since(start))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v\n%s", f, f.OurOptions)
		steps, err := provision.Plan(f, e, tls)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			t.Logf("PLAN %s: %s", s.Name, s.Run)
		}
		err = provision.Apply(t.Context(), r, steps, testStep(t))
		var se *provision.StepError
		if errors.As(err, &se) {
			t.Logf("%s\nHINT %s", se.Output, se.Hint())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range provision.Evidence(t.Context(), r, e) {
		t.Log("EVIDENCE ", l)
	}
}
