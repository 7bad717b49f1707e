package localvm

import (
	"encoding/json"

	"github.com/hostsmith/machine/drivers"
)

// Predecessor is what docker-machine recorded of a machine, whatever its driver.
type Predecessor struct {
	MachineName  string
	StorePath    string
	IPAddress    string // where it was last
	SSHUser      string
	SSHPort      int
	HostOnlyCIDR string // of its driver virtualbox
}

// TakingOver returns f as a drivers.Heir: machines of docker-machine begin with the state that begin makes of their
// record. C is f's configuration.
func TakingOver[C, S any](f drivers.Factory, begin func(Predecessor) S) drivers.Factory {
	return drivers.TakingOverState[C](f, func(record json.RawMessage) (S, error) {
		var p Predecessor
		_ = json.Unmarshal(record, &p) // it is an object; what is of another kind in it is none of ours
		return begin(p), nil
	})
}
