// Package term is what docker-machine's library needs of a package that newer versions of its module do not have. A
// plugin has no terminal.
package term

// State and Winsize are a terminal's.
type (
	State   struct{}
	Winsize struct{ Height, Width uint16 }
)

// IsTerminal says that there is none.
func IsTerminal(uintptr) bool { return false }

// MakeRaw does nothing.
func MakeRaw(uintptr) (*State, error) { return nil, nil }

// SetRawTerminal does nothing.
func SetRawTerminal(uintptr) (*State, error) { return nil, nil }

// RestoreTerminal does nothing.
func RestoreTerminal(uintptr, *State) error { return nil }

// GetWinsize is that of no terminal.
func GetWinsize(uintptr) (*Winsize, error) { return &Winsize{}, nil }
