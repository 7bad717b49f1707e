package drivers

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var errNotText = errors.New("is not UTF-8 text")

// assign sets the fields of c, which holds the defaults, from values. The
// error joins an *OptionError for each option that cannot be accepted.
func assign(c reflect.Value, driver string, fields []field, values Values) error {
	var errs []error
	known := map[string]bool{}
	for _, f := range fields {
		names := append([]string{f.Name}, f.Aliases...)
		for _, name := range names {
			known[name] = true
		}
		given, err := f.given(names, values)
		if err == nil {
			err = f.set(c.Field(f.index), given)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if known[name] {
			continue
		}
		err := &OptionError{Option: name, Err: fmt.Errorf("driver %s has no such option", driver)}
		if near := Nearest(name, slices.Collect(maps.Keys(known))); near != "" {
			err.Advice = fmt.Sprintf("did you mean --%s?", near)
		}
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// given returns what was given for f under any of its names.
func (f field) given(names []string, values Values) ([]string, error) {
	var given []string
	var by string
	for _, name := range names {
		if len(values[name]) == 0 {
			continue
		}
		if by != "" {
			return nil, &OptionError{Option: by, Err: fmt.Errorf("is the same as --%s, and both are given", name)}
		}
		given, by = values[name], name
	}
	return given, nil
}

// set sets v to what was given.
func (f field) set(v reflect.Value, given []string) error {
	if len(given) == 0 || f.Kind == String && given[len(given)-1] == "" {
		if f.Required {
			return &OptionError{Option: f.Name, Err: errors.New("must be given"), Advice: f.howToGive()}
		}
	}
	if len(given) == 0 {
		return nil
	}
	if f.Kind == Strings {
		for _, s := range given {
			if !utf8.ValidString(s) {
				return &OptionError{Option: f.Name, Err: errNotText}
			}
			if err := f.allow(s); err != nil {
				return err
			}
		}
		v.Set(reflect.ValueOf(slices.Clone(given)))
		return nil
	}
	text := given[len(given)-1]
	if err := parse(v, f.Kind, text); err != nil {
		return &OptionError{Option: f.Name, Err: err}
	}
	switch f.Kind {
	case String:
		return f.allow(text)
	case Int, Float, Duration:
		if n := number(v); n < f.min {
			return &OptionError{Option: f.Name, Err: fmt.Errorf("%s is less than %s", text, f.Min)}
		} else if n > f.max {
			return &OptionError{Option: f.Name, Err: fmt.Errorf("%s is more than %s", text, f.Max)}
		}
	}
	return nil
}

// allow checks s against the allowed values.
func (f field) allow(s string) error {
	if len(f.OneOf) == 0 || slices.Contains(f.OneOf, s) {
		return nil
	}
	err := &OptionError{Option: f.Name, Err: fmt.Errorf("%q is none of %s", s, strings.Join(f.OneOf, ", "))}
	if near := Nearest(s, f.OneOf); near != "" {
		err.Advice = fmt.Sprintf("did you mean %s?", near)
	}
	return err
}

func (f field) howToGive() string {
	if len(f.Env) == 0 {
		return "give --" + f.Name
	}
	return fmt.Sprintf("give --%s or set %s", f.Name, f.Env[0])
}

// parse sets v from the text of one value. Its error never holds the text of a
// string, which may be a secret.
func parse(v reflect.Value, kind Kind, text string) error {
	switch kind {
	case String:
		if !utf8.ValidString(text) {
			return errNotText // JSON could not hold it
		}
		v.SetString(text)
	case Int:
		n, err := strconv.Atoi(text)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s is out of range", text)
		} else if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case Float:
		n, err := strconv.ParseFloat(text, 64)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s is out of range", text)
		} else if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	case Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
		v.SetBool(b)
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 30s or 5m", text)
		}
		v.SetInt(int64(d))
	default:
		return fmt.Errorf("%s is not a single value", kind)
	}
	return nil
}

// number returns the value of a number or duration.
func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

// texts returns the value of a field as a user would type it.
func texts(v reflect.Value) []string {
	switch x := v.Interface().(type) {
	case []string:
		return slices.Clone(x)
	case Secret:
		return []string{x.Reveal()}
	case time.Duration:
		return []string{x.String()}
	case float64:
		return []string{strconv.FormatFloat(x, 'g', -1, 64)}
	default:
		return []string{fmt.Sprint(x)}
	}
}
