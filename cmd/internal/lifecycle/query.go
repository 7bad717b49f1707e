package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/swarmboot"
)

// status asks the provider.
func (x *machine) status(ctx context.Context) (drivers.Status, error) {
	st, err := x.drv.Status(ctx)
	if err != nil {
		return st, x.advise(fmt.Errorf("ask for the state of %q: %w", x.rec.Name, err))
	}
	return st, nil
}

// Status returns a machine's state.
func (m *Manager) Status(ctx context.Context, name string) (State, error) {
	x, err := m.view(name)
	if err != nil {
		return drivers.None, err
	}
	st, err := x.status(ctx)
	return st.State, err
}

// locate finds out where the machine is now. For hosts that are the user's own, and for those
// whose provider nobody here can ask, the address is part of the record and nobody is asked.
func (x *machine) locate(ctx context.Context) error {
	if (x.own() || x.driverless()) && x.rec.Address.Host != "" {
		return nil
	}
	return x.locateFresh(ctx)
}

// IP returns the address a client reaches a machine at.
func (m *Manager) IP(ctx context.Context, name string) (string, error) {
	x, err := m.view(name)
	if err != nil {
		return "", err
	}
	if err := x.locate(ctx); err != nil {
		return "", err
	}
	return x.rec.Address.Host, nil
}

// URL returns a machine's engine URL; ErrNotRunning if it is not running.
func (m *Manager) URL(ctx context.Context, name string) (string, error) {
	x, err := m.view(name)
	if err != nil {
		return "", err
	}
	if u, ok := x.drv.(drivers.Unmanaged); ok {
		return u.EngineURL(), nil
	}
	st, err := x.status(ctx)
	if err != nil {
		return "", err
	}
	if st.State != drivers.Running || st.Host == "" {
		return "", fmt.Errorf("machine %q: %w", name, ErrNotRunning)
	}
	x.rec.Address = x.address(st)
	return x.engineURL(), nil
}

// Endpoint returns how to reach a machine's engine, checked by a question over TLS. With swarm, name
// is a machine or a swarm and the endpoint that of a manager that answers.
func (m *Manager) Endpoint(ctx context.Context, name string, swarm bool) (Endpoint, error) {
	if swarm {
		return m.swarmEndpoint(ctx, name)
	}
	x, err := m.view(name)
	if err != nil {
		return Endpoint{}, err
	}
	// The recorded address is tried first: it is right nearly always, and no provider need be asked.
	err = ErrNotRunning
	if x.engineURL() != "" {
		if err = x.ask(ctx); err == nil {
			return x.endpoint(ctx), nil
		}
	}
	was := x.engineURL()
	if lerr := x.locateFresh(ctx); lerr != nil {
		return Endpoint{}, lerr
	}
	if x.engineURL() != was {
		err = x.ask(ctx)
	}
	if err != nil {
		return Endpoint{}, x.engineError(err)
	}
	return x.endpoint(ctx), nil
}

// ask puts one question to the engine.
func (x *machine) ask(ctx context.Context) error {
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return err
	}
	defer eng.close()
	ctx, cancel := within(ctx, 0, versionDeadline, "ask the engine")
	defer cancel()
	_, err = eng.version(ctx)
	return err
}

// ip is where the machine is, by its engine's URL if it is only one.
func (x *machine) ip() string {
	if x.rec.Address.Host != "" {
		return x.rec.Address.Host
	}
	u, err := url.Parse(x.engineURL())
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (x *machine) endpoint(ctx context.Context) Endpoint {
	if x.rec.OverSSH {
		return Endpoint{Machine: x.rec.Name, URL: x.engineURL(), IP: x.ip()}
	}
	if x.rec.SSH.Jump != "" {
		x.m.Note(ctx, fmt.Sprintf("%s was asked through the jump host %s; a docker client needs a way of its own, such as: machine ssh %s -N -L %d:localhost:%d",
			x.rec.Name, x.rec.SSH.Jump, x.rec.Name, x.clientPort(), x.enginePort()))
	}
	return Endpoint{
		Machine:  x.rec.Name,
		URL:      x.engineURL(),
		IP:       x.ip(),
		CertPath: filepath.Clean(x.credentials()),
		TLS:      true,
	}
}

func (m *Manager) swarmEndpoint(ctx context.Context, name string) (Endpoint, error) {
	if ep, ok, err := m.classicEndpoint(ctx, name); ok {
		return ep, err
	}
	c, err := m.findCluster(name)
	if errors.Is(err, ErrNoSwarm) && name != "" {
		if _, gerr := m.Store.Get(name); gerr != nil {
			return Endpoint{}, gerr
		}
		return Endpoint{}, fmt.Errorf("%w: %q is not in a swarm", ErrNoSwarm, name)
	}
	if err != nil {
		return Endpoint{}, err
	}
	prefer := ""
	if member, ok := c.Members[name]; ok && member.Role == string(swarmboot.Manager) {
		prefer = name
	}
	eng, x, err := m.aManager(ctx, c, prefer)
	if err != nil {
		return Endpoint{}, err
	}
	eng.close()
	if prefer != "" && x.rec.Name != prefer {
		m.Note(ctx, fmt.Sprintf("manager %s does not answer, using %s of the same swarm", prefer, x.rec.Name))
	}
	return x.endpoint(ctx), nil
}

// Active returns the name of the running machine whose engine URL is dockerHost.
func (m *Manager) Active(ctx context.Context, dockerHost string, timeout time.Duration) (string, error) {
	if dockerHost == "" {
		return "", ErrNoActive
	}
	rows, err := m.List(ctx, ListRequest{Timeout: timeout, DockerHost: dockerHost})
	if err != nil {
		return "", err
	}
	late := false
	for _, r := range rows {
		if r.ActiveHost || r.ActiveSwarm {
			return r.Name, nil
		}
		late = late || r.State == drivers.Timeout
	}
	if late {
		return "", fmt.Errorf("find active host: %w", &DeadlineError{What: "timeout", Limit: timeout})
	}
	return "", ErrNoActive
}

// EngineVersion asks a machine's engine for its version.
func (m *Manager) EngineVersion(ctx context.Context, name string) (string, error) {
	x, err := m.view(name)
	if err != nil {
		return "", err
	}
	if err := x.locateFresh(ctx); err != nil {
		return "", err
	}
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return "", err
	}
	defer eng.close()
	ctx, cancel := within(ctx, 0, versionDeadline, "ask the engine")
	defer cancel()
	v, err := eng.version(ctx)
	if err != nil {
		return "", x.engineError(err)
	}
	return v.Version, nil
}

// locateFresh asks the provider where the machine is, also for hosts that are the user's own.
func (x *machine) locateFresh(ctx context.Context) error {
	st, err := x.status(ctx)
	if err != nil {
		return err
	}
	if st.State != drivers.Running || st.Host == "" {
		return fmt.Errorf("machine %q: %w", x.rec.Name, ErrNotRunning)
	}
	x.rec.Address = x.address(st)
	return nil
}
