package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// lateFactory makes drivers that, when the command ends, wait for all that its end has set going.
type lateFactory struct{ drivers.Factory }

func (f lateFactory) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env drivers.Env) (drivers.Driver, error) {
	env.AtEnd(func(context.Context) { synctest.Wait() })
	return f.Factory.Open(config, secrets, state, save, env)
}

// TestEndIsNoInterruption: a command that ends by itself does not say that it was interrupted.
func TestEndIsNoInterruption(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for want, line := range []string{"create -d none --url tcp://192.0.2.1:2376 m1", "stop m1"} { // exit codes 0 and 1
			var stderr bytes.Buffer
			code := Run(ctx, append([]string{"machine"}, strings.Fields(line)...), Env{
				Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: &stderr,
				Getenv:  func(name string) string { return map[string]string{"MACHINE_STORAGE_PATH": root}[name] },
				Drivers: drivers.Table{lateFactory{urlDriver()}}, Version: "1.2.3", Now: time.Now,
				Caught: func() bool { return ctx.Err() != nil },
			})
			if code != want || strings.Contains(stderr.String(), "interrupted") {
				t.Errorf("%s: exit code %d: %s", line, code, stderr.String())
			}
		}
	})
}
