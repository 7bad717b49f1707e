package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// driver is a machine of a plugin. Its state is the configuration that the plugin told last.
type driver struct {
	factory *factory
	env     drivers.Env
	save    func(json.RawMessage) error

	raw     object            // as the plugin told it last, without secrets; empty: there is no host
	fields  map[string]string // of raw that hold a secret, and what it is called
	secrets map[string]string
	values  drivers.Values // that create was given; nil: docker-machine made the machine
	stage   string         // how far a create came that has not ended

	ready *process // after Check, for Create

	mu sync.Mutex // held while secrets are changed, or read by what a plugin says at any time
}

// sink is where what the plugin says in a call goes.
func (d *driver) sink(ctx context.Context) *sink {
	s := &sink{note: func(line string) { d.env.Note(ctx, d.scrub(line)) }}
	if d.env.Log != nil {
		s.debug = func(line string) { d.env.Log.DebugContext(ctx, "plugin", "said", d.scrub(line)) }
	}
	return s
}

// scrub takes secrets out of what a plugin says.
func (d *driver) scrub(text string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, secret := range d.secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, drivers.Secret("").String())
		}
	}
	return text
}

// hush is scrub for errors.
func (d *driver) hush(err error) error {
	if err == nil || d.scrub(err.Error()) == err.Error() {
		return err
	}
	return &hushed{err, d.scrub(err.Error())}
}

// hushed is an error whose text is another.
type hushed struct {
	err  error
	text string
}

func (e *hushed) Error() string { return e.text }
func (e *hushed) Is(target error) bool {
	return errors.Is(e.err, target)
}

// Hint returns the advice of the error.
func (e *hushed) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.err, &h) {
		return h.Hint()
	}
	return ""
}

// known returns an error unless there is a host that the plugin knows of.
func (d *driver) known(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(d.raw) == 0 {
		return fmt.Errorf("%s: %w: it was not created", d.env.Machine, drivers.ErrNotFound)
	}
	return nil
}

// with calls fn with a process that has the machine's configuration.
func (d *driver) with(ctx context.Context, fn func(p *process) error) error {
	if err := d.known(ctx); err != nil {
		return err
	}
	p, err := d.take(ctx)
	if err != nil {
		return d.hush(err)
	}
	defer d.factory.give(ctx, p)
	if err := d.configure(ctx, p, d.config()); err != nil {
		return d.hush(err)
	}
	return d.hush(fn(p))
}

func (d *driver) take(ctx context.Context) (*process, error) {
	if p := d.ready; p != nil {
		if d.ready = nil; p.usable() {
			p.sink.Store(d.sink(ctx))
			return p, nil
		}
		d.factory.give(ctx, p)
	}
	return d.factory.take(ctx, d.env.Machine, d.env, d.sink(ctx))
}

// config is the configuration that the plugin gets.
func (d *driver) config() []byte {
	return d.raw.reveal(d.fields, d.secrets).place(d.env.Machine, d.env.Dir).write()
}

// configure gives the plugin a configuration, unless it has it.
func (d *driver) configure(ctx context.Context, p *process, config []byte) error {
	if bytes.Equal(p.config, config) {
		return nil
	}
	p.config = nil // an attempt that fails may leave a part of it
	if err := p.call(ctx, d.limits().Question, methodSetConfigRaw, config, &struct{}{}); err != nil {
		return fmt.Errorf("give the plugin its configuration: %w", err)
	}
	p.config = config
	return nil
}

func (d *driver) limits() Limits { return d.factory.finder.limits }

// keep saves what the plugin tells of its configuration, if that has changed.
func (d *driver) keep(ctx context.Context, p *process, stage string) error {
	var raw []byte
	if err := p.call(ctx, d.limits().Question, methodGetConfigRaw, struct{}{}, &raw); err != nil {
		return fmt.Errorf("ask the plugin for its configuration: %w", err)
	}
	return d.record(p, raw, stage)
}

// record saves a configuration that the plugin has told, if it has changed.
func (d *driver) record(p *process, raw []byte, stage string) error {
	told, err := readObject(raw)
	if err != nil {
		return wrong(ErrGarbage, "Try another version of the plugin.", "%s: configuration: %w", p.program, err)
	}
	p.config = told.place(d.env.Machine, d.env.Dir).write()
	hidden, fields, secrets := told.hide(d.fields, d.secrets, d.env.KeepSecrets != nil)
	if bytes.Equal(hidden.write(), d.raw.write()) && stage == d.stage && maps.Equal(secrets, d.secrets) {
		return nil
	}
	return d.put(hidden, fields, secrets, stage)
}

// put saves a configuration: its secrets first, which are nowhere else.
func (d *driver) put(raw object, fields, secrets map[string]string, stage string) error {
	if !maps.Equal(secrets, d.secrets) && d.env.KeepSecrets != nil {
		if err := d.env.KeepSecrets(secrets); err != nil {
			return fmt.Errorf("save secrets of the plugin: %w", err)
		}
	}
	if d.save == nil {
		return errors.New("save driver state: machine was opened for reading only")
	}
	if err := d.save(raw.stored(fields, stage)); err != nil {
		return fmt.Errorf("save driver state: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raw, d.fields, d.secrets, d.stage = raw, fields, secrets, stage
	return nil
}

// act has the plugin do something with the host and saves what it tells then, also after an error.
func (d *driver) act(ctx context.Context, p *process, limit time.Duration, method string) error {
	p.spend()
	err := p.call(ctx, limit, method, struct{}{}, &struct{}{})
	if err != nil && (context.Cause(ctx) != nil || !p.usable()) {
		return err
	}
	if kerr := d.keep(ctx, p, d.stage); err == nil {
		return kerr
	}
	return meaning(err)
}

// state asks for the host's state.
func (d *driver) state(ctx context.Context, p *process) (drivers.State, error) {
	n := 0
	if err := p.call(ctx, d.limits().Question, methodGetState, struct{}{}, &n); err != nil {
		return drivers.None, meaning(err)
	}
	if n == notFound {
		return drivers.None, fmt.Errorf("%s: %w", d.env.Machine, drivers.ErrNotFound)
	}
	if all := states(); n >= 0 && n < len(all) {
		return all[n], nil
	}
	return drivers.None, wrong(ErrGarbage, "Try another version of the plugin.", "%s: state %d", p.program, n)
}
