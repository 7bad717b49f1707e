package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hostsmith/machine/drivers"
)

// Rekey puts other secrets into the machine's configuration. Which of its fields an option fills nobody says of a
// machine that docker-machine made, nor of an option that create was not given: the plugin is asked.
func (d *driver) Rekey(ctx context.Context, given map[string]string) (secrets map[string]string, state []byte, err error) {
	secrets = maps.Clone(d.secrets)
	raw, fields := maps.Clone(d.raw), maps.Clone(d.fields)
	named := slices.Collect(maps.Values(fields))
	var unplaced []string
	for _, option := range slices.Sorted(maps.Keys(given)) {
		if len(raw) > 0 && !slices.Contains(named, option) {
			unplaced = append(unplaced, option)
			continue
		}
		secrets[option] = given[option] // of a machine that was not created it is an option of its create
	}
	if len(unplaced) > 0 {
		places, err := d.places(ctx, unplaced)
		if err != nil {
			return nil, nil, d.hush(fmt.Errorf("ask the plugin where it keeps credentials: %w", err))
		}
		for _, option := range unplaced {
			if len(places[option]) == 0 {
				return nil, nil, fmt.Errorf("%w: the plugin does not keep --%s with its machines", drivers.ErrUnsupported, option)
			}
			for _, field := range places[option] {
				if fields[field] == "" {
					raw[field], fields[field] = "", option
				}
				secrets[fields[field]] = given[option]
			}
		}
	}
	return secrets, raw.stored(fields, d.stage), nil
}

// places returns, by option, the fields of a configuration that hold its value.
func (d *driver) places(ctx context.Context, options []string) (map[string][]string, error) {
	if err := d.factory.Load(); err != nil {
		return nil, err
	}
	p, err := d.factory.run(ctx, d.env.Machine, d.env, d.sink(ctx))
	if err != nil {
		return nil, err
	}
	p.spend() // with options that are nobody's
	defer d.factory.give(ctx, p)
	if err := d.configure(ctx, p, object{}.place(d.env.Machine, d.env.Dir).write()); err != nil {
		return nil, err
	}
	values := d.values
	if values == nil { // of no machine of docker-machine these are known
		if values, _, err = configure(d.factory.name, d.factory.options, nil); err != nil {
			return nil, err
		}
	}
	marks := map[string]string{}
	for i, option := range options {
		marks[option] = fmt.Sprintf("Mark-%d!of-an-option", i)
	}
	var flags any = &RPCFlags{Values: flagValues(d.factory.options, values, marks, nil)}
	refused := p.call(ctx, d.limits().Question, methodSetConfigFromFlags, &flags, &struct{}{})
	var told object
	if err := p.ask(ctx, d.limits().Question, &told); err != nil {
		return nil, err
	}
	places := map[string][]string{}
	for field, v := range told {
		for option, mark := range marks {
			if v == mark {
				places[option] = append(places[option], field)
			}
		}
	}
	if len(places) == 0 && refused != nil { // before it took them; what it refuses besides does not matter here
		return nil, refused
	}
	return places, nil
}
