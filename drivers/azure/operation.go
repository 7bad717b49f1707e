package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/hostsmith/machine/drivers/internal/wait"
)

// How long the phases of a machine's life may take.
const (
	prepareLimit = 15 * time.Minute // network, address and the like
	bootLimit    = 30 * time.Minute // the virtual machine until its agent reports, which Azure waits 20 min for
	powerLimit   = 15 * time.Minute
	removeLimit  = 30 * time.Minute
	askLimit     = 3 * time.Minute
	signInLimit  = 15 * time.Minute // a device code is good for so long
)

// run begins an operation and waits for its end. What heals by waiting, such as
// another operation in progress, is tried again until ctx ends.
func run[T any](ctx context.Context, a *account, what string, begin func(context.Context) (*runtime.Poller[T], error)) (result T, err error) {
	var last error
	begun := 0
	err = wait.Until(ctx, a.pace, what, func(ctx context.Context) (bool, error) {
		poller, err := begin(ctx)
		if err == nil {
			result, err = finish(ctx, a, what, poller)
		}
		if begun++; errors.Is(err, errTrack) && begun < 3 {
			return false, nil // all that is begun here can be begun twice
		}
		if heals(err) {
			last = err
			return false, nil
		}
		return err == nil, err
	})
	if last != nil && context.Cause(ctx) != nil {
		err = errors.Join(err, last)
	}
	return result, a.fault(ctx, what, err)
}

// errTrack is that nobody tells any more how an operation goes.
var errTrack = errors.New("lost track of the operation")

// finish waits for the end of an operation.
func finish[T any](ctx context.Context, a *account, what string, p *runtime.Poller[T]) (result T, err error) {
	for !p.Done() {
		resp, err := p.Poll(ctx)
		if isCode(err, http.StatusNotFound) || failing(a.fault(ctx, what, err)) {
			return result, fmt.Errorf("%w: %w", errTrack, err)
		}
		if err != nil {
			return result, err
		}
		if p.Done() {
			break
		}
		if err := wait.For(ctx, a.pause(resp)); err != nil {
			return result, fmt.Errorf("wait for the end of %s: %w", what, err)
		}
	}
	return p.Result(ctx)
}

// pause is how long to wait until the next question about an operation.
func (a *account) pause(resp *http.Response) time.Duration {
	return min(retryAfter(resp, a.pace.First), max(a.pace.Most, a.pace.First))
}

// call asks what is answered at once, and again while its refusal heals by waiting.
func call[T any](ctx context.Context, a *account, what string, ask func(context.Context) (T, error)) (result T, err error) {
	err = wait.Until(ctx, a.pace, what, func(ctx context.Context) (bool, error) {
		result, err = ask(ctx)
		if heals(err) {
			return false, nil
		}
		return err == nil, err
	})
	return result, a.fault(ctx, what, err)
}

// gone forgives that what is to be removed, or looked at, does not exist. There
// is nothing of a provider that the subscription is not registered for. A
// subscription that is not shown to who asks may well hold what they ask for.
func gone(err error) error {
	if isCode(err, 0, "SubscriptionNotFound") {
		return err
	}
	if isCode(err, http.StatusNotFound, "ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound", "MissingSubscriptionRegistration") {
		return nil
	}
	return err
}
