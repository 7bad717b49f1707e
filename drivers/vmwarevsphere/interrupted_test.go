package vmwarevsphere

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// TestWaitEnds demands that what ends the wait for an address is told, not what was
// waited for before.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	if err := c.SetTools(vspheresim.ToolsNever); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, c, c.values, "m1")
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the wait goes on"))
	defer cancel()
	go func() { done <- m.open().Create(ctx, request(t)) }()
	calls := func(action string, n int) {
		for c.gate.Calls()[action] < n {
			if ctx.Err() != nil {
				t.Fatalf("%s was not called %d times", action, n)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	const asks = "RetrievePropertiesEx"
	calls("PowerOnVM_Task", 1)
	calls(asks, c.gate.Calls()[asks]+10) // the last ones are for the address
	if err := c.Vanish(vspheresim.KindVM, c.machines()[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, drivers.ErrNotFound) || strings.Contains(err.Error(), "VMware Tools") {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// TestLongName has a name of 63 characters go with the token into the 80 that vSphere
// lets a virtual machine have.
func TestLongName(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	name := strings.Repeat("m", 63)
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-content-library": {vspheresim.Library}, "vmwarevsphere-clone-from": {vspheresim.LibraryItem}}), name)
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d := m.open()
	if first := d.passingName(); len(first) > 80 || !strings.HasSuffix(first, d.state.Value.Token) {
		t.Errorf("it is first called %s, of %d characters", first, len(first))
	}
	if got := c.machines(); len(got) != 1 || got[0].Name != name {
		t.Errorf("made %v", got)
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestUploadElsewhere demands that a create which uploads to another datastore than
// before it was interrupted still knows of what it uploaded first.
func TestUploadElsewhere(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	iso := filepath.Join(t.TempDir(), "boot.iso")
	if err := os.WriteFile(iso, []byte("an ISO"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-boot2docker-url": {iso}, "vmwarevsphere-clone-from": nil}), "m1")
	c.gate.Inject(sim.Fault{Action: "CreateVM_Task", Mode: sim.Fail, Code: "InsufficientResourcesFault"})
	if err := m.open().Create(t.Context(), request(t)); err == nil {
		t.Fatal("it was not interrupted")
	}
	files := m.open().state.Value.Files
	if len(files) != 1 {
		t.Fatalf("uploaded %q", files)
	}
	elsewhere := strings.Replace(files[0], vspheresim.Datastore, "elsewhere", 1)
	m.state = json.RawMessage(strings.Replace(string(m.state), files[0], elsewhere, 1))
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if got := m.open().state.Value.Files; !slices.Equal(got, []string{elsewhere, files[0]}) {
		t.Errorf("it knows of %q", got)
	}
}
