package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// path returns the path of a file in the machine's folder.
func (x *machine) path(file string) string {
	return filepath.Join(x.m.Store.MachineDir(x.rec.Name), file)
}

// errNoDocker is a docker context that cannot be made or looked at.
var errNoDocker = errors.New("the docker command is not on this computer's PATH")

// contextOwner is whose a docker context is.
type contextOwner int

const (
	nobody contextOwner = iota
	ours
	theirs
)

// contextMark is the description by which our docker contexts are told from the user's own.
func (m *Manager) contextMark(name string) (string, error) {
	id, err := m.Store.ID()
	return fmt.Sprintf("machine %s (store %s)", name, id), err
}

// contextOwner tells whether there is a docker context of the name, and whether it is ours to change.
func (m *Manager) contextOwner(ctx context.Context, name string) (contextOwner, error) {
	mark, err := m.contextMark(name)
	if err != nil {
		return theirs, err
	}
	out, err := m.docker(ctx, "context", "ls", "--format", "{{json .}}")
	if err != nil {
		return theirs, err
	}
	for line := range strings.Lines(out) {
		var c struct{ Name, Description string }
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return theirs, fmt.Errorf("read the list of docker contexts: %w", err)
		}
		if c.Name != name {
			continue
		}
		if c.Description == mark {
			return ours, nil
		}
		return theirs, nil
	}
	return nobody, nil
}

// checkContext returns why the docker context of a machine could not be made.
func (m *Manager) checkContext(ctx context.Context, name string) error {
	owner, err := m.contextOwner(ctx, name)
	if err != nil {
		return fmt.Errorf("--docker-context: %w", err)
	}
	if owner == theirs {
		return foreignContext(name)
	}
	return nil
}

// foreignContext is a docker context that is the user's own.
func foreignContext(name string) error {
	return &drivers.HintError{
		Err:    fmt.Errorf("docker context %q: %w", name, drivers.ErrConflict),
		Advice: "Choose another machine name, leave --docker-context out, or remove the context with: docker context rm " + name,
	}
}

// makeContext makes or refreshes the docker context of the machine's name. The context holds
// copies of the certificates, which is why it is made anew with each new certificate. A context
// of that name that is not ours is an error wrapping drivers.ErrConflict.
func (m *Manager) makeContext(ctx context.Context, x *machine) error {
	mark, err := m.contextMark(x.rec.Name)
	if err != nil {
		return err
	}
	owner, err := m.contextOwner(ctx, x.rec.Name)
	if err != nil {
		return fmt.Errorf("make docker context: %w", err)
	}
	verb := "create"
	switch owner {
	case ours:
		verb = "update"
	case theirs:
		return foreignContext(x.rec.Name)
	}
	dir := x.credentials()
	endpoint := fmt.Sprintf("host=%s,ca=%s,cert=%s,key=%s", x.engineURL(),
		filepath.Join(dir, caFile), filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if x.rec.OverSSH {
		endpoint = "host=" + x.engineURL()
	}
	return m.Step(ctx, verb+" the docker context "+x.rec.Name, func(ctx context.Context) error {
		_, err := m.docker(ctx, "context", verb, x.rec.Name, "--description", mark, "--docker", endpoint)
		if err != nil {
			return fmt.Errorf("%s docker context: %w", verb, err)
		}
		return nil
	})
}

// refreshContext brings the machine's docker context up to date, if it has one.
func (m *Manager) refreshContext(ctx context.Context, x *machine) {
	if !x.rec.DockerContext {
		return
	}
	if err := m.makeContext(ctx, x); err != nil {
		m.Note(ctx, "the docker context is out of date: "+err.Error())
	}
}

// removeContext removes the docker context of the machine's name if it is ours; absent is no error.
func (m *Manager) removeContext(ctx context.Context, name string) error {
	owner, err := m.contextOwner(ctx, name)
	switch {
	case errors.Is(err, errNoDocker):
		return nil // without the client there is no context to mislead it
	case err != nil:
		return err
	case owner == theirs:
		return foreignContext(name)
	case owner == nobody:
		return nil
	}
	_, err = m.docker(ctx, "context", "rm", "--force", name)
	return err
}

// docker runs the docker client on this computer. DOCKER_HOST and DOCKER_CONTEXT do not matter to
// what is asked of it here.
func (m *Manager) docker(ctx context.Context, args ...string) (string, error) {
	if m.testDocker != nil {
		return m.testDocker(args...)
	}
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return "", cause
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", errNoDocker
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return "", fmt.Errorf("docker %s: %w", args[0]+" "+args[1], err)
}
