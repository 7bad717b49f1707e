package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// fault is a step at which the driver fails, and how.
type fault struct {
	step string
	err  error
}

var errInjected = errors.New("injected fault")

// steps are where a fault can be.
func steps() []string {
	return []string{"check", "create-before", "create-between", "create-after", "status", "start", "stop", "kill", "remove", "place", "tagged", "release", "console", "image"}
}

// kinds are what a fault can be, by the errors that callers decide on.
func kinds() map[string]error {
	return map[string]error{
		"":            errInjected,
		"capacity":    drivers.ErrCapacity,
		"conflict":    drivers.ErrConflict,
		"credentials": drivers.ErrCredentials,
		"in-use":      drivers.ErrInUse,
		"not-found":   drivers.ErrNotFound,
		"permission":  drivers.ErrPermission,
		"quota":       drivers.ErrQuota,
		"throttled":   drivers.ErrThrottled,
		"unreachable": drivers.ErrUnreachable,
		"unsupported": drivers.ErrUnsupported,
	}
}

// parseFaults reads STEP[:KIND] texts.
func parseFaults(texts []string) ([]fault, error) {
	var faults []fault
	for _, text := range texts {
		step, kind, _ := strings.Cut(text, ":")
		if !slices.Contains(steps(), step) {
			return nil, fmt.Errorf("%q is no step: there are %s", step, strings.Join(steps(), ", "))
		}
		err, ok := kinds()[kind]
		if !ok {
			known := slices.DeleteFunc(slices.Sorted(maps.Keys(kinds())), func(k string) bool { return k == "" })
			return nil, fmt.Errorf("%q is no kind: there are %s", kind, strings.Join(known, ", "))
		}
		faults = append(faults, fault{step, fmt.Errorf("%s: %w", step, err)})
	}
	return faults, nil
}

// at waits the delay, then returns the fault of step, if there is one.
func (d *driver) at(ctx context.Context, step string) error {
	delay := d.config.Delay
	if text := d.env.Getenv(EnvDelay); text != "" {
		more, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%s: %w", EnvDelay, err)
		}
		delay += more
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	if ctx.Err() != nil { // both may have been ready
		return context.Cause(ctx)
	}
	if want := d.env.Getenv(EnvWant); want != "" && d.config.Token.Reveal() != want {
		return fmt.Errorf("%s: %w", step, drivers.ErrCredentials)
	}
	faults, _ := parseFaults(d.config.Fail) // Configure has accepted them
	if text := d.env.Getenv(EnvFail); text != "" {
		more, err := parseFaults(strings.Split(text, ","))
		if err != nil {
			return fmt.Errorf("%s: %w", EnvFail, err)
		}
		faults = append(faults, more...)
	}
	for _, f := range faults {
		if f.step == step {
			return f.err
		}
	}
	return nil
}
