package lifecycle

import (
	"errors"
	"fmt"

	"github.com/hostsmith/machine/provision"
)

// ErrRefused: a host cannot be adopted in the way that was asked for.
var ErrRefused = errors.New("host is not adopted")

// adoptionInput is all that a plan depends on.
type adoptionInput struct {
	req     AdoptRequest
	facts   provision.Facts
	found   AdoptedHost
	steps   []provision.Step // by which the engine gets TLS
	planErr error            // why it cannot
}

// adoptionPlan is what will be done.
type adoptionPlan struct {
	steps    []string // in words
	warnings []string
	refused  error            // wraps ErrRefused
	before   []provision.Step // that come before those of create
}

// planAdoption decides; the same input gives the same plan.
func planAdoption(in adoptionInput) (p adoptionPlan) {
	if p.refused = refuseAdoption(in); p.refused != nil {
		return p
	}
	if in.found.Swarm != "" && in.found.SwarmName == "" {
		p.warnings = append(p.warnings, fmt.Sprintf("it is a %s of a swarm that this store does not record: swarm commands do not know it, and rm does not take it out of the swarm", in.found.Swarm))
	}
	if in.req.TLS {
		p.secure(in)
	} else {
		p.steps = []string{
			"record the machine; nothing on the host is changed",
			"docker clients reach the engine through SSH, as " + in.found.User,
		}
		if !in.found.DockerCLI {
			p.warnings = append(p.warnings, "the host has no docker command, which docker clients need there to go through SSH; machine itself does without")
		}
	}
	if in.found.SwarmName != "" {
		p.steps = append(p.steps, fmt.Sprintf("record it as the %s of swarm %s that it is", in.found.Swarm, in.found.SwarmName))
	}
	if in.req.DockerContext {
		p.steps = append(p.steps, "make the docker context "+in.req.Name)
	}
	return p
}

func (p *adoptionPlan) secure(in adoptionInput) {
	running := in.found.Containers != 0 && in.facts.EngineState == "active"
	restarts := len(in.steps) > 0 || in.req.Engine == EngineUpgrade
	if running && restarts && !in.found.LiveOn {
		p.survive(in)
		if p.refused != nil {
			return
		}
	}
	for _, s := range in.steps {
		p.steps = append(p.steps, s.Name)
	}
	if in.req.Engine == EngineUpgrade {
		to := in.req.Version
		if to == "" {
			to = "the newest of its source"
		}
		p.steps = append(p.steps, "upgrade the engine to "+to)
	}
	p.steps = append(p.steps, "record the machine, and verify the engine over TLS")
	if len(p.before) > 0 {
		p.steps = append(p.steps, "switch live-restore off again")
	}
	if in.found.TLS != "" && !in.found.Ours {
		p.warnings = append(p.warnings, fmt.Sprintf("clients with certificates of %s are not let in any more", in.found.Authority))
	}
}

// survive has containers go on while the engine restarts, where that can be.
func (p *adoptionPlan) survive(in adoptionInput) {
	if in.found.Swarm != "" {
		p.warnings = append(p.warnings, "the engine restarts once, and its containers end with it: a node of a swarm cannot keep them; the swarm starts its tasks again")
		return
	}
	steps, err := provision.PlanLiveRestore(in.facts, true)
	if err != nil {
		p.refused = refusal(err)
		return
	}
	p.before = steps
	for _, s := range steps {
		p.steps = append(p.steps, s.Name)
	}
	if len(steps) == 0 && !in.facts.Bridged {
		p.warnings = append(p.warnings, "the engine restarts once; whether its containers go on is the host's own setting of live-restore")
	}
}

func refusal(err error) error { return fmt.Errorf("%w: %w", ErrRefused, err) }

// refuseAdoption returns why the host cannot be adopted.
func refuseAdoption(in adoptionInput) error {
	const install = "repeat with --tls on --engine install"
	switch {
	case in.found.Rootless:
		return withAdvice(refusal(fmt.Errorf("its engine runs without root, as a user's own")), "have an engine run as a service of the host, or use this one with: docker context create, and its ssh:// address")
	case in.found.Engine == "" && in.req.Engine != EngineInstall:
		return withAdvice(refusal(errors.New("it has no Docker Engine")), install)
	case in.req.TLS && !in.found.Root:
		return withAdvice(refusal(fmt.Errorf("%w: %s is not root and may not use sudo without a password", provision.ErrNoRoot, in.found.User)), "log in as another user, allow sudo without a password, or use --tls off, which changes nothing")
	case in.planErr != nil:
		return refusal(in.planErr)
	case in.req.TLS:
		return nil
	case in.facts.EngineState != "active" && !in.found.Asked:
		return withAdvice(refusal(fmt.Errorf("its engine does not run: %s", in.found.State)), "start it there, or use --tls on")
	case !in.found.Socket:
		return withAdvice(refusal(fmt.Errorf("%s may not use the engine's socket", in.found.User)), "log in as root or as a member of the group docker: usermod -aG docker "+in.found.User)
	}
	return nil
}
