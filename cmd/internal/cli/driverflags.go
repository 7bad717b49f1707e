package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/ui"
	"github.com/hostsmith/machine/drivers"
)

// driverNames are the name of a driver and the others that it goes by.
func driverNames(f drivers.Factory) []string {
	names := []string{f.Name()}
	if other, ok := f.(drivers.Aliased); ok {
		names = append(names, other.Aliases()...)
	}
	return names
}

// realName is the name of the driver that goes by name; name itself if there is none.
func realName(source drivers.Source, name string) string {
	if f, err := source.Lookup(name); err == nil {
		return f.Name()
	}
	return name
}

// driverCategory is the heading of a driver's options in help.
func driverCategory(driver string) string { return "Driver " + driver }

// rawValue takes the value of a driver's option as it is: its meaning and its errors are the
// driver's. Values are read from the parsed command line, see driverValues.
type rawValue struct {
	option drivers.Option
}

func (r *rawValue) Set(string) error { return nil }
func (r *rawValue) String() string   { return "" }
func (r *rawValue) IsBoolFlag() bool { return r.option.Kind == drivers.Bool }

// optionOf returns the driver's option that a flag stands for.
func optionOf(f cli.Flag) (drivers.Option, bool) {
	if g, ok := f.(*cli.GenericFlag); ok {
		if r, ok := g.Value.(*rawValue); ok {
			return r.option, true
		}
	}
	return drivers.Option{}, false
}

// driverFlags are the options of all drivers. One that several drivers have is listed once.
func driverFlags(table drivers.Table, taken []cli.Flag) []cli.Flag {
	known := map[string]bool{"help": true, "h": true}
	for _, f := range taken {
		for _, n := range f.Names() {
			known[n] = true
		}
	}
	var flags []cli.Flag
	for _, factory := range table {
		for _, o := range factory.Options() {
			if known[o.Name] {
				continue
			}
			f := &cli.GenericFlag{
				Name: o.Name, Category: driverCategory(factory.Name()), Usage: optionUsage(o),
				Value: &rawValue{o},
			}
			known[o.Name] = true
			for _, alias := range o.Aliases {
				if !known[alias] {
					f.Aliases = append(f.Aliases, alias)
					known[alias] = true
				}
			}
			flags = append(flags, f)
		}
	}
	return flags
}

// optionUsage is the help of a driver's option: what it is for, what it may be, what it is by
// default, where else it is read from. What the driver's own words say is not said again.
func optionUsage(o drivers.Option) string {
	var b strings.Builder
	before, instead, _ := strings.Cut(o.Help, " (default: ")
	b.WriteString(before)
	if !names(before, o.OneOf) {
		fmt.Fprintf(&b, ": %s", strings.Join(o.OneOf, ", "))
	}
	if o.Secret {
		b.WriteString("; " + asked + " asks for it")
	}
	if o.Kind == drivers.Strings && !strings.Contains(before, "may be repeated") {
		b.WriteString("; may be repeated")
	}
	if instead != "" {
		b.WriteString(" (default: " + instead)
	}
	switch {
	case o.Required:
		b.WriteString(" (required)")
	case o.Default != "" && !(o.Kind == drivers.Bool && o.Default == "false"):
		fmt.Fprintf(&b, " (default: %s)", o.Default)
	}
	if len(o.Env) > 0 {
		fmt.Fprintf(&b, " [$%s]", strings.Join(o.Env, ", $"))
	}
	return b.String()
}

// names tells whether all of words stand in a text.
func names(text string, words []string) bool {
	said := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,:;()", r) })
	return !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(said, w) })
}

// driverValues returns what the command line and the environment say about the
// options of a driver. An option of another driver is an error: it would be without effect.
func (a *app) driverValues(ctx context.Context, driver string) (drivers.Values, error) {
	factory, err := a.catalog().Lookup(driver)
	if err != nil {
		return nil, err
	}
	values := drivers.Values{}
	mine := map[string]bool{}
	for _, o := range factory.Options() {
		mine[o.Name] = true
		if v := a.given(o.Name, o.Aliases); len(v) > 0 {
			values[o.Name] = v
		} else if v := a.fromEnv(o); v != nil {
			values[o.Name] = v
		}
	}
	if err := a.askSecrets(ctx, factory.Options(), values); err != nil {
		return nil, err
	}
	for _, other := range a.Drivers {
		for _, o := range other.Options() {
			if !mine[o.Name] && len(a.inv.values(a.inv.flags, o.Name)) > 0 {
				return nil, usagef("--%s is an option of driver %s, not of %s", o.Name, other.Name(), factory.Name()).
					hint("give -d %s, or leave the option out", other.Name())
			}
		}
	}
	return values, nil
}

// asked stands for a secret that is no word of the command line: those can be read by others.
const asked = "-"

// askSecrets reads the secrets that values has stand-ins for, in the order of the options.
func (a *app) askSecrets(ctx context.Context, options []drivers.Option, values drivers.Values) error {
	for _, o := range options {
		if v := values[o.Name]; !o.Secret || len(v) == 0 || v[len(v)-1] != asked {
			continue
		}
		secret, err := ui.Secret(ctx, a.Stdin, a.Stderr, "--"+o.Name+": ")
		switch {
		case errors.Is(err, io.EOF) || err == nil && secret == "":
			return usagef("--%s %s: nothing was read", o.Name, asked).hint("type it when asked, or have it as a line of standard input")
		case err != nil:
			return err
		}
		values[o.Name] = []string{secret}
	}
	return nil
}

// given returns the values of an option. The parser keeps them under one name, which is another
// driver's first name if the drivers disagree on which is the alias.
func (a *app) given(name string, aliases []string) []string {
	var values []string
	for _, n := range append([]string{name}, aliases...) {
		values = append(values, a.inv.values(a.inv.flags, n)...)
	}
	return values
}

// fromEnv returns the value of the first environment variable of an option that is set.
func (a *app) fromEnv(o drivers.Option) []string {
	for _, name := range o.Env {
		v := a.Getenv(name)
		if v == "" {
			continue
		}
		if o.Kind == drivers.Strings {
			return splitList(v)
		}
		return []string{v}
	}
	return nil
}
