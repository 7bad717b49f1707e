package drivers

import "errors"

// Source finds drivers by name. A Table is one, and so is a Catalog.
type Source interface {
	// Lookup returns the factory that goes by name; the error wraps ErrUnknown if there is none.
	Lookup(name string) (Factory, error)
}

// Catalog is a table of drivers and a way to find others, such as programs on
// PATH. The table's come first: nothing is looked for if it has the name.
type Catalog struct {
	Table
	Find func(name string) (Factory, error) // the error wraps ErrUnknown if there is none; nil: there are no others
}

// Lookup returns the factory called name.
func (c Catalog) Lookup(name string) (Factory, error) {
	f, err := c.Table.Lookup(name)
	if err == nil || c.Find == nil || !errors.Is(err, ErrUnknown) {
		return f, err
	}
	found, ferr := c.Find(name)
	var hint interface{ Hint() string }
	if errors.Is(ferr, ErrUnknown) && errors.As(err, &hint) && hint.Hint() != "" {
		return nil, &HintError{Err: ferr, Advice: hint.Hint()} // a mistyped name of the table
	}
	return found, ferr
}
