//go:build !windows

package ssh

import (
	"context"
	"io"
	"net"
)

// dialAgent connects to the user's agent.
func dialAgent(ctx context.Context, t Target) (io.ReadWriteCloser, error) {
	sock := t.getenv("SSH_AUTH_SOCK")
	if sock == "" {
		return nil, errNoAgent
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", sock)
	if err != nil {
		return nil, plain(err)
	}
	return conn, nil
}
