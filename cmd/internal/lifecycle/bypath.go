package lifecycle

import (
	"fmt"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// byPath tells whether a driver is named by the path of its program.
func byPath(driver string) bool { return strings.ContainsAny(driver, `/\`) }

// chosenElsewhere returns why a driver is not used that a record from elsewhere names, of a file or of a store
// that others write: who wrote it must not choose which program of this computer is run.
func chosenElsewhere(driver string) error {
	if !byPath(driver) {
		return nil
	}
	return fmt.Errorf("%w: %.80q is the path of a program, which only this computer's own records can name", drivers.ErrUnknown, driver)
}

// driver returns the driver of a record, or of a machine that is to get one.
func (m *Manager) driver(name string) (drivers.Factory, error) {
	if m.Store.Shared() {
		if err := chosenElsewhere(name); err != nil {
			return nil, withAdvice(err,
				"in a shared store a driver goes by its name: put the program on PATH as docker-machine-driver-NAME and make machines with -d NAME. A machine whose record has a path can be removed with --force")
		}
	}
	return m.Drivers.Lookup(name)
}
