package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/store"
)

// A command that was ended because it had lost a lock says so, and was not interrupted by its user.
func TestEndedByLoss(t *testing.T) {
	t.Parallel()
	ctx, lost := context.WithCancelCause(t.Context())
	other := errors.New("no answer")
	if err := endedByLoss(ctx, other); err != other {
		t.Errorf("Got %v without a loss", err)
	}
	lost(&store.HintError{Err: fmt.Errorf("%w: for long", store.ErrLockLost), Advice: "run it again"})
	if err := endedByLoss(ctx, nil); err != nil {
		t.Errorf("A command that finished ended with %v", err)
	}
	a := &app{}
	for _, told := range []error{other, context.Canceled, context.Cause(ctx), &lifecycle.MachineError{Machine: "m1", Err: context.Canceled}} {
		err := endedByLoss(ctx, told)
		if !errors.Is(err, store.ErrLockLost) || !errors.Is(err, told) || lifecycle.HintOf(err) != "run it again" {
			t.Errorf("%v became %v, hint %q", told, err, lifecycle.HintOf(err))
		}
		if id, code := reasonOf(err).ID, a.code(ctx, err); id != "LOCK_LOST" || code != lifecycle.ExitFailure {
			t.Errorf("%v: reason %s, code %d", told, id, code)
		}
	}
}
