package ssh

import (
	"context"
	"time"
)

// DialPatience dials as Dial and DialReady do, with other bounds of one attempt.
func DialPatience(ctx context.Context, t Target, connect, banner time.Duration, wait bool) (*Client, error) {
	lim := defaultLimits()
	lim.connect, lim.banner = connect, banner
	return dial(ctx, t, lim, wait)
}
