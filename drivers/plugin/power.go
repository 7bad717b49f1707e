package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hostsmith/machine/drivers"
)

func (d *driver) Start(ctx context.Context) error {
	return d.with(ctx, func(p *process) error {
		state, err := d.state(ctx, p)
		if err != nil {
			return err
		}
		if state == drivers.Running {
			return nil
		}
		return d.act(ctx, p, d.limits().Work, methodStart)
	})
}

func (d *driver) Stop(ctx context.Context) error {
	off := false
	err := d.with(ctx, func(p *process) (err error) {
		if off, err = d.off(ctx, p); err != nil || off {
			return err
		}
		return d.act(ctx, p, d.limits().Work, methodStop)
	})
	if err != nil || off {
		return err
	}
	if off, err = d.waitOff(ctx); err != nil || off {
		return err
	}
	d.env.Note(ctx, fmt.Sprintf("did not stop within %v: killed", d.limits().Stop))
	return d.with(ctx, func(p *process) error { return d.act(ctx, p, d.limits().Work, methodKill) })
}

// Kill stops the host at once.
func (d *driver) Kill(ctx context.Context) error {
	return d.with(ctx, func(p *process) error {
		off, err := d.off(ctx, p)
		if err != nil || off {
			return err
		}
		return d.act(ctx, p, d.limits().Work, methodKill)
	})
}

// Restart restarts the host, or starts it.
func (d *driver) Restart(ctx context.Context) error {
	return d.with(ctx, func(p *process) error {
		off, err := d.off(ctx, p)
		if err != nil {
			return err
		}
		if off {
			return d.act(ctx, p, d.limits().Work, methodStart)
		}
		return d.act(ctx, p, d.limits().Work, methodRestart)
	})
}

// off tells whether the host is stopped.
func (d *driver) off(ctx context.Context, p *process) (bool, error) {
	state, err := d.state(ctx, p)
	return slices.Contains([]drivers.State{drivers.Stopped, drivers.Saved}, state), err
}

// waitOff waits until the host is stopped, for as long as that is given.
func (d *driver) waitOff(ctx context.Context) (off bool, err error) {
	limit := time.NewTimer(d.limits().Stop)
	defer limit.Stop()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
		err = d.with(ctx, func(p *process) error {
			p.spend()
			off, err = d.off(ctx, p)
			return err
		})
		if err != nil || off {
			return off, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, context.Cause(ctx)
		case <-limit.C:
			timer.Stop()
			return false, nil
		case <-timer.C:
		}
	}
}

func (d *driver) Remove(ctx context.Context) error {
	if err := d.known(ctx); err != nil {
		if errors.Is(err, drivers.ErrNotFound) {
			return nil
		}
		return err
	}
	return d.with(ctx, func(p *process) error {
		if err := d.release(ctx, p); err != nil {
			return err
		}
		return d.put(nil, nil, d.secrets, "")
	})
}

// release has the plugin remove the host. If the plugin says that there is none, it is asked again: it may mean something
// else, and a host that is forgotten goes on to cost money.
func (d *driver) release(ctx context.Context, p *process) error {
	err := p.call(ctx, d.limits().Work, methodRemove, struct{}{}, &struct{}{})
	if err == nil || context.Cause(ctx) != nil || !p.usable() {
		return err
	}
	if kerr := d.keep(ctx, p, d.stage); kerr != nil && d.env.Log != nil {
		d.env.Log.DebugContext(ctx, "configuration not saved after a failed removal", "err", d.hush(kerr))
	}
	if absent(err, d.env.Machine) {
		if state, serr := d.state(ctx, p); absent(serr, d.env.Machine) || serr == nil && state == drivers.None {
			return nil
		}
	}
	return err
}
