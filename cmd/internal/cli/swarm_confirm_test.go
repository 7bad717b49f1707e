package cli

import (
	"strings"
	"testing"
)

// TestSwarmPruneUnanswered: what was not done because nobody was there to ask is no success.
func TestSwarmPruneUnanswered(t *testing.T) {
	t.Parallel()
	r := inProcess(t, t.TempDir(), "swarm", "prune")
	if r.code != 1 || !strings.Contains(r.stderr, "Are you sure? (y/n): \n") || !strings.Contains(r.stderr, "NOT_CONFIRMED") || r.stdout != "" {
		t.Errorf("Got %+v, want exit code 1 and the reason on a line of its own", r)
	}
}
