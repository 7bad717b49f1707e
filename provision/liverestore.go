package provision

import (
	"bytes"
	"encoding/json"
)

// liveRestore is the setting with which containers go on running while the engine restarts. An engine takes it up and lays
// it down without a restart.
const liveRestore = "live-restore"

// PlanLiveRestore returns the steps that have containers survive a restart of the engine, or with on false those that
// take back what an earlier plan of this did. There are none where the host's owner has decided it.
func PlanLiveRestore(f Facts, on bool) ([]Step, error) {
	o, err := parseObject(f.DaemonJSON)
	if err != nil {
		return nil, refuse(ErrConfig, "mend the file; the engine does not start with it either", "%s: %s", daemonJSON, err)
	}
	value, set := o.get(liveRestore)
	_, flagged := flagValues(f.words(), "--"+liveRestore)
	switch {
	case flagged:
		return nil, nil
	case on && set:
		if bytes.Equal(bytes.TrimSpace(value), []byte("false")) {
			return nil, refuse(ErrConfig, "set it to true, or stop the containers first", "%s switches %s off, so a restart of the engine would end its containers", daemonJSON, liveRestore)
		}
		return nil, nil
	case !on && !f.Bridged:
		return nil, nil
	case on:
		return []Step{{
			Name: "have containers go on while the engine restarts (live-restore)", Run: "live_restore on",
			Stdin: o.set(liveRestore, json.RawMessage("true")).render(), Limit: limitFiles,
		}}, nil
	}
	return []Step{{Name: "switch live-restore off again", Run: "live_restore off", Stdin: o.without(liveRestore).render(), Limit: limitFiles}}, nil
}

// DaemonKeys are the settings in a daemon.json, in their order; none if it cannot be read.
func DaemonKeys(file []byte) []string {
	o, err := parseObject(file)
	if err != nil {
		return nil
	}
	var keys []string
	for _, m := range o {
		keys = append(keys, m.key)
	}
	return keys
}
