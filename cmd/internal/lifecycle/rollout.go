package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostsmith/machine/swarmboot"
)

// SwarmUpgradeRequest asks for another engine version on all machines of a swarm.
type SwarmUpgradeRequest struct {
	Swarm    string // or one of its machines; empty: the only swarm
	Version  string // exact or prefix; empty: the newest of each machine's source, or its pin
	Force    bool   // allow a downgrade
	Parallel int    // workers at once; 0: 1
	DryRun   bool
	Abandon  bool           // give an upgrade up that has not ended: nodes that it drained are activated again
	Backup   *BackupRequest // made before the first node is touched; nil: none
	NoBackup bool           // nobody need be told that there is none
}

// SwarmUpgraded is what became of a swarm's engines.
type SwarmUpgraded struct {
	Swarm    string         `json:"swarm"`
	Nodes    []NodeUpgraded `json:"nodes"`
	Warnings []string       `json:"warnings,omitempty"`
	Backup   *BackupResult  `json:"backup,omitempty"`
	Plan     []Planned      `json:"-"` // of a dry run
}

// NodeUpgraded is what became of one engine.
type NodeUpgraded struct {
	Machine string `json:"machine"`
	Role    string `json:"role"`
	From    string `json:"from"`
	To      string `json:"to"`
}

// SwarmUpgrade brings the engines of a swarm to another version, one node at a time but for workers that may go together: what
// swarmboot.PlanUpgrade says. After each step it looks at all nodes again. The first failure stops it, and the same command
// goes on, also after one that was killed.
func (m *Manager) SwarmUpgrade(ctx context.Context, req SwarmUpgradeRequest) (result SwarmUpgraded, err error) {
	r, err := m.openRolling(ctx, req)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	result.Swarm, result.Nodes = r.cluster.Name, []NodeUpgraded{}
	if req.Abandon {
		result.Plan, err = r.abandon(ctx)
		return result, err
	}
	if err := r.resume(); err != nil {
		return result, err
	}
	u, err := r.survey(ctx)
	if err != nil {
		return result, r.stopped(err)
	}
	steps, err := swarmboot.PlanUpgrade(u)
	if err != nil {
		return result, r.stopped(err)
	}
	result.Warnings = swarmboot.UpgradeWarnings(u)
	if len(steps) > 0 && !req.NoBackup && req.Backup == nil && r.cluster.Operation == nil {
		result.Warnings = append(result.Warnings, "no backup of the swarm is made: --backup FILE makes one first")
	}
	if req.DryRun {
		result.Plan, err = r.planned(ctx, steps, result.Warnings)
		return result, err
	}
	for _, w := range result.Warnings {
		m.Note(ctx, w)
	}
	if len(steps) > 0 || r.cluster.Operation != nil {
		if _, err := r.planBackup(ctx); err != nil {
			return result, err // before anything is begun
		}
		if err := r.begin(); err != nil {
			return result, err
		}
		if err := r.run(ctx); err != nil {
			return result, r.stopped(err)
		}
	}
	result.Nodes, result.Backup = r.result(), r.backedUp
	return result, nil
}

// run does the first step of the plan until there is none.
func (r *rolling) run(ctx context.Context) error {
	if err := r.restoreUpdates(ctx); err != nil {
		return err
	}
	if err := r.resettle(ctx); err != nil {
		return err
	}
	if err := r.backup(ctx); err != nil {
		return err
	}
	for {
		u, err := r.awaitHealthy(ctx, r.m.Wait.Swarm)
		if err != nil {
			return err
		}
		steps, err := swarmboot.PlanUpgrade(u)
		if err != nil {
			return err
		}
		if len(steps) == 0 {
			return r.ended()
		}
		if err := r.step(ctx, steps[0]); err != nil {
			return err
		}
	}
}

// resettle waits for what an earlier command did not see the end of: services have their tasks, but for those of global ones
// where nodes are drained.
func (r *rolling) resettle(ctx context.Context) error {
	if len(r.before) == 0 {
		return nil
	}
	eng, err := r.guided(ctx)
	if err != nil {
		return err
	}
	defer eng.close()
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return err
	}
	var away []string
	for _, n := range members {
		if n.Availability == "drain" {
			away = append(away, n.ID)
		}
	}
	return r.settled(ctx, eng, away...)
}

// ended records the version that all machines have now, also of those that had it, and forgets the operation.
func (r *rolling) ended() error {
	for name := range r.outlooks {
		if err := r.machines[name].pinVersion(r.req.Version); err != nil {
			return nameError(name, 2, err)
		}
	}
	return r.op.end()
}

// step drains nodes one after another, upgrades them at once, and waits until services are as before.
func (r *rolling) step(ctx context.Context, s swarmboot.UpgradeStep) error {
	var all []string
	for _, t := range s {
		all = append(all, t.Name)
	}
	eng, err := r.guided(ctx, all...)
	if err != nil {
		return err
	}
	defer eng.close()
	var names []string // of those that go together in the end
	for i, t := range s {
		if i > 0 && t.Drain {
			if services, err := swarmboot.Workloads(ctx, eng); err != nil {
				return err
			} else if swarmboot.LastHere(services, t.NodeID) {
				break // its turn comes when the others are back
			}
		}
		if t.Drain {
			if err := r.vacate(OnMachine(ctx, t.Name), r.machines[t.Name], eng); err != nil {
				return nameError(t.Name, 2, err)
			}
		}
		names = append(names, t.Name)
	}
	return r.together(ctx, names, eng)
}

// together upgrades nodes that are drained.
func (r *rolling) together(ctx context.Context, names []string, eng *guide) error {
	err := r.m.each(ctx, names, func(ctx context.Context, name string) error {
		x := r.machines[name]
		err := x.advise(r.upgrade(ctx, x, eng))
		return nameError(name, 2, x.fail(err))
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		r.outlooks[name] = outlook{version: r.outlooks[name].version}
	}
	if err := r.settled(ctx, eng); err != nil {
		return err
	}
	clear(r.before)
	return r.saveRunning()
}

// saveRunning makes durable what ran before nodes were drained.
func (r *rolling) saveRunning() error {
	r.op.State.Running = r.before
	return r.op.save()
}

// vacate drains a node; services that have all their tasks there are spread first.
func (r *rolling) vacate(ctx context.Context, x *machine, eng *guide) error {
	if err := r.spread(ctx, x, eng); err != nil {
		return err
	}
	return r.drain(ctx, x, eng)
}

func (r *rolling) upgrade(ctx context.Context, x *machine, eng *guide) error {
	err := r.renew(ctx, x, eng, r.auth, r.refit())
	if err != nil {
		return err
	}
	if err := x.upgraded(ctx, r.from[x.rec.Name], r.req.Version); err != nil {
		return err
	}
	r.m.refreshContext(ctx, x)
	return nil
}

// stopped says how to go on, and how to go back.
func (r *rolling) stopped(err error) error {
	if r.op == nil {
		return err
	}
	name := r.cluster.Name
	var advice []string
	if hint := HintOf(err); hint != "" && ReasonOf(err).ID != "UNKNOWN" {
		advice = append(advice, strings.TrimSuffix(hint, "."))
	}
	advice = append(advice, "go on: machine swarm upgrade "+name)
	var at *MachineError
	if errors.As(err, &at) {
		if old := r.from[at.Machine]; old != "" {
			advice = append(advice, fmt.Sprintf("or back: machine upgrade %s --engine-version %s --force", at.Machine, old))
		}
	}
	advice = append(advice, "give it up and activate what is drained: machine swarm upgrade --abandon "+name)
	return &swarmboot.HintError{Err: err, Advice: strings.Join(advice, "; ")}
}

func (r *rolling) result() []NodeUpgraded {
	var out []NodeUpgraded
	for _, name := range slices.Sorted(maps.Keys(r.machines)) {
		x := r.machines[name]
		out = append(out, NodeUpgraded{Machine: name, Role: x.rec.Swarm.Role, From: r.from[name], To: x.rec.Installed.Engine})
	}
	return out
}

// abandon forgets an upgrade that has not ended. Nodes get back what the journal has; engines stay as they are.
func (r *rolling) abandon(ctx context.Context) (planned []Planned, err error) {
	if r.cluster.Operation == nil && len(r.journal) == 0 {
		return nil, fmt.Errorf("%w: no upgrade of swarm %q is under way", ErrAlready, r.cluster.Name)
	}
	owed := slices.Sorted(maps.Keys(r.journal))
	if r.req.DryRun {
		for _, name := range owed {
			planned = append(planned, Planned{Machine: name, Steps: []string{"set it to " + r.owed(name)}})
		}
		return append(planned, Planned{Machine: "swarm " + r.cluster.Name, Steps: []string{"forget the upgrade; engines stay as they are"}}), nil
	}
	if err := r.resume(); err != nil {
		return nil, err
	}
	eng, err := r.guided(ctx)
	if err != nil {
		return nil, err
	}
	defer eng.close()
	for _, name := range owed {
		err := r.m.Step(OnMachine(ctx, name), "activate the node", func(ctx context.Context) error {
			return swarmboot.SetAvailability(ctx, eng, r.cluster.Members[name].NodeID, r.owed(name))
		})
		if err == nil {
			err = r.owe(name, "")
		}
		if err != nil {
			return nil, nameError(name, 2, err)
		}
	}
	if r.op == nil {
		return nil, nil
	}
	if err := r.restoreUpdates(ctx); err != nil {
		return nil, err
	}
	return nil, r.op.end()
}
