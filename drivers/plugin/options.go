package plugin

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hostsmith/machine/drivers"
)

// optionsOf turns what GetCreateFlags answered into options. What is no flag, or one without a name, is left aside.
func optionsOf(flags []any) []drivers.Option {
	var options []drivers.Option
	known := map[string]bool{}
	for _, f := range flags {
		var o drivers.Option
		var env, usage string
		switch f := f.(type) {
		case *StringFlag:
			o = drivers.Option{Name: f.Name, Kind: drivers.String, Default: f.Value, Secret: looksSecret(f.Name)}
			env, usage = f.EnvVar, f.Usage
		case *IntFlag:
			o = drivers.Option{Name: f.Name, Kind: drivers.Int}
			if f.Value != 0 {
				o.Default = strconv.Itoa(f.Value)
			}
			env, usage = f.EnvVar, f.Usage
		case *BoolFlag:
			o = drivers.Option{Name: f.Name, Kind: drivers.Bool}
			env, usage = f.EnvVar, f.Usage
		case *StringSliceFlag:
			o = drivers.Option{Name: f.Name, Kind: drivers.Strings, Default: strings.Join(f.Value, ",")}
			env, usage = f.EnvVar, f.Usage
		}
		if o.Name == "" || known[o.Name] || strings.ContainsAny(o.Name, "= \t\n") {
			continue
		}
		known[o.Name] = true
		if o.Secret && o.Default != "" { // what everybody can read
			o.Secret = false
		}
		for name := range strings.SplitSeq(env, ",") {
			if name = strings.TrimSpace(name); name != "" {
				o.Env = append(o.Env, name)
			}
		}
		if o.Help = strings.TrimSuffix(strings.Join(strings.Fields(usage), " "), "."); o.Help == "" {
			o.Help = "see the driver's documentation"
		}
		options = append(options, o)
	}
	return options
}

var (
	secretName = regexp.MustCompile(`(?i:(token|passw(or)?d|passphrase|secret|(api|auth|access|secret|private|account)-?key|credential)s?$)|-pass$|[a-z]Pass$`)
	notSecret  = regexp.MustCompile(`(?i)(path|file|url|name|id|dir)$`)
)

// looksSecret tells by the name of an option, or of a field of a configuration, whether its value is a secret. A path
// to one is none.
func looksSecret(name string) bool {
	name = strings.ReplaceAll(name, "_", "-")
	return secretName.MatchString(name) && !notSecret.MatchString(name)
}

// configure checks what was given for options and returns it with the defaults of what was not: what is no
// secret as drivers.Values, and the secrets.
func configure(driver string, options []drivers.Option, given drivers.Values) (drivers.Values, map[string]string, error) {
	values, secrets := drivers.Values{}, map[string]string{}
	var errs []error
	var names []string
	for _, o := range options {
		names = append(names, o.Name)
		v := given[o.Name]
		if err := accept(o, v); err != nil {
			errs = append(errs, &drivers.OptionError{Option: o.Name, Err: err})
			continue
		}
		switch {
		case len(v) == 0 && o.Default == "":
		case len(v) == 0 && o.Kind == drivers.Strings:
			values[o.Name] = strings.Split(o.Default, ",")
		case len(v) == 0:
			values[o.Name] = []string{o.Default}
		case o.Secret:
			secrets[o.Name] = v[len(v)-1]
		case o.Kind == drivers.Strings:
			values[o.Name] = slices.Clone(v)
		default:
			values[o.Name] = []string{v[len(v)-1]}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(names, name) {
			continue
		}
		err := &drivers.OptionError{Option: name, Err: fmt.Errorf("driver %s has no such option", driver)}
		if near := drivers.Nearest(name, names); near != "" {
			err.Advice = fmt.Sprintf("did you mean --%s?", near)
		}
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return nil, nil, errs[0]
	}
	return values, secrets, errors.Join(errs...)
}

// accept returns why values cannot be those of an option.
func accept(o drivers.Option, given []string) error {
	for _, v := range given {
		if !utf8.ValidString(v) {
			return errors.New("is not UTF-8 text")
		}
	}
	if len(given) == 0 {
		return nil
	}
	text := given[len(given)-1]
	switch o.Kind {
	case drivers.Int:
		if _, err := strconv.Atoi(text); err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
	case drivers.Bool:
		if _, err := strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
	}
	return nil
}

// flagValues are all options as SetConfigFromFlags takes them: the driver's own, each with a value, and those that
// create has for all drivers.
func flagValues(options []drivers.Option, values drivers.Values, secrets map[string]string, shared map[string]any) map[string]any {
	all := map[string]any{}
	maps.Copy(all, shared)
	for _, o := range options {
		v := values[o.Name]
		text := ""
		if len(v) > 0 {
			text = v[len(v)-1]
		}
		switch o.Kind {
		case drivers.Int:
			n, _ := strconv.Atoi(text) // was accepted
			all[o.Name] = n
		case drivers.Bool:
			b, _ := strconv.ParseBool(text) // was accepted
			all[o.Name] = b
		case drivers.Strings:
			all[o.Name] = append([]string{}, v...)
		default:
			if o.Secret {
				text = secrets[o.Name]
			}
			all[o.Name] = text
		}
	}
	return all
}
