package drivers

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Values are options as a user gave them: option name to the values given on
// the command line or in the environment. What was not given is not in it. Of
// several values of an option that has one, the last counts.
type Values map[string][]string

// Kind is the type of an option's value.
type Kind int

// The kinds of options, by the Go type of the field.
const (
	String   Kind = iota // string
	Int                  // int
	Float                // float64
	Bool                 // bool
	Strings              // []string, may be given several times
	Duration             // time.Duration
)

// String returns the kind as reference documentation calls it.
func (k Kind) String() string {
	switch k {
	case String:
		return "string"
	case Int:
		return "int"
	case Float:
		return "float"
	case Bool:
		return "bool"
	case Strings:
		return "strings"
	case Duration:
		return "duration"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Option is one option of a driver: flag, environment variable, default,
// validation and reference documentation all come from it.
//
// A configuration field becomes an option by its tags:
//
//	Memory int `option:"memory" env:"DOCKER_MEMORY" help:"memory limit in MiB" min:"128"`
//
//	option    name after "<driver>-"; with a leading "=" the whole name
//	env       environment variables, comma-separated, first one wins
//	help      one line, lower case, no period
//	required  "true": must be given
//	oneof     allowed values, comma-separated
//	min, max  bounds of a number or duration
//	alias     further whole names, comma-separated
//
// A field of type Secret is a secret: stored apart and never printed. Every
// field of a configuration is an option.
// The default is the field's value in the struct that def returns. It need not
// be within min and max: outside them it means that nothing was chosen.
type Option struct {
	Name     string
	Aliases  []string
	Env      []string
	Kind     Kind
	Default  string // as a user would type it; for Strings comma-separated; empty for none, which a zero value is
	Help     string
	Required bool
	Secret   bool
	OneOf    []string
	Min, Max string // as a user would type them; empty for none
}

// OptionError is an option that cannot be accepted. It wraps ErrOption and its
// cause. Neither may hold the value of a secret.
type OptionError struct {
	Option string // the whole name, without dashes
	Err    error  // why
	Advice string // what to do; may be empty
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("%v --%s: %v", ErrOption, e.Option, e.Err)
}

// Unwrap returns ErrOption and the cause.
func (e *OptionError) Unwrap() []error { return []error{ErrOption, e.Err} }

// Hint returns the advice.
func (e *OptionError) Hint() string { return e.Advice }

// field is an option together with its place in the configuration.
type field struct {
	Option
	index    int
	key      string // in the configuration's JSON
	min, max float64
}

var (
	optionName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// fieldsOf reads the tags of a configuration that holds the defaults.
func fieldsOf(driver string, def reflect.Value) ([]field, error) {
	if def.Kind() != reflect.Struct {
		return nil, fmt.Errorf("configuration %s is not a struct", def.Type())
	}
	fields := make([]field, 0, def.NumField())
	names := map[string]bool{}
	keys := map[string]bool{}
	for i := range def.NumField() {
		sf := def.Type().Field(i)
		f, err := fieldOf(driver, sf, def.Field(i))
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", sf.Name, err)
		}
		f.index = i
		for _, name := range append([]string{f.Name}, f.Aliases...) {
			if names[name] {
				return nil, fmt.Errorf("field %s: option %s exists twice", sf.Name, name)
			}
			names[name] = true
		}
		if keys[f.key] {
			return nil, fmt.Errorf("field %s: JSON key %s exists twice", sf.Name, f.key)
		}
		keys[f.key] = true
		fields = append(fields, f)
	}
	return fields, nil
}

func fieldOf(driver string, sf reflect.StructField, def reflect.Value) (field, error) {
	tag, ok := sf.Tag.Lookup("option")
	if !ok {
		return field{}, errors.New("has no option tag")
	}
	if !sf.IsExported() {
		return field{}, errors.New("is not exported")
	}
	f := field{key: sf.Name, min: math.Inf(-1), max: math.Inf(1)}
	if key, _, _ := strings.Cut(sf.Tag.Get("json"), ","); key != "" {
		f.key = key
	}
	if whole, ok := strings.CutPrefix(tag, "="); ok {
		f.Name = whole
	} else {
		f.Name = driver + "-" + tag
	}
	f.Aliases = list(sf.Tag.Get("alias"))
	for _, name := range append([]string{f.Name}, f.Aliases...) {
		if !optionName.MatchString(name) {
			return field{}, fmt.Errorf("malformed option name %q", name)
		}
	}
	f.Env = list(sf.Tag.Get("env"))
	for _, name := range f.Env {
		if !envName.MatchString(name) {
			return field{}, fmt.Errorf("malformed environment variable %q", name)
		}
	}
	if f.Help = sf.Tag.Get("help"); f.Help == "" || strings.HasSuffix(f.Help, ".") || strings.Contains(f.Help, "\n") {
		return field{}, fmt.Errorf("help %q is not one line without a period", f.Help)
	}
	if f.Kind, f.Secret, ok = kindOf(sf.Type); !ok {
		return field{}, fmt.Errorf("type %s cannot be an option", sf.Type)
	}
	if !def.IsZero() {
		f.Default = strings.Join(texts(def), ",")
	}
	if f.Secret && f.Default != "" {
		return field{}, errors.New("a secret has no default")
	}
	return f, f.constrain(sf.Tag, def)
}

// constrain reads the tags that limit what may be given.
func (f *field) constrain(tag reflect.StructTag, def reflect.Value) error {
	var err error
	if required, ok := tag.Lookup("required"); ok {
		if f.Required, err = strconv.ParseBool(required); err != nil {
			return fmt.Errorf("required %q is not true or false", required)
		}
	}
	if f.Required && f.Default != "" {
		return errors.New("is required and has a default")
	}
	f.OneOf = list(tag.Get("oneof"))
	if len(f.OneOf) > 0 {
		if f.Secret || f.Kind != String && f.Kind != Strings {
			return fmt.Errorf("oneof does not go with %s", f.Kind)
		}
		for _, s := range texts(def) {
			if s != "" && !slices.Contains(f.OneOf, s) {
				return fmt.Errorf("default %q is none of %s", s, strings.Join(f.OneOf, ", "))
			}
		}
	}
	for _, b := range []struct {
		name  string
		text  *string
		bound *float64
	}{{"min", &f.Min, &f.min}, {"max", &f.Max, &f.max}} {
		text, ok := tag.Lookup(b.name)
		if !ok {
			continue
		}
		v := reflect.New(def.Type()).Elem()
		if !slices.Contains([]Kind{Int, Float, Duration}, f.Kind) {
			return fmt.Errorf("%s does not go with %s", b.name, f.Kind)
		}
		if err := parse(v, f.Kind, text); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		*b.text, *b.bound = text, number(v)
	}
	if f.min > f.max {
		return fmt.Errorf("min %s is more than max %s", f.Min, f.Max)
	}
	return nil
}

func kindOf(t reflect.Type) (kind Kind, secret, ok bool) {
	switch t {
	case reflect.TypeFor[string]():
		return String, false, true
	case reflect.TypeFor[Secret]():
		return String, true, true
	case reflect.TypeFor[int]():
		return Int, false, true
	case reflect.TypeFor[float64]():
		return Float, false, true
	case reflect.TypeFor[bool]():
		return Bool, false, true
	case reflect.TypeFor[[]string]():
		return Strings, false, true
	case reflect.TypeFor[time.Duration]():
		return Duration, false, true
	}
	return 0, false, false
}

// list splits a comma-separated tag.
func list(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, ",")
}
