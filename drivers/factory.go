package drivers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
)

// Factory makes drivers of one kind from stored data.
type Factory interface {
	Name() string
	Summary() string   // one line for lists
	Options() []Option // in the order of the configuration's fields

	// Configure turns options into a configuration and the secrets among them,
	// both as JSON. Unknown options and invalid values are errors that wrap
	// ErrOption and name the option; all of them are reported, not only the
	// first. It reads nothing but values. The configuration holds the defaults
	// of what was not given, so that a machine keeps them when a later version
	// has others. secrets is nil if there are none.
	Configure(values Values) (config, secrets json.RawMessage, err error)

	// Open returns the driver of a machine from what is stored of it. A nil
	// state is that of a machine that was never created. save is called, in
	// order, with each new state and returns once it is durable; it may be nil
	// for callers that only ask. It does not validate: a configuration that
	// Configure would refuse today still opens, or it could not be removed.
	// Fields that it does not know are left aside. Getenv, Log, Step,
	// Note and AtEnd of env may be nil.
	Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env Env) (Driver, error)
}

// Describer is implemented by factories that can turn a configuration back
// into the options that make it. Secrets are not among them. Factories made by
// Define are Describers.
type Describer interface {
	Describe(config json.RawMessage) (Values, error)
}

// Loader is implemented by factories that have to ask for their options. Load does, once, and tells why
// there are none.
type Loader interface {
	Load() error
}

// Merger is implemented by factories whose machines' configuration and state are one object, as docker-machine
// stored them. Merge returns it: what is then the configuration, of a machine without a state.
type Merger interface {
	Merge(config, state json.RawMessage) (json.RawMessage, error)
}

// Durable is a driver's state: the ids that Remove must release. It is loaded
// when the driver is opened; Save makes the present value durable.
type Durable[S any] struct {
	Value S
	save  func(json.RawMessage) error
}

// Save makes d.Value durable before it returns. A driver does not go on
// allocating after an error.
func (d *Durable[S]) Save() error {
	if d.save == nil {
		return errors.New("save driver state: machine was opened for reading only")
	}
	state, err := json.Marshal(d.Value)
	if err != nil {
		return fmt.Errorf("save driver state: %w", err)
	}
	if err := d.save(state); err != nil {
		return fmt.Errorf("save driver state: %w", err)
	}
	return nil
}

// Define makes a Factory out of a configuration type C, a state type S and two
// functions. See Option for the struct tags of C. If *C or C has a method
// Validate() error, Configure calls it once all options are valid by
// themselves; Validate reads nothing but its receiver and names the option it
// refuses by returning an *OptionError.
//
// The configuration is stored as a JSON object by the names of C's fields (or
// their json tags), so these names, like those of S, are for ever.
//
// Aliases are further names that a Table finds the factory by; records hold
// only the name.
//
// A malformed name, tag or default is a bug of the driver and panics.
func Define[C, S any](name, summary string, def func() C,
	open func(C, *Durable[S], Env) (Driver, error), aliases ...string,
) Factory {
	for _, n := range append([]string{name}, aliases...) {
		if !driverName.MatchString(n) {
			panic(fmt.Sprintf("drivers: define %q: a name is lower-case letters and digits, single dashes between", n))
		}
	}
	fields, err := fieldsOf(name, reflect.ValueOf(def()))
	if err != nil {
		panic(fmt.Sprintf("drivers: define %s: %v", name, err))
	}
	return &factory[C, S]{name: name, aliases: aliases, summary: summary, fields: fields, def: def, open: open}
}

var driverName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

type factory[C, S any] struct {
	name    string
	aliases []string
	summary string
	fields  []field
	def     func() C
	open    func(C, *Durable[S], Env) (Driver, error)
}

func (f *factory[C, S]) Name() string    { return f.name }
func (f *factory[C, S]) Summary() string { return f.summary }

// Aliases returns the other names that a Table finds the factory by.
func (f *factory[C, S]) Aliases() []string { return slices.Clone(f.aliases) }

func (f *factory[C, S]) Options() []Option {
	options := make([]Option, len(f.fields))
	for i, d := range f.fields {
		options[i] = d.Option
		options[i].Aliases = slices.Clone(d.Aliases)
		options[i].Env = slices.Clone(d.Env)
		options[i].OneOf = slices.Clone(d.OneOf)
	}
	return options
}

func (f *factory[C, S]) Configure(values Values) (config, secrets json.RawMessage, err error) {
	c := f.def()
	if err := assign(reflect.ValueOf(&c).Elem(), f.name, f.fields, values); err != nil {
		return nil, nil, err
	}
	if err := validate(&c); err != nil {
		return nil, nil, err
	}
	v := reflect.ValueOf(c)
	if config, err = marshalConfig(v, f.fields); err != nil {
		return nil, nil, err
	}
	if secrets, err = marshalSecrets(v, f.fields); err != nil {
		return nil, nil, err
	}
	return config, secrets, nil
}

func (f *factory[C, S]) Describe(config json.RawMessage) (Values, error) {
	c := f.def()
	v := reflect.ValueOf(&c).Elem()
	if err := unmarshalConfig(v, f.fields, config); err != nil {
		return nil, fmt.Errorf("read configuration of driver %s: %w", f.name, err)
	}
	values := Values{}
	for _, d := range f.fields {
		if !d.Secret {
			values[d.Name] = texts(v.Field(d.index))
		}
	}
	return values, nil
}

func (f *factory[C, S]) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env Env) (Driver, error) {
	c := f.def()
	v := reflect.ValueOf(&c).Elem()
	if err := unmarshalConfig(v, f.fields, config); err != nil {
		return nil, fmt.Errorf("read configuration of driver %s: %w", f.name, err)
	}
	if err := unmarshalSecrets(v, f.fields, secrets); err != nil {
		return nil, fmt.Errorf("read secrets of driver %s: %w", f.name, err)
	}
	d := &Durable[S]{save: save}
	if !absent(state) {
		if err := json.Unmarshal(state, &d.Value); err != nil {
			return nil, fmt.Errorf("read state of driver %s: %w", f.name, err)
		}
	}
	return f.open(c, d, env.complete())
}

// complete returns e without nil functions.
func (e Env) complete() Env {
	if e.Getenv == nil {
		e.Getenv = func(string) string { return "" }
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Step == nil {
		e.Step = func(ctx context.Context, _ string, fn func(context.Context) error) error { return fn(ctx) }
	}
	if e.Note == nil {
		e.Note = func(context.Context, string) {}
	}
	if e.AtEnd == nil {
		e.AtEnd = func(func(context.Context)) {}
	}
	return e
}

// validate calls the Validate method of *c or c, if there is one. What it
// returns wraps ErrOption.
func validate(c any) error {
	v, ok := c.(interface{ Validate() error }) // the method set of *C holds that of C
	if !ok {
		return nil
	}
	err := v.Validate()
	if err == nil || errors.Is(err, ErrOption) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOption, err)
}

// absent tells whether a stored part was never written.
func absent(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}
