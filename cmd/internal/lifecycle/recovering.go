package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// run does what is left of the plan.
func (r *recovering) run(ctx context.Context) error {
	p := r.op.State.Plan
	if err := r.force(OnMachine(ctx, p.Via)); err != nil {
		return fmt.Errorf("recover swarm %q: %s: %w", r.cluster.Name, p.Via, err)
	}
	if err := r.remember(ctx); err != nil {
		return fmt.Errorf("recover swarm %q: %w", r.cluster.Name, err)
	}
	for _, each := range []struct {
		names []string
		do    func(context.Context, string) error
	}{
		{p.Remove, r.remove}, {p.Await, r.await}, {p.Return, r.rejoin}, {p.Rejoin, r.rejoin},
	} {
		for _, name := range each.names {
			if slices.Contains(r.op.State.Done, name) {
				continue
			}
			if err := each.do(OnMachine(ctx, name), name); err != nil {
				return fmt.Errorf("recover swarm %q: %s: %w", r.cluster.Name, name, err)
			}
			r.op.State.Done = append(r.op.State.Done, name)
			if err := r.op.save(); err != nil {
				return err
			}
		}
	}
	if err := r.sweep(ctx); err != nil {
		return fmt.Errorf("recover swarm %q: %w", r.cluster.Name, err)
	}
	r.advise(ctx)
	return r.end(ctx)
}

// interrupted is the work that the loss of the quorum interrupted, which nothing but a recovery can go on from; nil: none.
// The record that is at hand is then without it. A restore is no such work: it makes the swarm anew.
func (r *recovering) interrupted() (*store.Operation, error) {
	op := r.cluster.Operation
	switch {
	case op == nil:
		return nil, nil //nolint:nilnil // there is none
	case op.Kind == recoverOperation:
		begun, err := pending[recovery](*r.cluster, recoverOperation)
		if err != nil {
			return nil, err
		}
		return begun.Before, nil
	case op.Kind != upgradeOperation && op.Kind != rotateCAOperation:
		return nil, operationError(*r.cluster)
	}
	r.cluster.Operation = nil
	return op, nil
}

// rotations is what the swarm shall count: a rotation that was under way goes on.
func (r *recovering) rotations() uint64 {
	before := r.op.State.Before
	if before == nil || before.Kind != rotateCAOperation {
		return r.cluster.Rotations
	}
	var ordered rotatingCA
	if err := json.Unmarshal(before.State, &ordered); err != nil || ordered.Cert != "" {
		return r.cluster.Rotations
	}
	return ordered.Number
}

// end forgets the recovery. Work that it interrupted is recorded again.
func (r *recovering) end(ctx context.Context) error {
	before := r.op.State.Before
	if before == nil {
		return r.op.end()
	}
	r.m.Note(ctx, before.Kind+" was under way when the quorum was lost; go on with it: machine "+before.Resume)
	r.cluster.Operation = before
	return r.txn.Put(*r.cluster)
}

// force makes the swarm go on with one manager.
func (r *recovering) force(ctx context.Context) error {
	p := &r.op.State.Plan
	eng, x := r.engines[p.Via], r.machines[p.Via]
	if !p.Force || r.op.State.Forced {
		return nil
	}
	if p.Aside && !swarmboot.LeadsAlone(ctx, eng) {
		if err := r.aside(ctx, x); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(r.planned, func(s swarmboot.Survivor) bool { return s.Node.Name == p.Via })
	ctx, cancel := x.within(ctx, r.m.Wait.Swarm, engineGone, "wait for the new cluster")
	defer cancel()
	kept := swarmboot.Kept{DataPathPort: r.cluster.DataPathPort, Autolock: p.Unlock, Rotations: r.rotations()}
	if err := swarmboot.ForceNewCluster(ctx, eng, r.planned[i].Node, kept, r.m.Step); err != nil {
		return err
	}
	if id := swarmboot.Inspect(ctx, eng).ClusterID; id != "" && r.cluster.ID != "" && id != r.cluster.ID {
		return fmt.Errorf("%w: the engine made swarm %s and not %s: its folder has nothing of that", swarmboot.ErrForeign, id, r.cluster.ID)
	}
	r.op.State.Forced = true
	return r.op.save()
}

// aside has the engine start without knowing that it is in a swarm; the swarm's data stay.
func (r *recovering) aside(ctx context.Context, x *machine) error {
	return r.m.Step(ctx, "start the engine with the swarm's data set aside", func(ctx context.Context) error {
		conn, err := x.dial(ctx)
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // the script has ended
		if r.op.State.Plan.Unlock {
			if err := unlockKeyFile(ctx, conn, r.op.State.Root, r.req.UnlockKey); err != nil {
				return err
			}
		}
		if err := setAside(ctx, conn, r.op.State.Root); err != nil {
			return err
		}
		return r.answers(ctx, x, r.engines[x.rec.Name])
	})
}

// answers waits until an engine that was started answers.
func (r *recovering) answers(ctx context.Context, x *machine, eng swarmboot.Engine) error {
	ctx, cancel := x.within(ctx, r.m.Wait.Engine, engineGone, "wait for the engine")
	defer cancel()
	return poll(ctx, func(ctx context.Context) (bool, error) {
		asking, cancel := within(ctx, 0, 5*time.Second, "ask the engine")
		defer cancel()
		return swarmboot.Inspect(asking, eng).Reachable, nil
	})
}

// remember keeps labels and availabilities before the nodes that have them are removed.
func (r *recovering) remember(ctx context.Context) error {
	if r.op.State.Nodes != nil {
		return nil
	}
	members, err := swarmboot.Members(ctx, r.engines[r.op.State.Plan.Via])
	if err != nil {
		return err
	}
	nodes := map[string]node{}
	for name, member := range r.cluster.Members {
		for _, n := range members {
			if n.ID == member.NodeID {
				nodes[name] = node{ID: n.ID, Availability: n.Availability, Labels: n.Labels}
			}
		}
	}
	r.op.State.Nodes = nodes
	return r.op.save()
}

// remove takes a manager out that does not answer.
func (r *recovering) remove(ctx context.Context, name string) error {
	if id := r.op.State.Nodes[name].ID; id != "" {
		if err := swarmboot.Remove(ctx, id, nil, r.engines[r.op.State.Plan.Via], 0, r.m.Step); err != nil {
			return err
		}
	}
	if x := r.machines[name]; x != nil {
		x.rec.Swarm = store.Swarm{}
		x.rec.HostOptions.SwarmOptions = SwarmOptions{}
		if err := x.put(); err != nil {
			return err
		}
		r.m.Note(ctx, "is out of the swarm. Should it run again, make it leave before anything else: machine ssh "+name+" sudo docker swarm leave --force")
	}
	delete(r.cluster.Members, name)
	return nil // the record is written with what is done
}

// await waits for a worker that finds the manager by itself; one that does not in time joins again.
func (r *recovering) await(ctx context.Context, name string) error {
	x := r.machines[name]
	waiting, cancel := x.within(ctx, r.m.Wait.Swarm, engineGone, "wait for the worker to come back")
	defer cancel()
	err := r.m.Step(waiting, "wait for the node to be ready", func(ctx context.Context) error {
		return swarmboot.WaitReady(ctx, r.engines[r.op.State.Plan.Via], r.op.State.Nodes[name].ID)
	})
	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	r.m.Note(ctx, "does not come back by itself: it joins again")
	return r.rejoin(ctx, name)
}

// rejoin brings a machine back as a new node that is what the former one was. One that fell silent meanwhile is passed over.
func (r *recovering) rejoin(ctx context.Context, name string) error {
	x, eng, via := r.machines[name], r.engines[name], r.op.State.Plan.Via
	role := swarmboot.Role(r.cluster.Members[name].Role)
	before := r.op.State.Nodes[name]
	seen := r.m.afterJoin(ctx, name, eng, before.ID)
	if !seen.Reachable {
		r.m.Note(ctx, "does not answer any more ("+seen.Err+"): machine swarm recover "+r.cluster.Name+" goes on with it once it does")
		if role == swarmboot.Manager {
			return r.remove(ctx, name)
		}
		return nil
	}
	members, err := swarmboot.Members(ctx, r.engines[via])
	if err != nil {
		return err
	}
	s, err := r.survivor(name)
	if err != nil {
		return err
	}
	n := s.Node
	n.Labels, n.Availability = before.Labels, before.Availability
	ctx, cancel := x.within(ctx, r.m.Wait.Swarm, engineGone, "join the swarm again")
	defer cancel()
	id := seen.NodeID
	if id != before.ID && seen.State == "active" && slices.ContainsFunc(members, func(m swarmboot.Member) bool { return m.ID == id }) {
		err = swarmboot.Settle(ctx, r.engines[via], id, n) // a command before this one had it join
	} else {
		var res swarmboot.Result
		res, err = swarmboot.Apply(ctx, []swarmboot.Action{swarmboot.Rejoin(n, via, before.ID)}, r.engines, nil, r.m.Step)
		id = res.NodeIDs[name]
	}
	if id == "" {
		return err
	}
	return errors.Join(err, r.reached(x, role, id), r.m.strikeGhosts(ctx, r.engines[via], id))
}

func (r *recovering) recorded(id string) bool {
	for _, m := range r.cluster.Members {
		if m.NodeID == id {
			return true
		}
	}
	return false
}

// reached records a machine's new id.
func (r *recovering) reached(x *machine, role swarmboot.Role, id string) error {
	x.rec.Swarm = store.Swarm{Name: r.cluster.Name, Role: string(role), NodeID: id}
	if err := x.put(); err != nil {
		return err
	}
	r.cluster.Members[x.rec.Name] = store.Member{Role: string(role), NodeID: id}
	return r.txn.Put(*r.cluster)
}

// sweep removes former managers of which no machine is recorded: they are in the list of nodes and nowhere else.
func (r *recovering) sweep(ctx context.Context) error {
	if !r.op.State.Plan.Force {
		return nil
	}
	via := r.engines[r.op.State.Plan.Via]
	members, err := swarmboot.Members(ctx, via)
	if err != nil {
		return err
	}
	for _, n := range members {
		if n.Role != swarmboot.Manager || n.Reachability != "" || r.recorded(n.ID) {
			continue
		}
		r.m.Note(ctx, "former manager "+n.Hostname+" is no machine of this store: it is removed from the list of nodes")
		if err := swarmboot.Remove(ctx, n.ID, nil, via, 0, r.m.Step); err != nil {
			return err
		}
	}
	return nil
}

// advise says what is left to do by a person.
func (r *recovering) advise(ctx context.Context) {
	managers := 0
	for _, m := range r.cluster.Members {
		if m.Role == string(swarmboot.Manager) {
			managers++
		}
	}
	before, then := r.op.State.Plan.Managers, managers+len(r.req.Promote)
	if then < before || then%2 == 0 {
		workers := slices.DeleteFunc(slices.Sorted(maps.Keys(r.cluster.Members)), func(n string) bool {
			return r.cluster.Members[n].Role == string(swarmboot.Manager)
		})
		text := fmt.Sprintf("managers: %d now, %d before; more by machine create --swarm-master --swarm-name %s ... NAME", managers, before, r.cluster.Name)
		if len(workers) > 0 {
			text += ", or by machine swarm promote of a worker: " + strings.Join(workers, ", ")
		}
		r.m.Note(ctx, text)
	}
}

// afterJoin asks an engine what it is. One that is joining goes on with that though the command that told it to was killed:
// it is waited for, because a manager that has been let in counts for the quorum. former is the node that it was before.
func (m *Manager) afterJoin(ctx context.Context, name string, eng swarmboot.Engine, former string) (seen swarmboot.Seen) {
	ctx, cancel := within(ctx, 0, 45*time.Second, "wait for a join that is under way")
	defer cancel()
	_ = poll(ctx, func(ctx context.Context) (bool, error) { // what was seen last counts
		if now := inspectAll(ctx, map[string]swarmboot.Engine{name: eng})[name]; now.Reachable || !seen.Reachable {
			seen = now
		}
		return seen.State != "pending" || seen.NodeID == former, nil
	})
	return seen
}

// strikeGhosts removes nodes from the list that a host was in joins which were killed. They have its name and its address, and
// it is node id now.
func (m *Manager) strikeGhosts(ctx context.Context, via swarmboot.Engine, id string) error {
	members, err := swarmboot.Members(ctx, via)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(members, func(n swarmboot.Member) bool { return n.ID == id })
	if i < 0 {
		return nil
	}
	for _, n := range members {
		if n.ID == id || n.Hostname != members[i].Hostname || n.Addr != members[i].Addr {
			continue
		}
		if err := swarmboot.Remove(ctx, n.ID, nil, via, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// runRoot runs a script as root on a host; words are its positional parameters.
func runRoot(ctx context.Context, conn *ssh.Client, script string, words ...string) error {
	return conn.Run(ctx, rootShell, strings.NewReader(rootScript(script, words...)), nil)
}
