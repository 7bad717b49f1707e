package hypervsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Fault spoils one operation.
type Fault struct {
	Op      string  `json:"op,omitempty"` // such as newMachine; empty: any
	Nth     int     `json:"nth"`          // which of them, from 1
	Mode    string  `json:"mode"`         // one of the modes below
	Refusal Refusal `json:"refusal"`      // what PowerShell says, with Fail
}

// The modes of faults.
const (
	Fail       = "fail"        // refused, nothing done
	Lose       = "lose"        // done, and reported as failed
	DieBefore  = "die-before"  // PowerShell dies, nothing done
	DieAfter   = "die-after"   // PowerShell dies when it is done
	KillBefore = "kill-before" // the process that asked is killed, nothing done
	KillAfter  = "kill-after"  // the process that asked is killed when it is done
)

// FaultsFile is where a folder's faults are, a JSON list. Each is taken out of it when
// it comes.
func FaultsFile(home string) string { return filepath.Join(home, "hypervsim.faults") }

// Inject adds a fault.
func (b *Box) Inject(f Fault) error {
	faults, err := b.faults()
	if err != nil {
		return err
	}
	return b.setFaults(append(faults, f))
}

func (b *Box) faults() ([]Fault, error) {
	text, err := os.ReadFile(FaultsFile(b.cfg.Home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Fault
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read %s: %w", FaultsFile(b.cfg.Home), err)
	}
	return all, nil
}

func (b *Box) setFaults(all []Fault) error {
	if len(all) == 0 {
		err := os.Remove(FaultsFile(b.cfg.Home))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(FaultsFile(b.cfg.Home), text, 0o600)
}

// fault counts an operation and returns the fault that it meets, if one does.
func (b *Box) fault(op string) (*Fault, error) {
	all, err := b.faults()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	for i := range all {
		f := &all[i]
		if f.Op != "" && f.Op != op {
			continue
		}
		if f.Nth--; f.Nth <= 0 {
			met := *f
			return &met, b.setFaults(slices.Delete(all, i, i+1))
		}
	}
	return nil, b.setFaults(all)
}
