package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
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
	if err := x.hasEngine("upgrade"); err != nil {
		return err
	}
	if err := x.secured("upgrade"); err != nil {
		return err
	}
	a, err := m.ensureAuthority(ctx)
	if err != nil {
		return err
	}
	if req.Start {
		if err := x.startStopped(ctx); err != nil {
			return err
		}
	}
	before := x.rec.Installed.Engine
	if err := m.refit(ctx, x, a, refit{adjust: upgradeWish(req.Version, req.Force)}, true); err != nil {
		return err
	}
	return x.upgraded(ctx, before, req.Version)
}

// startStopped starts a machine if it is stopped.
func (x *machine) startStopped(ctx context.Context) error {
	st, err := x.drv.Status(ctx)
	if err != nil || st.State != drivers.Stopped {
		return err
	}
	if err := x.m.Step(ctx, "start the host", func(ctx context.Context) error { return x.drv.Start(ctx) }); err != nil {
		return x.silent(ctx, fmt.Errorf("start: %w", err))
	}
	return x.back(ctx)
}

// upgradeWish is what an upgrade wants of an engine.
func upgradeWish(version string, force bool) func(*provision.Engine) {
	return func(e *provision.Engine) {
		e.Upgrade = true
		e.AllowDowngrade = force
		if version != "" {
			e.Version = version
		}
		if e.Source == provision.SourceKeep {
			e.Source = provision.SourceAuto
		}
	}
}

// upgraded records the version that was asked for (empty: the newest), and tells what became of the engine.
func (x *machine) upgraded(ctx context.Context, before, version string) error {
	if err := x.pinVersion(version); err != nil {
		return err
	}
	switch now := x.rec.Installed.Engine; before {
	case now:
		x.m.Note(ctx, "engine is "+now+" already")
	case "": // docker-machine did not record it
		x.m.Note(ctx, "engine is "+now)
	default:
		x.m.Note(ctx, fmt.Sprintf("engine upgraded from %s to %s", before, now))
	}
	return nil
}

// pinVersion records the version that the machine is to have from now on; empty: it stays as it is.
func (x *machine) pinVersion(version string) error {
	if version == "" || x.rec.HostOptions.EngineOptions.Version == version {
		return nil
	}
	x.rec.HostOptions.EngineOptions.Version = version
	return x.put()
}
