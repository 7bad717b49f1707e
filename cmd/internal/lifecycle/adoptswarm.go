package lifecycle

import (
	"context"
	"fmt"
)

// findSwarm looks for the swarm that the host is a node of among those that the store records. What the host says of itself
// is not enough: a manager of the swarm must list the node.
func (a *adopting) findSwarm(ctx context.Context) {
	if a.found.NodeID == "" {
		return
	}
	swarms, err := a.m.Store.Clusters()
	if err != nil {
		a.m.Log.Info("not all swarms were looked at", "err", err)
	}
	ctx, cancel := within(ctx, 0, lookDeadline, "ask the managers of recorded swarms")
	defer cancel()
	for _, c := range swarms {
		if a.found.SwarmID != "" && a.found.SwarmID != c.ID { // a worker does not know
			continue
		}
		st, err := a.m.SwarmStatus(ctx, c.Name) // of use with an error too
		if err != nil {
			a.m.Log.Info("a swarm was looked at", "swarm", c.Name, "err", err)
		}
		for _, n := range st.Nodes {
			if n.ID == a.found.NodeID && (n.Machine == "" || n.Machine == a.req.Name) {
				a.found.SwarmName, a.found.SwarmID, a.nodeAddr = c.Name, c.ID, n.Addr
				return
			}
		}
	}
}

// recordSwarm has the store know the machine as the node that it is. A node that is none any more stays as it is.
func (a *adopting) recordSwarm(ctx context.Context) error {
	name := a.found.SwarmName
	if name == "" {
		return nil
	}
	again := "machine swarm join --name " + name
	if a.found.Swarm == "manager" {
		again += " --manager"
	}
	again += " " + a.req.Name
	req := SwarmRequest{
		Names: []string{a.req.Name}, NoPreflight: true, DryRun: true,
		Options: SwarmOptions{Name: name, Master: a.found.Swarm == "manager", Advertise: a.nodeAddr},
	}
	changes, err := a.m.SwarmJoin(ctx, req)
	if err == nil && len(changes) > 0 {
		err = fmt.Errorf("%w: it is no %s of it any more", ErrRefused, a.found.Swarm)
	}
	if err == nil {
		req.DryRun = false
		_, err = a.m.SwarmJoin(ctx, req)
	}
	if err != nil {
		return withAdvice(fmt.Errorf("record the node of swarm %s: %w", name, err), "the machine is adopted; see machine swarm status "+name+", then: "+again)
	}
	return nil
}
