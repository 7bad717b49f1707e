package ssh

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	gossh "golang.org/x/crypto/ssh"
)

// networkState tells what a failed attempt to connect means.
func networkState(err error) State {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	var errno syscall.Errno
	var open *gossh.OpenChannelError
	switch {
	case errors.As(err, &dns):
		return Unresolved
	case errors.As(err, &open):
		return forwardState(open.Message)
	case errors.As(err, &errno) && isRefused(errno):
		return Refused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	}
	return NoRoute // unreachable, or the system does not let us; the error has the words
}

// forwardState reads the words in which a jump host says why it did not reach the host.
func forwardState(message string) State {
	m := strings.ToLower(message)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(m, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("refused"):
		return Refused
	case has("timed out", "timeout"):
		return TimedOut
	case has("not known", "resol", "no such host", "no address"):
		return Unresolved
	}
	return NoRoute
}

// plain strips what a message says elsewhere: operation and address of a network
// error, operation and path of a file error.
func plain(err error) error {
	switch e := err.(type) { //nolint:errorlint // only the outermost error is rewritten
	case *net.OpError:
		if e.Op == "dial" && e.Err != nil {
			return plain(e.Err)
		}
	case *net.DNSError:
		return errors.New(e.Err)
	case *os.SyscallError:
		return e.Err
	case *fs.PathError:
		return e.Err
	}
	return err
}
