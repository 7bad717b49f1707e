package drivers

import (
	"encoding/json"
)

// Values are options as a user gave them: option name to the values given on
// the command line or in the environment. What was not given is not in it.
type Values map[string][]string

// Factory makes drivers of one kind from stored data.
type Factory interface {
	Name() string
	Summary() string   // one line for lists
	Options() []Option // in the order of the configuration's fields

	// Configure turns options into a configuration and the secrets among them,
	// both as JSON. Unknown options and invalid values are errors that wrap
	// ErrOption and name the option. It reads nothing but values.
	Configure(values Values) (config, secrets json.RawMessage, err error)

	// Open returns the driver of a machine from what is stored of it. A nil
	// state is that of a machine that was never created. save is called, in
	// order, with each new state and returns once it is durable.
	Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env Env) (Driver, error)
}

// Durable is a driver's state: the ids that Remove must release. It is loaded
// when the driver is opened; Save makes the present value durable.
type Durable[S any] struct {
	Value S
	save  func(json.RawMessage) error
}

// Save makes d.Value durable before it returns.
func (d *Durable[S]) Save() error { panic("unwritten") }

// Define makes a Factory out of a configuration type C, a state type S and two
// functions. See Option for the struct tags of C. If *C or C has a method
// Validate() error, Configure calls it.
func Define[C, S any](name, summary string, def func() C,
	open func(C, *Durable[S], Env) (Driver, error),
) Factory {
	panic("unwritten")
}

// Table is an explicit list of drivers.
type Table []Factory

// Lookup returns the factory called name; the error wraps ErrUnknown and lists
// the names there are.
func (t Table) Lookup(name string) (Factory, error) { panic("unwritten") }
