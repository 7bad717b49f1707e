// Package drivertest is the conformance suite that every driver passes.
//
// It plays the lifecycle's part with a driver and looks at the provider after
// each act. Its heart is the crash property: whatever is interrupted, at every
// save of the state and, where the harness lets it, at every call of the
// provider, a further Create completes with exactly one set of resources, and a
// Remove leaves nothing behind and nothing that is not ours harmed.
package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// Harness is what a driver brings to the suite.
type Harness struct {
	// New returns a provider that holds nothing of ours. It is called many
	// times, also concurrently. What it starts, and what a failed check leaves
	// there, ends with t.
	New func(t testing.TB) World

	// Existing says that the hosts are the user's own: Create makes nothing,
	// Remove removes nothing, and a host is there before and after.
	Existing bool

	// NoPower says that hosts cannot be started and stopped: these methods
	// return errors that wrap drivers.ErrUnsupported.
	NoPower bool

	// Timeout bounds the wait for a state that a method brought about; 0: 30 s.
	Timeout time.Duration

	// Serial runs one test after another, for providers that would not bear more.
	Serial bool
}

func (h Harness) timeout() time.Duration {
	if h.Timeout > 0 {
		return h.Timeout
	}
	return 30 * time.Second
}

// World is a provider and what the suite may do there. Functions may be nil if
// the provider has nothing of the kind.
type World struct {
	Factory drivers.Factory
	Values  drivers.Values // options of a host; they pass Check
	Env     drivers.Env    // Machine, Log and what is empty of Dir, StoreID and Creator are the suite's to set

	// Request is what hosts get at birth.
	Request drivers.CreateRequest

	// Bad are values that Configure refuses by an error that names the option,
	// by option. The suite itself adds what follows from the options' types.
	Bad map[string][]string

	// Refused are values that Configure accepts and Check refuses, added to
	// Values, by a name for the test.
	Refused map[string]drivers.Values

	// Spoil are fields of the configuration's JSON that Configure would refuse
	// today, or that name what does not exist any more. Remove must not care.
	Spoil map[string]any

	// Resources returns all that drivers of this store made and did not
	// release, as "kind/id" in any order. Shared ones are among them. Required
	// unless hosts are Existing.
	Resources func(ctx context.Context) ([]string, error)

	// Vanish deletes one of Resources at the provider, behind the driver's back.
	Vanish func(ctx context.Context, resource string) error

	// Plant puts resources there that are not ours and as alike as can be to
	// those of the machine: same names, where the provider bears it.
	Plant func(ctx context.Context, machine string) error

	// Foreign describes what is not ours, such that any harm shows.
	Foreign func(ctx context.Context) ([]string, error)

	// Observe has hook called before and after each call of the provider,
	// counted from 1 again; it may be called concurrently. If hook returns an
	// error before the call, the call is not made; after it, its result is
	// lost. The driver sees the error in both cases. A nil hook ends it.
	Observe func(hook func(n int, done bool) error)
}

// check is one demand of the suite. It returns what a driver does wrong.
type check struct {
	name string
	skip func(Harness, World) string // why the check does not apply; empty: it does
	run  func(context.Context, *player) error
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	probe := h.New(t)
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if !h.Serial {
				t.Parallel()
			}
			if why := c.skip(h, probe); why != "" {
				t.Skip(why)
			}
			if err := perform(t, h, c); err != nil {
				t.Error(err)
			}
		})
	}
}

// perform runs one check in worlds of its own.
func perform(t testing.TB, h Harness, c check) error {
	p := &player{t: t, harness: h, secrets: map[string]bool{}}
	return errors.Join(c.run(t.Context(), p), p.leak)
}

func checks() []check {
	var all []check
	all = append(all, optionChecks()...)
	all = append(all, lifeChecks()...)
	all = append(all, removalChecks()...)
	all = append(all, orphanChecks()...)
	return append(all, crashChecks()...)
}

// Reasons to skip.

func always(Harness, World) string { return "" }

func ifMade(h Harness, _ World) string {
	if h.Existing {
		return "hosts exist already"
	}
	return ""
}

func ifPower(h Harness, _ World) string {
	if h.NoPower {
		return "hosts cannot be started and stopped"
	}
	return ""
}

func ifHas(has func(World) bool, what string) func(Harness, World) string {
	return func(h Harness, w World) string {
		if !has(w) {
			return "harness has no " + what
		}
		return ""
	}
}
