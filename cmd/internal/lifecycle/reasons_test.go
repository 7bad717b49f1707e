package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

func TestReasonsAreDistinct(t *testing.T) {
	t.Parallel()
	ids, meanings := map[string]bool{}, map[string]bool{}
	for _, r := range Reasons() {
		if ids[r.ID] || meanings[r.Meaning] {
			t.Errorf("%s: id or meaning stands twice", r.ID)
		}
		ids[r.ID], meanings[r.Meaning] = true, true
		if r.ID == "" || r.Meaning == "" || r.Fix == "" || r.Exit == 0 {
			t.Errorf("%+v has an empty field", r)
		}
	}
}

func TestReasonOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		id   string
		exit int
	}{
		{errors.New("odd"), "UNKNOWN", ExitFailure},
		{fmt.Errorf("label: %w", ErrNoLabels), "LABELS_UNSUPPORTED", ExitFailure},
		{fmt.Errorf("lock: %w", store.ErrLocked), "MACHINE_LOCKED", ExitLocked},
		{fmt.Errorf("%w: %w", ErrCheck, drivers.ErrUnreachable), "PROVIDER_UNREACHABLE", ExitCheck},
		{fmt.Errorf("%w: no space", ErrCheck), "CHECK_FAILED", ExitCheck},
		{fmt.Errorf("%w: %w", ErrCheck, drivers.ErrNotFound), "PROVIDER_LACKS", ExitCheck},
		{drivers.ErrNotFound, "HOST_GONE", ExitFailure},
		{fmt.Errorf("%w: %w", ErrCheck, drivers.ErrCredentials), "PROVIDER_CREDENTIALS", ExitCheck},
		{fmt.Errorf("remove host: %w", drivers.ErrCredentials), "PROVIDER_CREDENTIALS", ExitFailure},
		{errors.Join(nil, &MachineError{"m1", ssh.ErrAuth}), "SSH_AUTH_REFUSED", ExitFailure},
		{&DeadlineError{What: "wait"}, "TIMED_OUT", ExitFailure},
		{fmt.Errorf("x: %w", context.Canceled), "INTERRUPTED", ExitInterrupted},
		{&EngineError{URL: "tcp://a:1", Err: errors.New("refused")}, "ENGINE_UNREACHABLE", ExitFailure},
		{&SpecError{Machine: "m1"}, "MACHINE_DIFFERS", ExitFailure},
		{&AlreadyError{Machine: "m1", State: "running"}, "ALREADY_SO", ExitFailure},
		{fmt.Errorf("plan: %w", provision.ErrNoRoot), "HOST_NO_ROOT", ExitFailure},
	}
	for _, tt := range tests {
		if got := ReasonOf(tt.err); got.ID != tt.id || got.Exit != tt.exit {
			t.Errorf("ReasonOf(%v) = %s, exit %d; want %s, exit %d", tt.err, got.ID, got.Exit, tt.id, tt.exit)
		}
	}
}

type advised struct{ error }

func (advised) Hint() string { return "do this" }

func TestHintOfPrefersTheErrorsOwn(t *testing.T) {
	t.Parallel()
	if got := HintOf(fmt.Errorf("a: %w", advised{store.ErrLocked})); got != "do this" {
		t.Errorf("got %q", got)
	}
	if got := HintOf(store.ErrNotExist); got != "machine ls" {
		t.Errorf("got %q", got)
	}
}
