package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hostsmith/machine/drivers"
)

// factory makes the drivers of one plugin.
type factory struct {
	finder  *Finder
	name    string
	program string

	asking  sync.Mutex // held while options are asked for
	options []drivers.Option
	loaded  bool
	loadErr error

	mu      sync.Mutex
	running map[*process]bool
	idle    *process // not in use
	toEnd   bool     // the command will have close called

	glances chan struct{} // taken by who has the process that lists share
	shared  sharing       // of who has that
}

func newFactory(f *Finder, name, program string) *factory {
	return &factory{finder: f, name: name, program: program, running: map[*process]bool{}, glances: make(chan struct{}, 1)}
}

func (f *factory) Name() string { return f.name }

// Summary names the program.
func (f *factory) Summary() string { return "machines of the plugin " + f.program }

// Load asks the plugin for its options, once.
func (f *factory) Load() error {
	f.asking.Lock()
	defer f.asking.Unlock()
	if f.loaded {
		return f.loadErr
	}
	f.options, f.loadErr = f.askOptions(f.finder.ctx)
	f.loaded = true
	return f.loadErr
}

// Options are none if the plugin does not tell them: Load says why.
func (f *factory) Options() []drivers.Option {
	_ = f.Load()
	return f.options
}

func (f *factory) askOptions(ctx context.Context) ([]drivers.Option, error) {
	registerTypes()
	p, err := start(ctx, f.program, f.driverName(), f.finder.environ, f.finder.limits, &sink{})
	if err == nil {
		defer p.close(ctx)
		var flags []any
		if err = p.call(ctx, f.finder.limits.Question, methodGetCreateFlags, struct{}{}, &flags); err == nil {
			return optionsOf(flags), nil
		}
	}
	return nil, fmt.Errorf("ask driver %s for its options: %w", f.name, err)
}

// driverName is what the driver calls itself, if it was given by the path of its program.
func (f *factory) driverName() string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f.name), ProgramPrefix), ".exe")
}

func (f *factory) Configure(values drivers.Values) (config, secrets json.RawMessage, err error) {
	if err := f.Load(); err != nil {
		return nil, nil, err
	}
	given, hidden, err := configure(f.name, f.options, values)
	if err != nil {
		return nil, nil, err
	}
	if len(hidden) > 0 {
		if secrets, err = json.Marshal(hidden); err != nil {
			return nil, nil, err
		}
	}
	config, err = json.Marshal(map[string]any{optionsKey: given})
	return config, secrets, err
}

// Describe returns the options that create was given.
func (f *factory) Describe(config json.RawMessage) (drivers.Values, error) {
	var c struct {
		Options *drivers.Values `json:"machine:options"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("read configuration of driver %s: %w", f.name, err)
	}
	if c.Options == nil {
		return nil, fmt.Errorf("%w: the options of machines that docker-machine made are not known", drivers.ErrUnsupported)
	}
	return *c.Options, nil
}

// Merge returns what docker-machine stored: the configuration that the plugin told last, in one object with what is ours.
func (f *factory) Merge(config, state json.RawMessage) (json.RawMessage, error) {
	c, err := readObject(config)
	if err != nil {
		return nil, err
	}
	s, err := readObject(state)
	if err != nil {
		return nil, err
	}
	merged := maps.Clone(s)
	if merged == nil {
		merged = object{}
	}
	if options, ok := c[optionsKey]; ok {
		merged[optionsKey] = options
	}
	return merged.write(), nil
}

// Inherit takes the secrets out of what docker-machine stored.
func (f *factory) Inherit(config json.RawMessage) (h drivers.Heritage, ok bool, err error) {
	o, err := readObject(config)
	if err != nil {
		return h, false, fmt.Errorf("read configuration of driver %s: %w", f.name, err)
	}
	own, raw := o.own()
	if len(own) > 0 || len(raw) == 0 {
		return h, false, nil
	}
	hidden, fields, secrets := raw.hide(nil, nil, true)
	if len(secrets) == 0 {
		return h, false, nil
	}
	hidden[secretsKey] = fields
	h.Config = hidden.write()
	h.Secrets, err = json.Marshal(secrets)
	return h, err == nil, err
}

func (f *factory) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env drivers.Env) (drivers.Driver, error) {
	d := &driver{factory: f, save: save, env: complete(env)}
	c, err := readObject(config)
	if err != nil {
		return nil, fmt.Errorf("read configuration of driver %s: %w", f.name, err)
	}
	s, err := readObject(state)
	if err != nil {
		return nil, fmt.Errorf("read state of driver %s: %w", f.name, err)
	}
	if s == nil {
		s = c
	}
	if len(secrets) > 0 {
		if json.Unmarshal(secrets, &d.secrets) != nil { // its error may hold a part of them
			return nil, fmt.Errorf("read secrets of driver %s: not a JSON object of strings", f.name)
		}
	}
	if d.secrets == nil {
		d.secrets = map[string]string{}
	}
	var own object
	own, d.raw = s.own()
	d.fields = stringMap(own[secretsKey])
	d.stage, _ = own[createKey].(string)
	if d.values, err = f.Describe(config); err != nil {
		d.values = nil // made by docker-machine
	}
	return d, nil
}

// complete returns env without nil functions.
func complete(env drivers.Env) drivers.Env {
	if env.Note == nil {
		env.Note = func(context.Context, string) {}
	}
	if env.AtEnd == nil {
		env.AtEnd = func(func(context.Context)) {}
	}
	return env
}

// take returns a process that has worked for nobody but machine, and says what it says to s.
func (f *factory) take(ctx context.Context, machine string, env drivers.Env, s *sink) (*process, error) {
	f.mu.Lock()
	if p := f.idle; p != nil && p.owner == machine && p.blank == nil && p.usable() {
		f.idle = nil
		f.mu.Unlock()
		p.sink.Store(s)
		return p, nil
	}
	f.mu.Unlock()
	return f.run(ctx, machine, env, s)
}

// run starts a process.
func (f *factory) run(ctx context.Context, machine string, env drivers.Env, s *sink) (*process, error) {
	registerTypes()
	f.mu.Lock()
	if !f.toEnd {
		f.toEnd = true
		env.AtEnd(f.close)
	}
	f.mu.Unlock()
	p, err := start(ctx, f.program, f.driverName(), f.finder.environ, f.finder.limits, s)
	if err != nil {
		return nil, err
	}
	p.owner = machine
	f.mu.Lock()
	f.running[p] = true
	f.mu.Unlock()
	return p, nil
}

// give takes a process back. One is kept for who may need it next.
func (f *factory) give(ctx context.Context, p *process) {
	f.mu.Lock()
	old := f.idle
	if p.reusable() {
		f.idle = p
	} else {
		old = p
	}
	if old != nil {
		delete(f.running, old)
	}
	f.mu.Unlock()
	if old != nil {
		old.close(ctx)
	}
}

// close ends all processes, when the command does.
func (f *factory) close(ctx context.Context) {
	f.mu.Lock()
	all := f.running
	f.running, f.idle, f.toEnd = map[*process]bool{}, nil, false
	f.mu.Unlock()
	var wg sync.WaitGroup
	for p := range all {
		wg.Go(func() { p.close(ctx) })
	}
	wg.Wait()
}
