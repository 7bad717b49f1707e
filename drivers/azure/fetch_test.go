package azure

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// mute takes requests and never answers.
type mute struct{}

func (mute) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestResourceManagerThatNeverAnswers is given up before a log-in.
func TestResourceManagerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*testing.T) error{
		"tenant": func(t *testing.T) error {
			_, err := tenantOf(t.Context(), &http.Client{Transport: mute{}}, "https://arm.example", "s")
			return err
		},
		"cloud": func(t *testing.T) error {
			_, err := discover(t.Context(), &http.Client{Transport: mute{}}, "https://arm.example")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				err := ask(t)
				var late *wait.LateError
				if !errors.Is(err, drivers.ErrUnreachable) || !errors.As(err, &late) {
					t.Errorf("Got %v", err)
				}
				if took := time.Since(begin); took > 2*fetchLimit {
					t.Errorf("It took %v", took)
				}
			})
		})
	}
}
