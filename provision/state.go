package provision

import (
	"bytes"
	"context"
	"strconv"
	"strings"
)

// EngineState is what a host's init system says of the engine.
type EngineState string

// The states of an engine.
const (
	EngineUnknown  EngineState = "unknown" // the host does not say
	EngineStarting EngineState = "starting"
	EngineRunning  EngineState = "running"
	EngineStopped  EngineState = "stopped" // and nothing is about to start it
	EngineFailed   EngineState = "failed"
)

// stateCommand prints what parseState reads. It needs no rights.
const stateCommand = `systemctl show docker.service -p ActiveState -p SubState -p NRestarts -p Job -p UnitFileState; ` +
	`echo "System=$(systemctl is-system-running)"`

// mostRestarts is how often an engine may be started again before that is no start any more.
const mostRestarts = 3

// StateOf asks the host for the state of its engine.
func StateOf(ctx context.Context, r Runner) EngineState {
	var out bytes.Buffer
	if err := r.Run(ctx, "sh -c "+shellQuote(stateCommand), nil, &out); err != nil {
		return EngineUnknown
	}
	return parseState(out.String())
}

func parseState(text string) EngineState {
	said := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		said[key] = value
	}
	restarts, _ := strconv.Atoi(said["NRestarts"])
	booting := said["System"] == "initializing" || said["System"] == "starting"
	queued := said["Job"] != "" && said["Job"] != "0"
	switch said["ActiveState"] {
	case "active":
		return EngineRunning
	case "failed":
		return EngineFailed
	case "activating", "reloading", "deactivating", "maintenance":
		if restarts >= mostRestarts {
			return EngineStopped // it goes round in circles
		}
		return EngineStarting
	case "inactive":
		if queued || booting && said["UnitFileState"] == "enabled" {
			return EngineStarting
		}
		return EngineStopped
	}
	return EngineUnknown
}
