package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// glanceLimit is how long one machine of a list may keep the others waiting.
const glanceLimit = 5 * time.Second

// remembers tells whether a plugin is known to keep what it has found out of a machine beside its configuration, and so
// would say of the next what is true of the one before.
func remembers(driver string) bool { return driver == "kvm" }

// Glance is Status by a process that all machines of a list share, one after another.
func (d *driver) Glance(ctx context.Context) (s drivers.Status, err error) {
	if err := d.known(ctx); err != nil {
		return s, err
	}
	select {
	case d.factory.glances <- struct{}{}:
	case <-ctx.Done():
		return s, context.Cause(ctx)
	}
	defer func() { <-d.factory.glances }()
	ctx, cancel := context.WithTimeoutCause(ctx, glanceLimit,
		wrong(ErrHung, "Look at the machine alone, with --debug: machine status NAME", "%s, for %v", d.factory.program, glanceLimit))
	defer cancel()
	p, err := d.share(ctx)
	if err != nil {
		return s, d.hush(err)
	}
	defer d.factory.give(ctx, p)
	s, err = d.look(ctx, p)
	return s, d.hush(err)
}

// share returns a process that has the machine's configuration and nothing of another machine's.
func (d *driver) share(ctx context.Context) (*process, error) {
	f := d.factory
	f.mu.Lock()
	p := f.idle
	if p != nil && p.usable() && p.blank != nil && !remembers(f.driverName()) {
		f.idle = nil
	} else {
		p = nil
	}
	f.mu.Unlock()
	if p != nil {
		p.sink.Store(d.sink(ctx))
		clean, err := d.reconfigure(ctx, p)
		if err == nil && clean {
			return p, nil
		}
		p.abandon(errEnded)
		f.give(ctx, p)
		if err != nil && context.Cause(ctx) != nil {
			return nil, err
		}
	}
	p, err := f.run(ctx, d.env.Machine, d.env, d.sink(ctx))
	if err != nil {
		return nil, err
	}
	if err := p.ask(ctx, d.limits().Question, &p.blank); err == nil {
		err = d.configure(ctx, p, d.config())
	}
	if err != nil {
		f.give(ctx, p)
		return nil, err
	}
	return p, nil
}

// ask has a plugin tell its configuration.
func (p *process) ask(ctx context.Context, limit time.Duration, into *object) error {
	var raw []byte
	if err := p.call(ctx, limit, methodGetConfigRaw, struct{}{}, &raw); err != nil {
		return fmt.Errorf("ask the plugin for its configuration: %w", err)
	}
	o, err := readObject(raw)
	if err == nil && o == nil {
		err = errors.New("there is none")
	}
	*into = o
	return err
}

// reconfigure gives a plugin that had another machine's configuration this one's. A plugin puts it over the one before,
// so what that had and this has not is set to what it was at first. It tells whether nothing else is left of it.
func (d *driver) reconfigure(ctx context.Context, p *process) (clean bool, err error) {
	before, err := readObject(p.config)
	if err != nil {
		return false, err
	}
	mine, err := readObject(d.config())
	if err != nil {
		return false, err
	}
	whole := object{}
	for key, v := range before {
		whole[key] = zero(v)
	}
	for _, over := range []object{p.blank, mine} {
		for key, v := range over {
			whole[key] = v
		}
	}
	if err := d.configure(ctx, p, whole.write()); err != nil {
		return false, err
	}
	p.owner = d.env.Machine
	var told object
	if err := p.ask(ctx, d.limits().Question, &told); err != nil {
		return false, err
	}
	for key, v := range told {
		want, ok := whole[key]
		if !ok || !sameJSON(v, want) {
			return false, nil
		}
	}
	return true, nil
}

// zero is the value of v's type that says nothing.
func zero(v any) any {
	switch v := v.(type) {
	case string:
		return ""
	case json.Number:
		return json.Number("0")
	case bool:
		return false
	case map[string]any:
		out := map[string]any{}
		for key, v := range v {
			out[key] = zero(v)
		}
		return out
	}
	return nil
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
