package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// journal is what must be put back in a swarm: the availability that drained nodes had.
type journal map[string]string

func readJournal(c store.Cluster) (journal, error) {
	j := journal{}
	if len(c.Upgrade) == 0 {
		return j, nil
	}
	if err := json.Unmarshal(c.Upgrade, &j); err != nil {
		return nil, fmt.Errorf("read upgrade journal of swarm %q: %w", c.Name, err)
	}
	return j, nil
}

func (j journal) encode() json.RawMessage {
	if len(j) == 0 {
		return nil
	}
	data, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings
	}
	return data
}

// refit provisions a machine that runs. With drain a member of a swarm is empty while its engine restarts.
func (m *Manager) refit(ctx context.Context, x *machine, a authority, r refit, drain bool) error {
	if !drain || x.rec.Swarm.NodeID == "" {
		return x.reprovisionWith(ctx, a, r)
	}
	return m.refitDrained(ctx, x, a, r)
}

// refitDrained provisions a member that is drained for it and activated again afterwards. A plan
// without steps drains nothing.
func (m *Manager) refitDrained(ctx context.Context, x *machine, a authority, r refit) error {
	txn, cluster, err := m.lockCluster(ctx, x.rec.Swarm.Name)
	if err != nil {
		return err
	}
	defer txn.Close()
	j, err := readJournal(cluster)
	if err != nil {
		return err
	}
	save := func() error {
		cluster.Upgrade = j.encode()
		return txn.Put(cluster)
	}
	eng, via, err := m.aManager(ctx, cluster, "", x.rec.Name)
	if errors.Is(err, swarmboot.ErrNoManager) {
		eng, via, err = m.aManager(ctx, cluster, x.rec.Name) // the only manager looks after itself
	}
	if err != nil {
		return err
	}
	defer eng.close()
	id := x.rec.Swarm.NodeID
	if due, err := x.due(ctx, a, r); err != nil {
		return err
	} else if due {
		former, err := m.drain(ctx, x, eng, cluster, j, save)
		if err != nil {
			return err
		}
		m.Log.Info("drained", "machine", x.rec.Name, "former", former, "via", via.rec.Name)
	}
	if err := x.reprovisionWith(ctx, a, r); err != nil {
		if _, drained := j[x.rec.Name]; drained {
			m.Note(ctx, "stays drained until the same command is given again and succeeds")
		}
		return err
	}
	wait, cancel := x.within(ctx, m.Wait.Swarm, engineGone, "wait for the node to be ready in its swarm")
	defer cancel()
	err = m.Step(wait, "wait for the node to be ready", func(ctx context.Context) error { return swarmboot.WaitReady(ctx, eng, id) })
	if err != nil {
		return err
	}
	former, drained := j[x.rec.Name]
	if !drained {
		return nil
	}
	err = m.Step(ctx, "activate the node", func(ctx context.Context) error {
		return swarmboot.SetAvailability(ctx, eng, id, former)
	})
	if err != nil {
		return err
	}
	delete(j, x.rec.Name)
	return save()
}

// drain empties a node if there is another one to move its tasks to. The former availability is in
// the journal before anything is changed.
func (m *Manager) drain(ctx context.Context, x *machine, eng *engine, cluster store.Cluster, j journal, save func() error) (string, error) {
	id := x.rec.Swarm.NodeID
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return "", err
	}
	now, others := "", 0
	for _, n := range members {
		if n.ID == id {
			now = n.Availability
		} else if n.Availability == "active" && n.State == "ready" {
			others++
		}
	}
	if now == "drain" {
		return now, nil // by a command that did not end, or by a person, whose wish it stays
	}
	if others == 0 {
		m.Note(ctx, "no other active node: tasks stop meanwhile")
		return now, nil
	}
	if _, known := j[x.rec.Name]; !known {
		j[x.rec.Name] = now
		if err := save(); err != nil {
			return now, err
		}
	}
	dctx, cancel := within(ctx, m.Wait.Drain, drainDeadline, "wait for the node's tasks to end")
	defer cancel()
	err = m.Step(dctx, "drain the node", func(ctx context.Context) error {
		_, err := swarmboot.Drain(ctx, eng, id)
		return err
	})
	if err != nil {
		return now, fmt.Errorf("drain: %w", err)
	}
	return now, nil
}

// due tells whether provisioning has anything to do. The host is asked and not changed.
func (x *machine) due(ctx context.Context, a authority, r refit) (bool, error) {
	conn, err := x.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	want := x.wanted()
	if r.adjust != nil {
		r.adjust(&want)
	}
	_, _, steps, err := x.survey(ctx, conn, a, want, r)
	return len(steps) > 0, err
}
