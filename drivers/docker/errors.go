package docker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// fault says what could not be done, for callers that decide on it and with
// advice where the engine's words tell the cause.
func fault(ctx context.Context, ep Endpoint, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	for _, known := range []error{drivers.ErrNotFound, drivers.ErrConflict, drivers.ErrQuota, drivers.ErrUnsupported, drivers.ErrOption, drivers.ErrUnreachable} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if client.IsErrConnectionFailed(err) {
		return &drivers.HintError{
			Err:    fmt.Errorf("%s: %w: %w", what, drivers.ErrUnreachable, err),
			Advice: reachAdvice(ep, err),
		}
	}
	kind, advice := classify(err)
	if kind != nil {
		err = fmt.Errorf("%s: %w: %w", what, kind, err)
	} else {
		err = fmt.Errorf("%s: %w", what, err)
	}
	if advice != "" {
		return &drivers.HintError{Err: err, Advice: advice}
	}
	return err
}

// classify tells what an engine's error means. What has no meaning of its own
// for callers is nil.
func classify(err error) (kind error, advice string) {
	switch {
	case says(err, "no space left on device"):
		return drivers.ErrQuota, "free space on the engine's computer: docker system df shows what takes it"
	case portTaken(err):
		return drivers.ErrConflict, "choose another port with --docker-publish, or free this one"
	case addressTaken(err):
		return drivers.ErrConflict, "docker network inspect shows who has it; leave --docker-address out to get a free one at create"
	case says(err, "networks with user configured subnets"):
		return drivers.ErrConflict, "a machine keeps its address, so name a network that was made with docker network create --subnet, or one that does not exist yet"
	case says(err, "minimum memory limit", "range of CPUs is from"):
		return drivers.ErrOption, "see what the engine's computer has: docker info"
	case errdefs.IsNotFound(err):
		return drivers.ErrNotFound, ""
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return drivers.ErrConflict, ""
	case errdefs.IsUnauthorized(err), says(err, "authorization denied by plugin"):
		return drivers.ErrCredentials, ""
	case errdefs.IsNotImplemented(err):
		return drivers.ErrUnsupported, ""
	}
	return nil, ""
}

// portTaken tells whether a port that is to be published is taken.
func portTaken(err error) bool {
	return says(err, "port is already allocated", "failed to bind host port", "ports are not available",
		"bind: address already in use", "only one usage of each socket address")
}

// addressTaken tells whether the container's address on its network is taken.
func addressTaken(err error) bool {
	return says(err, "address already in use", "address is already in use") && !portTaken(err)
}

// networkChanged tells whether the network is not the one that was recorded:
// two processes made it at once, and only one of the two stays.
func networkChanged(err error) bool {
	return says(err, "is ambiguous", "does not belong to any of this network", "no configured subnet or ip-range contain")
}

// says tells whether the error's message has one of the phrases, in any case.
func says(err error, phrases ...string) bool {
	if err == nil {
		return false
	}
	message := strings.ToLower(err.Error())
	for _, p := range phrases {
		if strings.Contains(message, strings.ToLower(p)) {
			return true
		}
	}
	return false
}

// reachAdvice is what to do when no engine answers at ep.
func reachAdvice(ep Endpoint, err error) string {
	const other = ", or name another engine with --docker-engine"
	switch {
	case says(err, "permission denied") && ep.scheme() == "unix":
		return "allow yourself to use it: sudo usermod -aG docker $USER, then log in again" + other
	case ep.scheme() == "ssh":
		return "see that this works: docker -H " + ep.Host + " version" + other
	case says(err, "tls", "certificate", "handshake"):
		return "set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as that engine needs them" + other
	case ep.remote() != "":
		return "see that the engine runs and that nothing between blocks its port" + other
	}
	switch runtime.GOOS {
	case "linux":
		return "start it (sudo systemctl start docker), install one (Debian, Ubuntu: sudo apt-get install docker.io)" + other
	default:
		return "start Docker Desktop or another Docker Engine" + other
	}
}
