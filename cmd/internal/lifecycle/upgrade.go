package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// Upgrade brings engines to another version. Members of one swarm go one after another, workers first,
// the leader last, each drained first and activated again once it is ready; the first failure
// stops that swarm, and the same command continues.
func (m *Manager) Upgrade(ctx context.Context, req UpgradeRequest) error {
	if err := m.exist(req.Names); err != nil {
		return err
	}
	names := m.leaderLast(ctx, m.workersFirst(req.Names))
	settled := func(context.Context, string) error { return nil } // inSwarm waits
	return m.inTurn(ctx, names, func(ctx context.Context, name string) error {
		return m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			err := m.upgradeOne(ctx, x, req)
			if err == nil {
				m.refreshContext(ctx, x)
			}
			return x.fail(err)
		})
	}, settled)
}

// leaderLast moves the leaders of swarms to the end.
func (m *Manager) leaderLast(ctx context.Context, names []string) []string {
	leaders := map[string]bool{}
	asked := map[string]bool{}
	for _, name := range names {
		rec, err := m.Store.Get(name)
		if err != nil || rec.Swarm.Name == "" || asked[rec.Swarm.Name] {
			continue
		}
		asked[rec.Swarm.Name] = true
		st, err := m.SwarmStatus(ctx, rec.Swarm.Name)
		if err != nil {
			m.Log.Warn("leader not known", "swarm", rec.Swarm.Name, "err", err)
			continue
		}
		for _, n := range st.Nodes {
			leaders[n.Machine] = leaders[n.Machine] || n.Leader
		}
	}
	var last []string
	first := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		if leaders[name] {
			last = append(last, name)
		}
		return leaders[name]
	})
	return append(first, last...)
}

func (m *Manager) upgradeOne(ctx context.Context, x *machine, req UpgradeRequest) error {
	if err := x.managed("upgrade"); err != nil {
		return err
	}
	want := func(e *provision.Engine) {
		e.Upgrade = true
		e.AllowDowngrade = req.Force
		if req.Version != "" {
			e.Version = req.Version
		}
		if e.Source == provision.SourceKeep {
			e.Source = provision.SourceAuto
		}
	}
	a, err := m.ensureAuthority(ctx)
	if err != nil {
		return err
	}
	before := x.rec.Installed.Engine
	run := func(ctx context.Context) error { return x.reprovisionWith(ctx, a, refit{adjust: want}) }
	if x.rec.Swarm.NodeID != "" {
		err = m.inSwarm(ctx, x, a, want, run)
	} else {
		err = run(ctx)
	}
	if err != nil {
		return err
	}
	if req.Version != "" {
		x.rec.HostOptions.EngineOptions.Version = req.Version
		if err := x.put(); err != nil {
			return err
		}
	}
	if now := x.rec.Installed.Engine; now == before {
		m.Note(ctx, "engine is "+now+" already")
	} else {
		m.Note(ctx, fmt.Sprintf("engine upgraded from %s to %s", before, now))
	}
	return nil
}

// journal is what an upgrade of a swarm must put back: the availability that drained nodes had.
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

// inSwarm runs work on a member that is drained for it and activated again afterwards. A plan
// without steps drains nothing.
func (m *Manager) inSwarm(ctx context.Context, x *machine, a authority, want func(*provision.Engine), work func(context.Context) error) error {
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
	if due, err := x.upgradeDue(ctx, a, want); err != nil {
		return err
	} else if due {
		former, err := m.drain(ctx, x, eng, cluster, j, save)
		if err != nil {
			return err
		}
		m.Log.Info("drained", "machine", x.rec.Name, "former", former, "via", via.rec.Name)
	}
	if err := work(ctx); err != nil {
		if _, drained := j[x.rec.Name]; drained {
			m.Note(ctx, "stays drained until the upgrade is repeated and succeeds")
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
		return now, nil // by an upgrade that did not end, or by a person, whose wish it stays
	}
	if others == 0 {
		m.Note(ctx, "no other active node: tasks stop during the upgrade")
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

// upgradeDue tells whether the plan has steps. The host is asked and not changed.
func (x *machine) upgradeDue(ctx context.Context, a authority, want func(*provision.Engine)) (bool, error) {
	conn, err := x.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	e := x.wanted()
	want(&e)
	_, _, steps, err := x.survey(ctx, conn, a, e, refit{})
	return len(steps) > 0, err
}
