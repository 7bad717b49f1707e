package ssh

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
)

// agentPipe is where the OpenSSH agent of Windows listens.
const agentPipe = `\\.\pipe\openssh-ssh-agent`

// dialAgent connects to the user's agent: the pipe that SSH_AUTH_SOCK names, else that of
// the system's OpenSSH.
func dialAgent(_ context.Context, t Target) (io.ReadWriteCloser, error) {
	pipe := t.getenv("SSH_AUTH_SOCK")
	if pipe == "" {
		pipe = agentPipe
	}
	conn, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) && pipe == agentPipe {
		return nil, errNoAgent
	}
	if err != nil {
		return nil, plain(err)
	}
	return conn, nil
}
