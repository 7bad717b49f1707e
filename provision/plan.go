package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plan decides what to do: the same arguments give the same steps, in order.
// No steps: nothing to do. Errors: ErrUnsupportedOS, ErrNoRoot, ErrDowngrade,
// ErrPortTaken, ErrDiskFull, ErrConfig (daemon.json of the host cannot be merged),
// ErrOption (an engine option is malformed).
func Plan(f Facts, e Engine, t TLS) ([]Step, error) {
	flags, e, err := e.flags()
	if err != nil {
		return nil, err
	}
	if len(t.CA) == 0 || len(t.Cert) == 0 || len(t.Key) == 0 {
		return nil, errTLS
	}
	if f.UID != 0 && !f.Sudo {
		return nil, refuse(ErrNoRoot, rootAdvice, "the login user (uid %d) is not root and may not use sudo without a password", f.UID)
	}
	if f.PortOwner != "" && !strings.HasPrefix(f.PortOwner, "dockerd ") {
		return nil, refuse(ErrPortTaken, fmt.Sprintf("stop that process, or choose another port with --engine-port; port %d is taken", e.port()),
			"%s listens on %d", f.PortOwner, e.port())
	}
	packages, err := planPackages(f, e)
	if err != nil {
		return nil, err
	}
	if len(packages) > 0 && f.FreeVarMiB >= 0 && f.FreeVarMiB < minFreeMiB {
		return nil, refuse(ErrDiskFull, adviceOn(ErrDiskFull), "%d MiB free below /var, the engine needs %d", f.FreeVarMiB, minFreeMiB)
	}
	if f.FreeEtcMiB == 0 {
		return nil, refuse(ErrDiskFull, adviceOn(ErrDiskFull), "less than 1 MiB free below /etc")
	}
	c, err := configure(f, e, flags, len(packages) > 0)
	if err != nil {
		return nil, err
	}
	steps := slices.Concat(packages, planTLS(f, t, c.layout), c.steps(f))
	restart := len(steps) > 0 || f.RestartDue || f.Stale && !e.Gentle || f.PortOwner == "" ||
		f.EngineState != "active" && c.layout.init != "boot2docker"
	if f.Firewall != "" && !e.Gentle {
		steps = append(steps, Step{
			Name:  fmt.Sprintf("open port %d in %s", e.port(), f.Firewall),
			Run:   shellWords("open_port", f.Firewall, fmt.Sprint(e.port())),
			Limit: limitFiles,
		})
	}
	if !f.Enabled && c.layout.init != "boot2docker" {
		steps = append(steps, Step{Name: "start the engine at boot", Run: "enable_engine " + c.layout.init, Limit: limitFiles})
	}
	if restart {
		steps = append(steps, startStep(f, e, c.layout))
	}
	if len(steps) == 0 && f.Bridged { // an adoption was cut off after its restart
		if steps, err = PlanLiveRestore(f, false); err != nil {
			return nil, err
		}
	}
	// What cloud-init failed at is news only on a host that is new to us.
	lax := e.Gentle || f.Record != nil || f.OurOptions != nil
	if len(steps) > 0 && (f.CloudInit == "running" || f.CloudInit == "error" && !lax) {
		steps = append([]Step{cloudInitStep(e, lax)}, steps...)
	}
	for i := range steps {
		steps[i].Limit = e.slow(steps[i].Limit)
	}
	return steps, nil
}

// minFreeMiB is what an engine and its first image need.
const minFreeMiB = 512

// slow is what becomes of a limit on a slow host.
func (e Engine) slow(limit time.Duration) time.Duration {
	return limit * time.Duration(max(e.Slowness, 1))
}

func cloudInitStep(e Engine, lax bool) Step {
	mode := "strict"
	if lax {
		mode = "lax"
	}
	return Step{
		Name:  "wait for cloud-init",
		Run:   fmt.Sprintf("wait_cloud_init %d %s", int(e.slow(limitCloudInit).Seconds()), mode),
		Limit: limitCloudInit + time.Minute,
	}
}

func startStep(f Facts, e Engine, l layout) Step {
	name := "restart the engine"
	if f.EngineState != "active" {
		name = "start the engine"
	}
	return Step{
		Name:   name,
		Unless: fmt.Sprintf("engine_current %s %d", l.init, e.port()),
		Run:    fmt.Sprintf("start_engine %s %d %d", l.init, e.port(), int(e.slow(limitStart).Seconds())),
		Limit:  limitStart + time.Minute,
	}
}

// planTLS writes the TLS files if one of them is not what it should be.
func planTLS(f Facts, t TLS, l layout) []Step {
	files := []struct {
		name string
		data []byte
	}{{"ca.pem", t.CA}, {"server.pem", t.Cert}, {"server-key.pem", t.Key}}
	same := len(f.TLSLoose) == 0
	var all bytes.Buffer
	for _, file := range files {
		data := slices.Concat(bytes.TrimRight(file.data, "\n"), []byte("\n"))
		sum := sha256.Sum256(data)
		same = same && f.TLSHashes[file.name] == hex.EncodeToString(sum[:])
		all.WriteString("== " + file.name + "\n")
		all.Write(data)
	}
	if same {
		return nil
	}
	return []Step{{
		Name:  "write TLS files to " + l.tlsDir,
		Run:   shellWords("write_tls", l.tlsDir),
		Stdin: all.Bytes(),
		Limit: limitFiles,
	}}
}

// steps brings the engine's files to what they should be.
func (c configuration) steps(f Facts) []Step {
	var steps []Step
	if len(c.flagWords) > 0 {
		// An engine that does not start is worse than one that runs without the option.
		steps = append(steps, Step{Name: "check engine options", Run: shellWords(append([]string{"check_flags"}, c.flagWords...)...), Limit: limitFiles})
	}
	if c.jsonNews {
		steps = append(steps, Step{
			Name:  "merge " + strings.Join(c.jsonKeys, ", ") + " into " + daemonJSON,
			Run:   "write_daemon_json",
			Stdin: slices.Concat(c.record, []byte("==\n"), c.json),
			Limit: limitFiles,
		})
	}
	changed := !bytes.Equal(c.options, f.OurOptions) || c.layout.init == "systemd" && f.OurDropIn != "" && f.OurDropIn != c.layout.file
	switch {
	case c.byHost || c.options != nil && changed:
		run := shellWords("write_file", c.layout.file, "600")
		if c.layout.init == "systemd" {
			unit := "as-is"
			if c.listens {
				unit = "with-socket"
			}
			run = shellWords("write_drop_in", c.layout.file, unit)
		}
		steps = append(steps, Step{Name: "write " + c.layout.file, Run: run, Stdin: c.options, Limit: limitFiles})
	case c.options == nil && f.OurDropIn != "":
		steps = append(steps, removeFile(f.OurDropIn))
	default:
		if !c.jsonNews && len(steps) > 0 {
			steps = nil // the options are what they were
		}
	}
	return steps
}

func removeFile(file string) Step {
	return Step{Name: "remove " + file, Run: "restart_due\n" + shellWords("rm", "-f", file), Limit: limitFiles}
}
