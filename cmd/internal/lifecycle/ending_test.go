package lifecycle

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestClose has drivers end what they hold open, once, after an interruption too,
// and waits for none of them for long.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Manager
		done := 0
		m.endings.add(func(ctx context.Context) {
			if ctx.Err() == nil {
				done++
			}
		})
		m.endings.add(func(ctx context.Context) { <-ctx.Done() })
		over, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		m.Close(over)
		m.Close(over)
		if took := time.Since(began); done != 1 || took > endLimit {
			t.Errorf("done %d times, in %v", done, took)
		}
	})
}
