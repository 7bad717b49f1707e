package plugin

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/hostsmith/machine/drivers"
)

func (d *driver) Status(ctx context.Context) (s drivers.Status, err error) {
	err = d.with(ctx, func(p *process) error {
		s, err = d.look(ctx, p)
		if s.State != drivers.Running {
			p.spend() // what is waited for must not be what it remembers
		}
		return err
	})
	return s, err
}

// look asks a plugin that has the machine's configuration.
func (d *driver) look(ctx context.Context, p *process) (s drivers.Status, err error) {
	if s.State, err = d.state(ctx, p); err != nil {
		return s, err
	}
	if s.State != drivers.Running {
		return s, nil
	}
	if s.Host, s.EnginePort, err = d.endpoint(ctx, p); err != nil {
		return s, err
	}
	if s.User, err = d.text(ctx, p, methodGetSSHUsername); err != nil {
		return s, err
	}
	err = p.call(ctx, d.limits().Question, methodGetSSHPort, struct{}{}, &s.SSHPort)
	return s, meaning(err)
}

// endpoint asks where the host is: by the engine's URL, which has its port, else by its address, of which there may not
// be any yet.
func (d *driver) endpoint(ctx context.Context, p *process) (host string, port int, err error) {
	at, err := d.text(ctx, p, methodGetURL)
	if err == nil {
		if u, uerr := url.Parse(at); uerr == nil && u.Hostname() != "" {
			port, _ = strconv.Atoi(u.Port()) // 0: it is the usual one
			return u.Hostname(), port, nil
		}
	}
	for _, method := range []string{methodGetIP, methodGetIPv6, methodGetSSHHostname} {
		if !p.usable() || context.Cause(ctx) != nil {
			return "", 0, err
		}
		var text string
		if text, err = d.text(ctx, p, method); err == nil && text != "" {
			if h, _, serr := net.SplitHostPort(text); serr == nil {
				text = h
			}
			return text, 0, nil
		}
	}
	if p.usable() && context.Cause(ctx) == nil {
		return "", 0, nil // it has none yet
	}
	return "", 0, err
}

func (d *driver) text(ctx context.Context, p *process, method string) (text string, err error) {
	err = p.call(ctx, d.limits().Question, method, struct{}{}, &text)
	return text, meaning(err)
}

// KeyFile returns the path of the login key that the plugin has made, or was given; empty: there is none.
func (d *driver) KeyFile(ctx context.Context) (path string, err error) {
	err = d.with(ctx, func(p *process) error {
		path, err = d.text(ctx, p, methodGetSSHKeyPath)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ask the plugin for its login key: %w", err)
	}
	if file := fileOf(path, d.env.Machine); file != "" {
		path = filepath.Join(d.env.Dir, file)
	}
	return path, nil
}
