package drivertest

import (
	"context"
	"encoding/json"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

// flawed is a driver factory with a flaw put into it.
type flawed struct {
	drivers.Factory
	configure func(drivers.Values) (config, secrets json.RawMessage, err error)
	save      func(state json.RawMessage, save func(json.RawMessage) error) error
	env       func(drivers.Env)
	flaw      func(drivers.Driver) drivers.Driver
	forgets   bool
}

func (f flawed) Configure(v drivers.Values) (config, secrets json.RawMessage, err error) {
	if f.configure != nil {
		return f.configure(v)
	}
	return f.Factory.Configure(v)
}

func (f flawed) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env drivers.Env) (drivers.Driver, error) {
	through := save
	if f.save != nil {
		through = func(s json.RawMessage) error { return f.save(s, save) }
	}
	if f.forgets {
		state = nil
	}
	if f.env != nil {
		f.env(env)
	}
	d, err := f.Factory.Open(config, secrets, state, through, env)
	if err != nil || f.flaw == nil {
		return d, err
	}
	return f.flaw(d), nil
}

// altered is a driver with some methods replaced.
type altered struct {
	drivers.Driver
	check  func(context.Context) error
	create func(context.Context, drivers.CreateRequest) error
	status func(context.Context) (drivers.Status, error)
	start  func(context.Context) error
	stop   func(context.Context) error
	remove func(context.Context) error
}

func (a altered) Check(ctx context.Context) error {
	if a.check != nil {
		return a.check(ctx)
	}
	return a.Driver.Check(ctx)
}

func (a altered) Create(ctx context.Context, r drivers.CreateRequest) error {
	if a.create != nil {
		return a.create(ctx, r)
	}
	return a.Driver.Create(ctx, r)
}

func (a altered) Status(ctx context.Context) (drivers.Status, error) {
	if a.status != nil {
		return a.status(ctx)
	}
	return a.Driver.Status(ctx)
}

func (a altered) Start(ctx context.Context) error {
	if a.start != nil {
		return a.start(ctx)
	}
	return a.Driver.Start(ctx)
}

func (a altered) Stop(ctx context.Context) error {
	if a.stop != nil {
		return a.stop(ctx)
	}
	return a.Driver.Stop(ctx)
}

func (a altered) Remove(ctx context.Context) error {
	if a.remove != nil {
		return a.remove(ctx)
	}
	return a.Driver.Remove(ctx)
}

// replace makes a flaw of replaced methods.
func replace(alter func(drivers.Driver) altered) func(*fake.Provider, flawed) flawed {
	return func(_ *fake.Provider, f flawed) flawed {
		f.flaw = func(d drivers.Driver) drivers.Driver { return alter(d) }
		return f
	}
}

// carelessly is a driver's power to find what no record claims, with methods replaced.
type carelessly struct {
	drivers.Orphans
	tagged func(context.Context) ([]drivers.Resource, error)
	claims func(drivers.Resource) bool
}

func (c carelessly) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	if c.tagged != nil {
		return c.tagged(ctx)
	}
	return c.Orphans.Tagged(ctx)
}

func (c carelessly) Claims(r drivers.Resource) bool {
	if c.claims != nil {
		return c.claims(r)
	}
	return c.Orphans.Claims(r)
}

// careless makes a flaw of that.
func careless(spoil func(drivers.Orphans) carelessly) func(*fake.Provider, flawed) flawed {
	return func(_ *fake.Provider, f flawed) flawed {
		f.flaw = func(d drivers.Driver) drivers.Driver {
			return struct {
				drivers.Driver
				drivers.Orphans
			}{d, spoil(d.(drivers.Orphans))}
		}
		return f
	}
}
