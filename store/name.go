package store

import (
	"fmt"
	"path/filepath"
	"strings"
)

// maxName is what a DNS label may hold: the name becomes a host's.
const maxName = 63

// ValidName returns why name cannot be a machine's (or swarm's) name: it must match
// ^[a-zA-Z0-9][a-zA-Z0-9.-]*$, have at most 63 characters, not end in a dot, have a
// letter or digit after each dot, since it becomes a host name, and not be a device of
// Windows, so that a store can move there. The error wraps ErrName.
func ValidName(name string) error {
	if err := usableName(name); err != nil {
		return err
	}
	switch {
	case len(name) > maxName:
		return fmt.Errorf("%w %q: %d characters, at most %d are allowed", ErrName, name, len(name), maxName)
	case strings.HasSuffix(name, "."):
		return fmt.Errorf("%w %q: it ends in a dot", ErrName, name)
	case strings.Contains(name, ".."):
		return fmt.Errorf("%w %q: two dots follow each other", ErrName, name)
	case strings.Contains(name, ".-"):
		return fmt.Errorf("%w %q: a hyphen follows a dot", ErrName, name)
	case isDevice(name):
		return fmt.Errorf("%w %q: Windows reserves it", ErrName, name)
	}
	return nil
}

// usableName returns why name cannot be a path element of the store. It lets pass
// what docker-machine let pass, so that machines made there can be used and removed.
func usableName(name string) error {
	if name == "" {
		return fmt.Errorf("%w %q: it is empty", ErrName, name)
	}
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case i == 0:
			return fmt.Errorf("%w %q: it must begin with a letter or a digit", ErrName, name)
		case r != '.' && r != '-':
			return fmt.Errorf("%w %q: %q is not allowed, only letters, digits, dots and hyphens", ErrName, name, r)
		}
	}
	if len(name) > 200 { // with what is put around it, it must stay a file name
		return fmt.Errorf("%w %.20q...: %d characters, at most %d are allowed", ErrName, name, len(name), maxName)
	}
	return nil
}

// isDevice tells whether Windows takes name for a device, whatever follows a dot.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ".")
	switch base {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(base) == 4 && (base[:3] == "com" || base[:3] == "lpt") && base[3] >= '0' && base[3] <= '9'
}

// fold maps names that are one on a case-insensitive file system to one.
func fold(name string) string { return strings.ToLower(name) }

// fileName returns why name is not that of a file directly in a folder.
func fileName(name string) error {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name) {
		return fmt.Errorf("%w of a file: %q", ErrName, name)
	}
	return nil
}
