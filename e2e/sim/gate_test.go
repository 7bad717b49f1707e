package sim_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
)

// slow is a provider that takes its time, whether its client waits or not.
type slow struct{ made atomic.Bool }

func (s *slow) Action(*http.Request, []byte) string { return "Make" }

func (s *slow) Refuse(w http.ResponseWriter, _ *http.Request, f sim.Fault) {
	http.Error(w, f.Text, f.Status)
}

func (s *slow) Ledger() []sim.Resource { return nil }

func (s *slow) Vanish(string, string) error { return sim.ErrUnknown }

func (s *slow) ServeHTTP(http.ResponseWriter, *http.Request) {
	time.Sleep(100 * time.Millisecond)
	s.made.Store(true)
}

// TestObserveWaits: a call whose client went away is over when the observation is.
func TestObserveWaits(t *testing.T) {
	t.Parallel()
	provider := &slow{}
	gate := sim.NewGate(provider)
	server := httptest.NewServer(gate)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	gate.Observe(func(n int, done bool) error {
		if n == 1 && !done {
			cancel()
		}
		return nil
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the call was not cut off")
	}
	gate.Observe(nil)
	if !provider.made.Load() {
		t.Error("the call is still under way")
	}
}
