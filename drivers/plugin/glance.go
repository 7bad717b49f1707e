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

// nobody is a name that no machine has.
const nobody = "nobody.invalid"

// sharing is what is known of a plugin as one that several machines share.
type sharing struct {
	asked    bool  // whether it remembers is known
	remember bool  // it says of a machine what is true of the one before
	crashes  int   // so far
	broken   error // why it is not started again in this command
}

// maxCrashes is how often a plugin may crash before the other machines of a list are not asked about.
const maxCrashes = 3

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
	if err := d.factory.shared.broken; err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, glanceLimit,
		wrong(ErrHung, "Look at the machine alone, with --debug: machine status NAME", "%s, for %v", d.factory.program, glanceLimit))
	defer cancel()
	p, err := d.share(ctx)
	if err != nil {
		return s, d.hush(err)
	}
	defer d.factory.give(ctx, p)
	if s, err = d.look(ctx, p); errors.Is(err, ErrCrashed) {
		if d.factory.shared.crashes++; d.factory.shared.crashes == maxCrashes {
			d.factory.shared.broken = d.hush(err)
		}
	}
	return s, d.hush(err)
}

// share returns a process that has the machine's configuration and nothing of another machine's.
func (d *driver) share(ctx context.Context) (*process, error) {
	f := d.factory
	f.mu.Lock()
	p := f.idle
	if p != nil && p.usable() && p.blank != nil {
		f.idle = nil
	} else {
		p = nil
	}
	f.mu.Unlock()
	if p != nil {
		p.sink.Store(d.sink(ctx))
		clean, err := d.forgets(ctx, p)
		if err == nil && clean {
			clean, err = d.reconfigure(ctx, p, d.config())
		}
		if err == nil && clean {
			p.owner = d.env.Machine
			return p, nil
		}
		p.spend()
		f.give(ctx, p)
		if context.Cause(ctx) != nil {
			return nil, context.Cause(ctx)
		}
	}
	return d.first(ctx)
}

// first starts a process for lists. Before it is told of a machine it is asked about nobody, so that it can be seen
// later whether it has forgotten the machine.
func (d *driver) first(ctx context.Context) (*process, error) {
	f := d.factory
	p, err := f.run(ctx, d.env.Machine, d.env, d.sink(ctx))
	if err != nil {
		f.shared.broken = d.hush(err) // the next one would not start either
		return nil, err
	}
	err = p.ask(ctx, d.limits().Question, &p.blank)
	if err == nil && !f.shared.asked {
		if err = d.configure(ctx, p, p.blank.place(nobody, d.env.Dir).write()); err == nil {
			p.nobody, err = d.answer(ctx, p)
		}
		if err != nil { // it cannot bear to be asked about nobody
			f.shared.asked, f.shared.remember = true, true
		}
		if errors.Is(err, ErrCrashed) {
			f.give(ctx, p)
			return d.first(ctx)
		}
	}
	if err == nil {
		err = d.configure(ctx, p, d.config())
	}
	if err != nil {
		f.give(ctx, p)
		return nil, err
	}
	return p, nil
}

// answer is what the plugin says of the state, its error included.
func (d *driver) answer(ctx context.Context, p *process) (string, error) {
	n := 0
	err := p.call(ctx, d.limits().Question, methodGetState, struct{}{}, &n)
	var remote remoteError
	if err != nil && !errors.As(err, &remote) {
		return "", err
	}
	return fmt.Sprint(n, err), nil
}

// forgets tells whether the plugin says of nobody, now that it knows a machine, what it said before. It is asked once.
func (d *driver) forgets(ctx context.Context, p *process) (bool, error) {
	s := &d.factory.shared
	if s.asked {
		return !s.remember, nil
	}
	clean, err := d.reconfigure(ctx, p, p.blank.place(nobody, d.env.Dir).write())
	if err != nil || !clean {
		return false, err
	}
	now, err := d.answer(ctx, p)
	if err != nil {
		return false, err
	}
	s.asked, s.remember = true, now != p.nobody
	return !s.remember, nil
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
func (d *driver) reconfigure(ctx context.Context, p *process, config []byte) (clean bool, err error) {
	before, err := readObject(p.config)
	if err != nil {
		return false, err
	}
	mine, err := readObject(config)
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
