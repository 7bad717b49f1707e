package vboxsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Fault spoils one call.
type Fault struct {
	Call string `json:"call,omitempty"` // subcommand, such as createvm; empty: any
	Nth  int    `json:"nth"`            // which of them, from 1
	Mode string `json:"mode"`           // one of the modes below
	Text string `json:"text,omitempty"` // what VBoxManage says, with Fail
}

// The modes of faults.
const (
	Fail       = "fail"        // refused, nothing done
	Lose       = "lose"        // done, and reported as failed
	KillBefore = "kill-before" // the process that called is killed, nothing done
	KillAfter  = "kill-after"  // the process that called is killed when it is done
)

// FaultsFile is where a home's faults are, a JSON list. Each is taken out of it when
// it comes.
func FaultsFile(home string) string { return filepath.Join(home, "vboxsim.faults") }

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
		return remove(FaultsFile(b.cfg.Home))
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(FaultsFile(b.cfg.Home), text, 0o600)
}

// fault counts a call and returns the fault that it meets, if one does.
func (b *Box) fault(args []string) (*Fault, error) {
	all, err := b.faults()
	if err != nil || len(all) == 0 || len(args) == 0 {
		return nil, err
	}
	for i := range all {
		f := &all[i]
		if f.Call != "" && f.Call != args[0] {
			continue
		}
		if f.Nth--; f.Nth <= 0 {
			met := *f
			return &met, b.setFaults(slices.Delete(all, i, i+1))
		}
	}
	return nil, b.setFaults(all)
}
