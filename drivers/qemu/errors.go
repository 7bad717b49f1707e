package qemu

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// saidError is a program that ended with a failure.
type saidError struct {
	what string // such as "start QEMU"
	text string // its own words
	kind error  // what it means; may be nil
}

func (e *saidError) Error() string { return e.what + ": " + e.text }
func (e *saidError) Unwrap() error { return e.kind }

// said is the error of a program that printed output.
func said(what, output string) error {
	e := &saidError{what: what, text: words(output)}
	if e.text == "" {
		e.text = "it ended and said nothing"
	}
	kind, advice := meaning(output)
	e.kind = kind
	if advice != "" {
		return &drivers.HintError{Err: e, Advice: advice}
	}
	return e
}

// words is what a program said without what only its author wants to know: its
// name before each line, and warnings as long as there is something worse.
func words(output string) string {
	var worse, warnings []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if name, rest, ok := strings.Cut(line, ": "); ok && (strings.HasPrefix(name, "qemu") || strings.Contains(name, "/qemu")) {
			line = rest
		}
		line = strings.TrimPrefix(line, "error: ")
		switch {
		case line == "", strings.Contains(line, ": Assertion `"): // what comes before says it better
		case strings.HasPrefix(line, "warning:"), strings.HasPrefix(line, "info:"):
			warnings = append(warnings, line)
		default:
			worse = append(worse, line)
		}
	}
	if len(worse) == 0 {
		worse = warnings
	}
	const enough = 6
	if len(worse) > enough {
		worse = worse[:enough]
	}
	return strings.Join(worse, "; ")
}

// meaning says what QEMU's words mean to callers, and what to do about it.
func meaning(output string) (kind error, advice string) {
	has := func(phrases ...string) bool {
		for _, p := range phrases {
			if strings.Contains(output, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("Could not set up host forwarding rule"):
		return drivers.ErrConflict, "another program listens at this port: choose another one with --qemu-publish"
	case has(`Failed to get "write" lock`, `Failed to get shared "write" lock`, "Cannot lock pid file", "Cannot create PID file"):
		return drivers.ErrInUse, "another QEMU has the machine's disk: end it, or see who started it with ps"
	case has("Could not access KVM kernel module: Permission denied"):
		return drivers.ErrPermission, "allow yourself to use it: sudo usermod -aG kvm $USER, then log in again; or --qemu-accel tcg, which is slow"
	case has("Could not access KVM kernel module", "failed to initialize kvm", "No accelerator found", "invalid accelerator", "HV_DENIED", "HV_UNSUPPORTED", "WHPX: No accelerator found", "failed to initialize hvf", "failed to initialize whpx"):
		return drivers.ErrUnsupported, "switch virtualization on in this computer's firmware setup, or at the host if this is a virtual machine; or --qemu-accel tcg, which is slow"
	case has("Cannot allocate memory", "cannot set up guest memory"):
		return drivers.ErrCapacity, "give less with --qemu-memory, or stop other machines"
	case has("No space left on device", "There is not enough space on the disk"):
		return drivers.ErrCapacity, "free space on the disk that holds the machines' folder"
	case has("Could not open backing file", "Could not open backing image"):
		return drivers.ErrNotFound, "the image that the machine's disk is based on is gone: get it back with machine image pull, or remove the machine"
	case has("access denied by acl file", "failed to parse default acl file", "bridge helper failed"):
		return drivers.ErrPermission, "an administrator allows a bridge by the line 'allow BRIDGE' in /etc/qemu/bridge.conf, and qemu-bridge-helper must be setuid root"
	case has("could not configure /dev/net/tun", "could not open /dev/net/tun"):
		return drivers.ErrPermission, "an administrator makes the interface for you: sudo ip tuntap add dev NAME mode tap user $USER && sudo ip link set NAME up"
	case has("cannot create vmnet interface"):
		return drivers.ErrPermission, "macOS lets only root use vmnet: use --qemu-network user"
	case has("is not compiled into this binary", "expects a netdev backend type"):
		return drivers.ErrUnsupported, "this QEMU was built without a kind of network that the machine needs, as RHEL's is without libslirp: install another build and name it with --qemu-binary"
	case has("unsupported machine type", "unable to find CPU model", "is not a valid device model name", "Invalid parameter", "invalid option", "Invalid CPU", "exceeds max CPUs"):
		return drivers.ErrOption, "see --qemu-machine, --qemu-cpu, --qemu-cpu-count and --qemu-extra-arg, and what this QEMU knows: -machine help, -cpu help"
	}
	return nil, ""
}

// text returns what a program said, if err is from it.
func text(err error) string {
	var e *saidError
	if errors.As(err, &e) {
		return e.text
	}
	return ""
}

// absent says that the machine is not there (any more).
func (d *driver) absent(what string) error {
	why := "it was never made"
	if d.state.Value.UUID != "" {
		why = "its disk is gone"
	}
	return fmt.Errorf("%s machine %s: %s: %w", what, d.env.Machine, why, drivers.ErrNotFound)
}
