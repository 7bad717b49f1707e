package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

func optionChecks() []check {
	return []check{
		{"options/described", always, optionsDescribed},
		{"options/valid", always, optionsValid},
		{"options/invalid", always, optionsInvalid},
		{"options/secret", always, optionsSecret},
		{"check/good", always, checkGood},
		{"check/refused", ifHas(func(w World) bool { return len(w.Refused) > 0 }, "refused values"), checkRefused},
	}
}

// optionsDescribed demands names that cannot clash and help for everyone.
func optionsDescribed(_ context.Context, p *player) error {
	f := p.world().Factory
	if f.Name() == "" || f.Summary() == "" {
		return errors.New("driver has no name or no summary")
	}
	seen := map[string]bool{}
	for _, o := range f.Options() {
		if o.Name == "" || o.Help == "" {
			return fmt.Errorf("option %q has no name or no help", o.Name)
		}
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			if seen[name] {
				return fmt.Errorf("option %s exists twice", name)
			}
			seen[name] = true
		}
	}
	return nil
}

// optionsValid demands that a configuration can be told back and is then the same.
func optionsValid(_ context.Context, p *player) error {
	w := p.world()
	config, _, err := w.Factory.Configure(w.Values)
	if err != nil {
		return err
	}
	again, _, err := w.Factory.Configure(w.Values)
	if err != nil {
		return err
	}
	if !bytes.Equal(config, again) {
		return fmt.Errorf("the same options made %s and %s", config, again)
	}
	if diff := drivers.Diff(w.Factory, config, again); diff != nil {
		return fmt.Errorf("a configuration differs from itself: %q", diff)
	}
	return nil
}

// optionsInvalid demands that what cannot be right is refused by name.
func optionsInvalid(_ context.Context, p *player) error {
	w := p.world()
	bad := map[string][]string{"no-such-option": {"x"}}
	maps.Copy(bad, w.Bad)
	for _, o := range w.Factory.Options() {
		switch o.Kind {
		case drivers.Int, drivers.Float, drivers.Bool, drivers.Duration:
			bad[o.Name] = []string{"not-a-value"}
		}
		if o.Required {
			bad[o.Name] = nil
		}
		if len(o.OneOf) > 0 {
			bad[o.Name] = []string{"none-of-these"}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		values := w.values()
		values[name] = bad[name]
		_, _, err := w.Factory.Configure(values)
		if !errors.Is(err, drivers.ErrOption) {
			return fmt.Errorf("option %s=%q: got %w, want ErrOption", name, bad[name], asError(err))
		}
		if !strings.Contains(err.Error(), "--"+name) {
			return fmt.Errorf("option %s=%q: error %q does not name it", name, bad[name], err)
		}
	}
	return nil
}

// optionsSecret demands that a secret is in no part but its own.
func optionsSecret(_ context.Context, p *player) error {
	w := p.world()
	for _, o := range w.Factory.Options() {
		if !o.Secret {
			continue
		}
		const secret = "drivertest-secret-value"
		values := w.values()
		values[o.Name] = []string{secret}
		config, secrets, err := w.Factory.Configure(values)
		switch {
		case err != nil && strings.Contains(err.Error(), secret):
			return fmt.Errorf("the error about option %s holds its value", o.Name)
		case err != nil:
			continue // such a secret cannot be right; the harness's own is checked with every act
		case bytes.Contains(config, []byte(secret)):
			return fmt.Errorf("the configuration holds the value of option %s", o.Name)
		case !bytes.Contains(secrets, []byte(secret)):
			return fmt.Errorf("the secrets do not hold the value of option %s", o.Name)
		}
	}
	return nil
}

// checkGood demands that Check accepts what is right and changes nothing.
func checkGood(ctx context.Context, p *player) error {
	m, err := p.one()
	if err != nil {
		return err
	}
	before, err := m.world.resources(ctx)
	if err != nil {
		return err
	}
	if err := m.check(ctx); err != nil {
		return err
	}
	if m.saves != 0 {
		return errors.New("check saved a state")
	}
	return m.world.still(ctx, before)
}

// checkRefused demands that Check finds what would make Create fail.
func checkRefused(ctx context.Context, p *player) error {
	said := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(p.world().Refused)) {
		w := p.world()
		values := w.values()
		maps.Copy(values, w.Refused[name])
		w.Values = values
		m, err := p.machine(w, "suite-a")
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err = m.check(ctx); err == nil {
			return fmt.Errorf("%s: check accepts it", name)
		}
		if other, ok := said[err.Error()]; ok {
			return fmt.Errorf("%s and %s: both say %q", name, other, err)
		}
		said[err.Error()] = name
	}
	return nil
}

// asError makes a missing error visible in a message.
func asError(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
