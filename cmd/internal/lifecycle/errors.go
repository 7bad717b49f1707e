package lifecycle

import "errors"

// Errors that callers decide on, besides those of the leaves.
var (
	ErrNotRunning = errors.New("machine is not running")
	ErrAlready    = errors.New("already")
	ErrCheck      = errors.New("pre-create check failed")
	ErrUsage      = errors.New("invalid request")
	ErrNotBegun   = errors.New("nothing was done on any of the machines") // besides what the error says; it is no text of it
	ErrSpec       = errors.New("machine exists with other options")
	ErrNoActive   = errors.New("no active host found")
	ErrTLS        = errors.New("engine does not answer over TLS")
	ErrOverSSH    = errors.New("its docker client goes through SSH, and nothing on the host is ours")
	ErrNoCAKey    = errors.New("the authority's private key is missing")
	ErrNoSwarm    = errors.New("no such swarm")
	ErrKind       = errors.New("swarm is of another kind")
	ErrSwarmDown  = errors.New("Connection to Swarm cannot be checked but the certs are valid") //nolint:revive,staticcheck // docker-machine's words
	ErrOperation  = errors.New("other work on the swarm has not ended")
	ErrNoImage    = errors.New("the cache has no such image")
	ErrHeld       = errors.New("not as the cluster file says")
	ErrDeclined   = errors.New("nothing was done")
	ErrNoLabels   = errors.New("driver does not support labels") // clients know these words
	ErrImageUsed  = errors.New("disks of machines are based on it")
)
