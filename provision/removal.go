package provision

import (
	"slices"
)

// PlanRemoval decides how to undo what provisioning did on a host that stays: our
// drop-in, our TLS files and our keys of daemon.json; the engine stays.
func PlanRemoval(f Facts) ([]Step, error) {
	if f.UID != 0 && !f.Sudo {
		return nil, refuse(ErrNoRoot, rootAdvice, "the login user (uid %d) is not root and may not use sudo without a password", f.UID)
	}
	l, err := layoutOf(f)
	if err != nil {
		return nil, err
	}
	var steps []Step
	if f.Record != nil {
		current, err := parseObject(f.DaemonJSON)
		if err != nil {
			return nil, refuse(ErrConfig, "mend the file on the host, then run the command again", "%s: %s", daemonJSON, err)
		}
		rec := parseRecord(f.Record)
		rest := unmerge(slices.Clone(current), rec)
		var file []byte
		if len(rest) > 0 || !rec.Created && f.DaemonJSON != nil {
			file = rest.render()
		}
		steps = append(steps, Step{
			Name:  "take our settings out of " + daemonJSON,
			Run:   "write_daemon_json",
			Stdin: slices.Concat([]byte("==\n"), file),
			Limit: limitFiles,
		})
	}
	switch {
	case l.init == "openrc":
		if rest := (service{}).openRC(f.OurOptions); len(rest) != len(f.OurOptions) {
			steps = append(steps, Step{Name: "take our options out of " + l.file, Run: shellWords("write_file", l.file, "644"), Stdin: rest, Limit: limitFiles})
			if len(rest) == 0 {
				steps[len(steps)-1] = removeFile(l.file)
			}
		}
	case l.init == "boot2docker":
		if f.OurOptions != nil {
			steps = append(steps, removeFile(l.file))
		}
	case f.OurDropIn != "":
		steps = append(steps, removeFile(f.OurDropIn))
	}
	// TLS files without our record or options are someone else's.
	if len(f.TLSHashes) > 0 && len(steps) > 0 {
		steps = append(steps, Step{
			Name:  "remove TLS files from " + l.tlsDir,
			Run:   "restart_due\n" + shellWords("rm", "-f", l.tlsDir+"/ca.pem", l.tlsDir+"/server.pem", l.tlsDir+"/server-key.pem"),
			Limit: limitFiles,
		})
	}
	if len(steps) > 0 && f.EngineState == "active" {
		steps = append(steps, Step{
			Name:  "restart the engine",
			Run:   "restart_engine " + l.init,
			Limit: limitStart,
		})
	}
	return steps, nil
}
