package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/store"
)

// stackDigest tells by what a stack is deployed: its options, its files and the variables that they use.
func (m *Manager) stackDigest(s *cluster.Spec, stack cluster.Stack) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%v %v %q\n", stack.RegistryAuth, stack.Prune, stack.ResolveImage)
	env := map[string]string{}
	for _, p := range stack.Env {
		env[p.Key] = p.Value
		fmt.Fprintf(sum, "%q\n", p.String())
	}
	for _, f := range stack.Files {
		data, err := os.ReadFile(inDir(s.Dir, f))
		if err != nil {
			return "", fmt.Errorf("stack %s: %w", stack.Name, err)
		}
		fmt.Fprintf(sum, "%q %d\n%s\n", f, len(data), data)
		for _, name := range cluster.Variables(string(data)) {
			if _, own := env[name]; !own {
				fmt.Fprintf(sum, "%s=%q\n", name, m.Getenv(name))
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (u *upping) deploy(ctx context.Context, steps cluster.Steps) error {
	for _, step := range steps.Of(cluster.Deploy) {
		i := slices.IndexFunc(u.spec.Stacks, func(s cluster.Stack) bool { return s.Name == step.Name })
		stack := u.spec.Stacks[i]
		args := []string{"stack", "deploy"}
		for _, f := range stack.Files {
			args = append(args, "--compose-file", inDir(u.spec.Dir, f))
		}
		if stack.RegistryAuth {
			args = append(args, "--with-registry-auth")
		}
		if stack.Prune {
			args = append(args, "--prune")
		}
		if stack.ResolveImage != "" {
			args = append(args, "--resolve-image", stack.ResolveImage)
		}
		err := u.m.Step(ctx, "deploy stack "+stack.Name, func(ctx context.Context) error {
			return u.m.dockerOn(ctx, u.spec.Swarm.Name, cluster.Texts(stack.Env), append(args, stack.Name)...)
		})
		if err != nil {
			return fmt.Errorf("deploy stack %q: %w", stack.Name, err)
		}
		done := store.Stack{Project: u.spec.Name, Digest: u.seen.StacksWanted[stack.Name]}
		if err := u.m.recordStack(ctx, u.spec.Swarm.Name, stack.Name, &done); err != nil {
			return err
		}
	}
	return nil
}

func (u *upping) removeStacks(ctx context.Context, steps cluster.Steps) error {
	for _, step := range steps.Of(cluster.RemoveStack) {
		if err := u.m.removeStack(ctx, u.spec.Swarm.Name, step.Name); err != nil {
			return err
		}
	}
	return nil
}

// removeStack removes a stack. The client does not wait for tasks to end before it removes the networks that they
// use, so it is asked again until they have.
func (m *Manager) removeStack(ctx context.Context, swarm, name string) error {
	err := m.Step(ctx, "remove stack "+name, func(ctx context.Context) error {
		ctx, cancel := within(ctx, m.Wait.Drain, drainDeadline, "wait for the tasks of stack "+name+" to end")
		defer cancel()
		return poll(ctx, func(ctx context.Context) (bool, error) {
			err := m.dockerOn(ctx, swarm, nil, "stack", "rm", name)
			if err != nil && strings.Contains(err.Error(), "in use by") {
				m.Log.Info("not yet", "stack", name, "err", err)
				return false, nil
			}
			return err == nil, err
		})
	})
	if err != nil {
		return fmt.Errorf("remove stack %q: %w", name, err)
	}
	return m.recordStack(ctx, swarm, name, nil)
}

// recordStack records what a stack was deployed of; nil: it is gone.
func (m *Manager) recordStack(ctx context.Context, swarm, name string, s *store.Stack) (err error) {
	txn, c, err := m.lockCluster(ctx, swarm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if c.ID == "" {
		return nil // the swarm ended meanwhile
	}
	if c.Stacks == nil {
		c.Stacks = map[string]store.Stack{}
	}
	delete(c.Stacks, name)
	if s != nil {
		c.Stacks[name] = *s
	}
	return txn.Put(c)
}

// dockerOn runs the docker client of this computer against a manager of a swarm. Of the caller's environment all is
// kept but where the client would go to.
func (m *Manager) dockerOn(ctx context.Context, swarm string, env []string, args ...string) error {
	e, err := m.Endpoint(ctx, swarm, true)
	if err != nil {
		return err
	}
	if m.testDocker != nil {
		_, err := m.testDocker(args...)
		return err
	}
	cmd := exec.CommandContext(ctx, "docker", args...)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains([]string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"}, name) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, env...), "DOCKER_HOST="+e.URL, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH="+e.CertPath)
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	m.Log.Debug("docker", "args", args, "output", text)
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case cause != nil:
		return cause
	case errors.Is(err, exec.ErrNotFound):
		return errNoDocker
	case text != "":
		return fmt.Errorf("docker %s: %s", args[0]+" "+args[1], text)
	}
	return fmt.Errorf("docker %s: %w", args[0]+" "+args[1], err)
}
