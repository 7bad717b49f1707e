package lifecycle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// TestInheritServed: a machine that docker-machine made with a driver of ours goes on here, with the state that the
// plugin wrote last, not the one that docker-machine recorded before.
func TestInheritServed(t *testing.T) {
	t.Parallel()
	for _, created := range []bool{true, false} {
		t.Run(fmt.Sprintf("created=%v", created), func(t *testing.T) {
			t.Parallel()
			_, m, host := oldMachine(t)
			dir := m.Store.MachineDir("old")
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("config.json", `{"ConfigVersion":3,"DriverName":"cloud","Name":"old","HostOptions":{},"Driver":{"MachineName":"old","StorePath":"/s",
				"IPAddress":"192.0.2.1","MachineDriver":{"Driver":"cloud","Config":{"Region":"r2"},"Created":false}}}`)
			write("driver-state.json", fmt.Sprintf(`{"Driver":"cloud","Config":{"Region":"r1"},"State":{"ID":"i-1"},"Created":%v}`, created))
			write("secrets.json", `{"cloud-key":"`+hush+`"}`)
			x, err := m.view("old")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]store.Phase{true: store.Ready, false: store.Pending}[created]; x.rec.Phase != want {
				t.Errorf("phase %q, want %q", x.rec.Phase, want)
			}
			if st, err := x.drv.Status(t.Context()); err != nil || st.State != drivers.Running {
				t.Errorf("got %v, %v", st, err)
			}
			if err := m.Stop(t.Context(), []string{"old"}); err != nil || !host.stopped {
				t.Errorf("stop: %v", err)
			}
			rec, err := m.Store.Get("old")
			var config struct {
				Region        string
				MachineDriver json.RawMessage
			}
			if err == nil {
				err = json.Unmarshal(rec.Driver, &config)
			}
			if err != nil || config.Region != "r2" || config.MachineDriver != nil || string(rec.DriverState) != `{"ID":"i-1"}` {
				t.Errorf("got %+v, state %s, %v", config, rec.DriverState, err)
			}
			if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"old"}}); err != nil || !host.gone {
				t.Errorf("remove: %v", err)
			}
		})
	}
}
