package azure

import (
	"errors"
	"net/http"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestSubscriptionThatIsNotShown: a login that does not see the subscription says nothing of what is
// there, so nothing counts as gone.
func TestSubscriptionThatIsNotShown(t *testing.T) {
	t.Parallel()
	r := &refusal{code: "SubscriptionNotFound", status: http.StatusNotFound}
	r.kind = kindOf(r)
	if err := gone(r); !errors.Is(err, drivers.ErrCredentials) || errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("Got %v", err)
	}
	if err := gone(&refusal{code: "ResourceNotFound", status: http.StatusNotFound}); err != nil {
		t.Errorf("Got %v", err)
	}
}
