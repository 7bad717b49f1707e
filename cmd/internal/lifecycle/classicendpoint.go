package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// classicEndpoint returns how to reach the manager of a classic swarm; false: the name is of none.
func (m *Manager) classicEndpoint(ctx context.Context, name string) (Endpoint, bool, error) {
	masters := []string{name}
	if rec, err := m.Store.Get(name); err != nil || !isClassic(rec.HostOptions.SwarmOptions) {
		s, ok := m.findClassic(name)
		if !ok || s.name != name || len(s.masters) == 0 {
			return Endpoint{}, false, nil
		}
		masters = nil
		for _, rec := range s.masters {
			masters = append(masters, rec.Name)
		}
	} else if !rec.HostOptions.SwarmOptions.Master {
		return Endpoint{}, true, &KindError{fmt.Sprintf("%q is not a swarm master. The --swarm flag is intended for use with swarm masters", name)}
	}
	var errs []error
	for _, name := range masters {
		ep, err := m.classicManager(ctx, name)
		if err == nil {
			return ep, true, nil
		}
		errs = append(errs, nameError(name, len(masters), err))
	}
	return Endpoint{}, true, errors.Join(errs...)
}

// classicManager checks that the manager of a master answers with the certificates that its engine has.
func (m *Manager) classicManager(ctx context.Context, name string) (Endpoint, error) {
	x, err := m.view(name)
	if err != nil {
		return Endpoint{}, err
	}
	if err := x.locate(ctx); err != nil {
		return Endpoint{}, err
	}
	err = x.shakeHands(ctx)
	switch {
	case err == nil:
	case context.Cause(ctx) != nil:
		return Endpoint{}, context.Cause(ctx)
	default:
		if eerr := x.ask(ctx); eerr != nil {
			return Endpoint{}, &EngineError{URL: x.engineURL(), Err: eerr}
		}
		m.Log.Info("manager does not answer", "machine", name, "err", err)
		return Endpoint{}, fmt.Errorf("%w. Maybe swarm is not started", ErrSwarmDown)
	}
	ep := x.endpoint(ctx)
	ep.URL = x.classicURL()
	return ep, nil
}

// classicURL is where a docker client reaches the manager of a master.
func (x *machine) classicURL() string {
	if x.rec.Address.Host == "" {
		return ""
	}
	return "tcp://" + net.JoinHostPort(x.rec.Address.Host, strconv.Itoa(x.classicPort()))
}

// shakeHands makes a TLS connection to the manager.
func (x *machine) shakeHands(ctx context.Context) error {
	conf, err := x.clientTLS(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx, 0, versionDeadline, "ask the manager of the swarm")
	defer cancel()
	dial := (&net.Dialer{}).DialContext
	if x.rec.SSH.Jump != "" {
		t := &tunnel{target: x.target()}
		defer t.close()
		dial = t.dial
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(x.rec.Address.Host, strconv.Itoa(x.classicPort())))
	if err != nil {
		return err
	}
	defer conn.Close()
	conf = conf.Clone()
	if conf.ServerName == "" {
		conf.ServerName = x.rec.Address.Host
	}
	return tls.Client(conn, conf).HandshakeContext(ctx)
}
