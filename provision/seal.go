package provision

import (
	_ "embed" // the script
	"slices"
	"strings"
)

//go:embed sh/seal.sh
var sealScript string

// PlanSeal decides how to make of a provisioned host one whose disk others can be made
// of: our settings, certificates and keys go, and so does all by which a host is itself.
// The host shuts down a moment after the last step. Steps that were done can be done again
// after the host has booted, which gives it keys from its seed anew. slowness is as in Engine.
func PlanSeal(f Facts, slowness int) ([]Step, error) {
	steps, err := PlanRemoval(f)
	if err != nil {
		return nil, err
	}
	steps = slices.DeleteFunc(steps, func(s Step) bool { return strings.HasPrefix(s.Run, "restart_engine ") })
	l, err := layoutOf(f)
	if err != nil {
		return nil, err
	}
	if f.Dockerd != "" {
		stop := Step{Name: "stop the engine", Run: "stop_engine " + l.init, Limit: limitStart}
		steps = slices.Insert(steps, 0, stop)
	}
	steps = append(steps, Step{Name: "take out what is this host's own", Run: sealScript, Limit: limitStart})
	for i := range steps {
		steps[i].Limit = Engine{Slowness: slowness}.slow(steps[i].Limit)
	}
	return steps, nil
}
