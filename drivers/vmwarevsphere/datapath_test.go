package vmwarevsphere

import (
	"context"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestNoteOfDataPathPort: only who joins a swarm on NSX's port is told of it, and told once.
func TestNoteOfDataPathPort(t *testing.T) {
	t.Parallel()
	ports := func(n int) []drivers.Port { return []drivers.Port{{Number: n, Protocol: "udp", Peers: true}} }
	for name, tt := range map[string]struct {
		req        drivers.CreateRequest
		configured bool
		want       bool
	}{
		"no swarm":            {drivers.CreateRequest{OpenPorts: ports(4789)}, false, false},
		"swarm on 4789":       {drivers.CreateRequest{OpenPorts: ports(4789), DataPathPort: 4789}, false, true},
		"swarm on another":    {drivers.CreateRequest{OpenPorts: ports(7789), DataPathPort: 7789}, false, false},
		"create is continued": {drivers.CreateRequest{OpenPorts: ports(4789), DataPathPort: 4789}, true, false},
	} {
		d := plain(Config{})
		d.state.Value.Configured = tt.configured
		var notes []string
		d.env.Note = func(_ context.Context, text string) { notes = append(notes, text) }
		d.noteDataPath(t.Context(), tt.req)
		if got := strings.Join(notes, "\n"); strings.Contains(got, "--swarm-data-path-port") != tt.want || len(notes) > 1 {
			t.Errorf("%s: notes %q", name, got)
		}
	}
}
