package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// ErrElsewhere is the error of a machine of a shared store that only another computer can reach.
var ErrElsewhere = errors.New("the machine lives on another computer")

// computer is what this computer is called where several share a store.
func (m *Manager) computer() string {
	if name := m.Getenv("MACHINE_COMPUTER"); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return name
}

// settle notes where a machine that is to be made will live, if that matters to others.
func (x *machine) settle() {
	if l, ok := x.drv.(drivers.Local); ok && l.Local() && x.m.Store.Shared() {
		x.rec.Computer = x.m.organisation() + "@" + x.m.computer()
	}
}

// here returns why this computer cannot work on a machine that lives on another.
func (x *machine) here() error {
	_, name, ok := strings.Cut(x.rec.Computer, "@")
	if !ok || name == x.m.computer() {
		return nil
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("%w: %s", ErrElsewhere, x.rec.Computer),
		Advice: fmt.Sprintf("Run the command there. If that is this computer under a former name, set MACHINE_COMPUTER=%s; if it is gone for good, machine rm --force %s removes the record.", name, x.rec.Name),
	}
}
