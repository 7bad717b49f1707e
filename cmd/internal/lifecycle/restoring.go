package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// others brings machines back that are named, and deals with nodes that do not come back.
func (r *restore) others(ctx context.Context) error {
	for _, name := range r.req.Join {
		if name == r.x.rec.Name {
			continue
		}
		if err := r.join(OnMachine(ctx, name), name); err != nil {
			return nameError(name, 2, err)
		}
	}
	members, err := swarmboot.Members(ctx, r.eng)
	if err != nil {
		return err
	}
	var away, silent []string
	for _, n := range members {
		if n.ID == r.x.rec.Swarm.NodeID || n.State == "ready" {
			continue
		}
		if name := r.recorded(n.ID); name != "" {
			silent = append(silent, name)
			continue
		}
		if !r.req.Prune {
			away = append(away, n.Hostname+" ("+n.ID+")")
			continue
		}
		r.m.Note(ctx, "removed from the list of nodes: "+n.Hostname+" ("+n.ID+")")
		if err := swarmboot.Remove(ctx, n.ID, nil, r.eng, 0, nil); err != nil {
			return err
		}
	}
	if len(away) > 0 {
		r.m.Note(ctx, "nodes of the backup that are not back: "+strings.Join(away, ", ")+"; machine swarm rm-node takes one off the list")
	}
	if len(silent) > 0 {
		names := strings.Join(silent, " ")
		r.m.Note(ctx, fmt.Sprintf("machines that are not back, because they look for the former managers: %s; once they run: machine swarm leave %s, then machine swarm join --swarm-name %s %s",
			strings.Join(silent, ", "), names, r.cluster.Name, names))
	}
	r.tellListed(ctx)
	return nil
}

// tellListed warns of a manager that the swarm lists at the address of the backup: no order to an engine changes that.
func (r *restore) tellListed(ctx context.Context) {
	if addr := r.listedElsewhere(ctx); addr != "" {
		r.m.Note(ctx, fmt.Sprintf("warning: the swarm lists %s at %s, its former address: a manager that joins as it is has the swarm lose its quorum; "+
			"what to do before is in docs/runbooks/moving-a-cluster.md", r.x.rec.Name, addr))
	}
}

// listedElsewhere is the address that the swarm lists its manager at, if that is another than its own.
func (r *restore) listedElsewhere(ctx context.Context) string {
	if seen := swarmboot.Inspect(ctx, r.eng); seen.ListedAddr != seen.NodeAddr {
		return seen.ListedAddr
	}
	return ""
}

// recorded is the machine of the record that a node is; empty: none.
func (r *restore) recorded(id string) string {
	for name, m := range r.cluster.Members {
		if m.NodeID == id {
			return name
		}
	}
	return ""
}

// join has a machine leave what it is in and join the restored swarm as what it was.
func (r *restore) join(ctx context.Context, name string) error {
	x := r.machines[name]
	if x.rec.Swarm.Name != "" && x.rec.Swarm.Name != r.cluster.Name {
		return fmt.Errorf("%w: it is in swarm %q", swarmboot.ErrForeign, x.rec.Swarm.Name)
	}
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return err
	}
	defer eng.close()
	former, err := r.former(ctx, x, eng)
	if err != nil {
		return err
	}
	seen := r.m.afterJoin(ctx, name, eng, former.ID)
	members, err := swarmboot.Members(ctx, r.eng)
	if err != nil {
		return err
	}
	role, id := r.role(name), seen.NodeID
	if role == swarmboot.Manager && r.listedElsewhere(ctx) != "" {
		r.m.Note(ctx, "joins as a worker: as a second manager it would cost the swarm its quorum, because it could not answer the first one")
		role = swarmboot.Worker
	}
	back := seen.State == "active" && slices.ContainsFunc(members, func(m swarmboot.Member) bool {
		return m.ID == id && m.State == "ready" && (role == swarmboot.Worker || m.Reachability != "")
	})
	o := x.rec.HostOptions.SwarmOptions
	o.Labels, o.Availability = nil, ""
	n, err := r.m.node(joining{machine: x, role: role}, o)
	if err != nil {
		return err
	}
	n.Labels, n.Availability = former.Labels, former.Availability
	ctx, cancel := x.within(ctx, r.m.Wait.Swarm, engineGone, "join the swarm again")
	defer cancel()
	if back {
		if err := swarmboot.Settle(ctx, r.eng, id, n); err != nil {
			return err
		}
	} else {
		engines := map[string]swarmboot.Engine{name: eng, r.x.rec.Name: r.eng}
		res, err := swarmboot.Apply(ctx, []swarmboot.Action{swarmboot.Rejoin(n, r.x.rec.Name, former.ID)}, engines, nil, r.m.Step)
		if id = res.NodeIDs[name]; id == "" || err != nil {
			return err
		}
	}
	return errors.Join(r.joined(x, role, id), r.m.strikeGhosts(ctx, r.eng, id))
}

// former is the node that a machine was in the swarm, kept from before anything of it is removed.
func (r *restore) former(ctx context.Context, x *machine, eng *engine) (node, error) {
	name := x.rec.Name
	if n, ok := r.op.State.Nodes[name]; ok {
		return n, nil
	}
	seen := inspectAll(ctx, map[string]swarmboot.Engine{name: eng})[name]
	if !seen.Reachable {
		return node{}, fmt.Errorf("%w: %s", swarmboot.ErrNode, seen.Err)
	}
	members, err := swarmboot.Members(ctx, r.eng)
	if err != nil {
		return node{}, err
	}
	var n node
	for _, m := range members {
		if m.ID != r.x.rec.Swarm.NodeID && (m.ID == x.rec.Swarm.NodeID || m.Hostname == seen.Hostname && m.State != "ready") {
			n = node{ID: m.ID, Labels: m.Labels, Availability: m.Availability}
		}
	}
	if r.op.State.Nodes == nil {
		r.op.State.Nodes = map[string]node{}
	}
	r.op.State.Nodes[name] = n
	return n, r.op.save()
}

func (r *restore) joined(x *machine, role swarmboot.Role, id string) error {
	x.rec.Swarm = store.Swarm{Name: r.cluster.Name, Role: string(role), NodeID: id}
	if err := x.put(); err != nil {
		return err
	}
	r.cluster.Members[x.rec.Name] = store.Member{Role: string(role), NodeID: id}
	return r.txn.Put(*r.cluster)
}
