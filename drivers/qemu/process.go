package qemu

import (
	"errors"
	"os"
	"time"
)

// system is this computer's processes.
type system struct{}

func (s system) kill(pid int, uuid string, written time.Time) error {
	p, err := os.FindProcess(pid) // holds the process, so that the pid cannot become another's
	if err != nil {
		return nil
	}
	defer func() { _ = p.Release() }()
	if !s.is(pid, uuid, written) {
		return nil
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
