package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// path returns the path of a file in the machine's folder.
func (x *machine) path(file string) string {
	return filepath.Join(x.m.Store.MachineDir(x.rec.Name), file)
}

// makeContext makes or refreshes the docker context of the machine's name. The context holds
// copies of the certificates, which is why it is made anew with each new certificate.
func (m *Manager) makeContext(ctx context.Context, x *machine) error {
	dir := x.credentials()
	endpoint := fmt.Sprintf("host=%s,ca=%s,cert=%s,key=%s", x.engineURL(),
		filepath.Join(dir, caFile), filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	verb := "create"
	if _, err := m.docker(ctx, "context", "inspect", x.rec.Name); err == nil {
		verb = "update"
	} else if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("make docker context: %w", err)
	}
	return m.Step(ctx, verb+" the docker context "+x.rec.Name, func(ctx context.Context) error {
		_, err := m.docker(ctx, "context", verb, x.rec.Name, "--description", "machine "+x.rec.Name, "--docker", endpoint)
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

// removeContext removes the docker context of the machine's name; absent is no error.
func (m *Manager) removeContext(ctx context.Context, name string) error {
	if _, err := m.docker(ctx, "context", "inspect", name); err != nil {
		return nil //nolint:nilerr // there is none
	}
	_, err := m.docker(ctx, "context", "rm", "--force", name)
	return err
}

// docker runs the docker client on this computer. DOCKER_HOST and DOCKER_CONTEXT do not matter to
// what is asked of it here.
func (m *Manager) docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("docker %s: %s", args[0]+" "+args[1], strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
