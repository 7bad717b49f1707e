package drivers

import (
	"fmt"
	"strings"
)

// Table is an explicit list of drivers. Two drivers of one name or alias are a
// bug and make Lookup panic.
type Table []Factory

// Aliased is implemented by factories that have other names too.
type Aliased interface {
	Aliases() []string
}

// Lookup returns the factory called name, or that has it as an alias; the error wraps ErrUnknown and lists
// the names there are.
func (t Table) Lookup(name string) (Factory, error) {
	var found Factory
	names := make([]string, 0, len(t))
	seen := make(map[string]bool, len(t))
	for _, f := range t {
		all := []string{f.Name()}
		if a, ok := f.(Aliased); ok {
			all = append(all, a.Aliases()...)
		}
		for _, n := range all {
			if seen[n] {
				panic(fmt.Sprintf("drivers: table has two drivers called %s", n))
			}
			seen[n] = true
			if n == name {
				found = f
			}
		}
		names = append(names, f.Name())
	}
	if found != nil {
		return found, nil
	}
	err := fmt.Errorf("%w %q: there are %s", ErrUnknown, name, strings.Join(names, ", "))
	if len(names) == 0 {
		err = fmt.Errorf("%w %q: there are none", ErrUnknown, name)
	}
	if near := Nearest(name, names); near != "" {
		return nil, &HintError{Err: err, Advice: fmt.Sprintf("did you mean %s?", near)}
	}
	return nil, err
}
