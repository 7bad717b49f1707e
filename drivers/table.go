package drivers

import (
	"fmt"
	"strings"
)

// Table is an explicit list of drivers. Two drivers of one name are a bug and
// make Lookup panic.
type Table []Factory

// Lookup returns the factory called name; the error wraps ErrUnknown and lists
// the names there are.
func (t Table) Lookup(name string) (Factory, error) {
	var found Factory
	names := make([]string, 0, len(t))
	seen := make(map[string]bool, len(t))
	for _, f := range t {
		if seen[f.Name()] {
			panic(fmt.Sprintf("drivers: table has two drivers called %s", f.Name()))
		}
		seen[f.Name()] = true
		names = append(names, f.Name())
		if f.Name() == name {
			found = f
		}
	}
	if found != nil {
		return found, nil
	}
	err := fmt.Errorf("%w %q: there are %s", ErrUnknown, name, strings.Join(names, ", "))
	if len(names) == 0 {
		err = fmt.Errorf("%w %q: there are none", ErrUnknown, name)
	}
	if near := nearest(name, names); near != "" {
		return nil, &HintError{Err: err, Advice: fmt.Sprintf("did you mean %s?", near)}
	}
	return nil, err
}
