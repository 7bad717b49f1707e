//go:build !windows

package ssh

import (
	"io"
	"net"
)

// dialAgent connects to the user's agent.
func dialAgent(t Target) (io.ReadWriteCloser, error) {
	sock := t.getenv("SSH_AUTH_SOCK")
	if sock == "" {
		return nil, errNoAgent
	}
	conn, err := net.DialTimeout("unix", sock, agentAnswer)
	if err != nil {
		return nil, plain(err)
	}
	return conn, nil
}
