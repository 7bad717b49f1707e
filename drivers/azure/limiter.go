package azure

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/hostsmith/machine/drivers/internal/wait"
)

// parallel is how many requests of one account are on their way at once.
const parallel = 16

// limiter holds the requests of an account back: not too many at once, and
// none while Azure has said to one of them that it shall wait.
type limiter struct {
	slots chan struct{}

	mu    sync.Mutex
	until time.Time
}

// Do implements policy.Policy.
func (l *limiter) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context()
	if err := l.await(ctx); err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.slots }()
	resp, err := req.Next()
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		l.pause(retryAfter(resp, time.Second))
	}
	return resp, err
}

func (l *limiter) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := time.Now().Add(d); t.After(l.until) {
		l.until = t
	}
}

func (l *limiter) await(ctx context.Context) error {
	l.mu.Lock()
	left := time.Until(l.until)
	l.mu.Unlock()
	return wait.For(ctx, left)
}

// retryAfter returns how long an answer asks to wait.
func retryAfter(resp *http.Response, otherwise time.Duration) time.Duration {
	if resp == nil {
		return otherwise
	}
	for _, h := range []struct {
		name string
		unit time.Duration
	}{{"retry-after-ms", time.Millisecond}, {"x-ms-retry-after-ms", time.Millisecond}, {"Retry-After", time.Second}} {
		if n, err := strconv.Atoi(resp.Header.Get(h.name)); err == nil && n > 0 {
			return time.Duration(n) * h.unit
		}
	}
	if t, err := http.ParseTime(resp.Header.Get("Retry-After")); err == nil {
		return max(time.Until(t), 0)
	}
	return otherwise
}
