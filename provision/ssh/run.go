package ssh

import (
	"context"
	"fmt"
	"io"
	"time"
)

// stdinGrace is how long a finished command waits for the reader of its standard input.
const stdinGrace = 100 * time.Millisecond

// Run implements the runner of other packages: it runs cmd by the login shell; see
// provision.Runner for the contract. Errors: *ExitError, ErrLost, what stdin or stdout
// returned, and the cause of ctx. When ctx ends, or stdin or stdout breaks, the command's
// process group gets SIGTERM, and a second later its session is closed; only then does its
// input end. Many servers pass no signals on (OpenSSH of many years does not to root's
// commands): a command that must not go on, or not with half of its input, has to see to
// that by itself. Nothing is written to stdout after Run returned; a Read of stdin or a
// Write to stdout that blocks may outlive it.
func (c *Client) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	var stderr tail
	code, err := c.execute(ctx, execution{
		command: cmd,
		stdin:   stdin,
		stdout:  stdout,
		stderr:  &stderr,
		grace:   stdinGrace,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("run %q: %w", brief(cmd), err)
	case code != 0:
		return &ExitError{Cmd: cmd, Code: code, Tail: stderr.String()}
	}
	return nil
}
