package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// keepEvery is how often a plugin is asked what it has recorded while it creates.
//
// Plugins marshal their configuration without a lock against their own create, so an answer may hold a text that is
// half another; the next one, or that after the create, puts it right. A plugin that fills a map just then would crash:
// an answer takes microseconds of these seconds, most have no map, and what it had recorded by then is kept. Without
// asking, whoever is killed in the minutes of a create would leave a host that costs money and that nobody knows of.
// That something was recorded is no reason to stop: keys and networks are, long before the host's id.
const keepEvery = 5 * time.Second

func (d *driver) Check(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	p, err := d.take(ctx)
	if err == nil {
		if err = d.prepare(ctx, p); err == nil {
			d.ready = p // it may have found out what its Create needs
			return nil
		}
		d.factory.give(ctx, p)
	}
	return d.hush(err)
}

// prepare gives a plugin the options of the machine and has it check them.
func (d *driver) prepare(ctx context.Context, p *process) error {
	if err := d.factory.Load(); err != nil {
		return err
	}
	base := object{"IPAddress": "", "SSHUser": "", "SSHPort": 0, "SSHKeyPath": "", "SwarmMaster": false, "SwarmHost": "", "SwarmDiscovery": ""}
	if err := d.configure(ctx, p, base.place(d.env.Machine, d.env.Dir).write()); err != nil {
		return err
	}
	var shared map[string]any
	if d.env.CreateFlags != nil {
		shared = d.env.CreateFlags()
	}
	var flags any = &RPCFlags{Values: flagValues(d.factory.options, d.values, d.secrets, shared)}
	p.config = nil
	if err := p.call(ctx, d.limits().Question, methodSetConfigFromFlags, &flags, &struct{}{}); err != nil {
		var remote remoteError
		if errors.As(err, &remote) {
			return fmt.Errorf("%w: %w", drivers.ErrOption, err)
		}
		return err
	}
	return p.call(ctx, d.limits().Work, methodPreCreateCheck, struct{}{}, &struct{}{})
}

// Create has the plugin make the host. A plugin cannot go on with a create that was interrupted: it is asked what
// became of the host, and if it does not know of one that can be used, what it has recorded is removed before it makes another.
func (d *driver) Create(ctx context.Context, _ drivers.CreateRequest) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(d.raw) > 0 {
		if there, err := d.resume(ctx); err != nil || there {
			return err
		}
	}
	p, err := d.fresh(ctx)
	if err != nil {
		return d.hush(err)
	}
	defer d.factory.give(ctx, p)
	if err := d.keep(ctx, p, begun); err != nil {
		return d.hush(err)
	}
	if err := d.make(ctx, p); err != nil {
		return d.hush(err)
	}
	return d.hush(d.keep(ctx, p, ""))
}

// fresh returns a process that is ready to create the host.
func (d *driver) fresh(ctx context.Context) (*process, error) {
	if p := d.ready; p != nil && p.usable() {
		d.ready = nil
		p.sink.Store(d.sink(ctx))
		return p, nil
	}
	// Not one that has worked for the machine before: what it remembers would be another host's.
	p, err := d.factory.run(ctx, d.env.Machine, d.env, d.sink(ctx))
	if err != nil {
		return nil, err
	}
	if err := d.prepare(ctx, p); err != nil {
		d.factory.give(ctx, p)
		return nil, err
	}
	return p, nil
}

// make has the plugin create the host, and saves meanwhile what it has recorded: whoever is killed then leaves at least
// a record that rm can work by.
func (d *driver) make(ctx context.Context, p *process) error {
	done := make(chan error, 1)
	go func() { done <- p.call(ctx, 0, methodCreate, struct{}{}, &struct{}{}) }()
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return d.made(ctx, p, err)
		case <-ticker.C:
			if err := d.keepPart(ctx, p); err != nil && d.env.Log != nil {
				d.env.Log.DebugContext(ctx, "configuration not saved while the plugin creates", "err", d.hush(err))
			}
		}
	}
}

// made saves what the plugin has recorded, if its create failed: also of one that was interrupted.
func (d *driver) made(ctx context.Context, p *process, err error) error {
	if err == nil {
		return nil
	}
	late, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), d.limits().Close, errEnded)
	defer cancel()
	if kerr := d.keepPart(late, p); kerr != nil && d.env.Log != nil {
		d.env.Log.DebugContext(ctx, "configuration not saved after a failed create", "err", d.hush(kerr))
	}
	return err
}

// keepPart saves what the plugin has recorded of a host that it is making.
func (d *driver) keepPart(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, keepEvery, errNotTold)
	defer cancel()
	var raw []byte
	if err := p.conn.call(ctx, methodGetConfigRaw, struct{}{}, &raw); err != nil {
		return err // also of one that takes its time: it is at work
	}
	told, err := readObject(raw)
	if err != nil {
		return err
	}
	stage := d.stage
	if hidden, _, _ := told.hide(d.fields, d.secrets, d.env.KeepSecrets != nil); string(hidden.write()) != string(d.raw.write()) {
		stage = partial
	}
	return d.record(p, raw, stage)
}

var errNotTold = errors.New("the plugin does not tell its configuration")

// resume tells whether there is a host that an earlier create made, and has it run. If there is none, nothing of it is left.
func (d *driver) resume(ctx context.Context) (there bool, err error) {
	stage := d.stage
	err = d.with(ctx, func(p *process) error {
		state, err := d.state(ctx, p)
		unknown := err != nil || state == drivers.None || state == drivers.Error
		switch {
		case context.Cause(ctx) != nil || err != nil && !p.usable():
			return err
		case !unknown:
			there = true
			return d.settle(ctx, p, state)
		case stage == "" && err != nil && !errors.Is(err, drivers.ErrNotFound):
			return err // it was made, and the provider cannot be asked
		case stage == "" && err == nil: // it was made, and may be only on its way
			return wrong(ErrHostState, "Look at the host at its provider: the same command goes on once it runs or is stopped, and machine rm "+
				d.env.Machine+" releases it.", "%s is %s", d.env.Machine, stateText(state))
		}
		if stage == begun {
			d.env.Note(ctx, fmt.Sprintf("the plugin does not know what became of the create that was interrupted: look for a second %q at the provider", d.env.Machine))
		} else {
			d.env.Note(ctx, "the plugin cannot go on with the host: what is left of it is removed, and it is made anew")
		}
		err = d.release(ctx, p)
		if err != nil && stage == begun && p.usable() && context.Cause(ctx) == nil {
			d.env.Note(ctx, "nothing was removed: "+d.hush(err).Error())
			err = nil
		}
		if err != nil {
			return fmt.Errorf("remove what an interrupted create left: %w", err)
		}
		return d.put(nil, nil, d.secrets, "")
	})
	return there, err
}

// settle has a host that exists run, and ends the create that made it.
func (d *driver) settle(ctx context.Context, p *process, state drivers.State) error {
	switch state {
	case drivers.Stopped, drivers.Saved, drivers.Paused:
		if err := d.act(ctx, p, d.limits().Work, methodStart); err != nil {
			return err
		}
	}
	return d.keep(ctx, p, "")
}

// stateText is a state in words, also the one that docker-machine's lists leave empty.
func stateText(s drivers.State) string {
	if s == drivers.None {
		return "in no state that it knows"
	}
	return "in state " + string(s)
}
