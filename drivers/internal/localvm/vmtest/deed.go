package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// Deed is what a process of its own does with a machine, whose state is a file in Dir.
type Deed struct {
	Config     json.RawMessage
	Dir, Cache string
	Remove     bool // not create
}

// actVariable names the file of the deed to a process.
const actVariable = "VMTEST_ACT"

// Run has another process of this test's program do the deed. Its TestMain must ask
// Act. It returns what the process printed.
func (d Deed) Run(t testing.TB, env ...string) (string, error) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "deed.json")
	Write(t, file, string(text), 0o600)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), actVariable+"="+file, "GORACE=atexit_sleep_ms=0") // or each call takes a second
	c.Env = append(c.Env, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// Act does the deed that this process was started for, by a driver of open's factory,
// and returns its exit code; asked is false if it was started for none.
func Act(ctx context.Context, open func() drivers.Factory) (code int, asked bool) {
	file := os.Getenv(actVariable)
	if file == "" {
		return 0, false
	}
	if err := act(ctx, file, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func act(ctx context.Context, file string, open func() drivers.Factory) error {
	var d Deed
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	m, err := d.open(open())
	if err != nil {
		return err
	}
	if d.Remove {
		return m.Remove(ctx)
	}
	return m.Create(ctx, Request())
}

// open opens a machine whose state is a file.
func (d Deed) open(f drivers.Factory) (drivers.Driver, error) {
	path := filepath.Join(d.Dir, "state.json")
	state, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	save := func(state json.RawMessage) error {
		if err := os.WriteFile(path+".new", state, 0o600); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}
	return f.Open(d.Config, nil, state, save, drivers.Env{
		Machine: "m1", StoreID: StoreID, Creator: "machine/1.0", Dir: d.Dir, Cache: d.Cache, Getenv: os.Getenv,
	})
}
