package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// upping is a cluster file and what exists of it.
type upping struct {
	m      *Manager
	req    UpRequest
	spec   *cluster.Spec
	wanted map[string]wanted // by group
	recs   map[string]store.Record
	seen   cluster.Seen
}

// surveyProject asks the store, the providers and the swarm; it changes nothing.
func (m *Manager) surveyProject(ctx context.Context, req UpRequest) (*upping, error) {
	u := &upping{m: m, req: req, spec: req.Spec, wanted: map[string]wanted{}, seen: cluster.Seen{
		Machines: map[string]cluster.Machine{}, Stacks: map[string]string{}, StacksWanted: map[string]string{}, StacksGone: map[string]bool{},
	}}
	var err error
	if u.recs, err = m.projectRecords(req.Spec); err != nil {
		return nil, err
	}
	var errs []error
	for _, g := range req.Spec.Groups {
		w, err := m.want(req.Spec, g, u.allReady(g))
		if err != nil {
			errs = append(errs, err)
		}
		u.wanted[g.Name] = w
	}
	for _, s := range req.Spec.Stacks {
		digest, err := m.stackDigest(req.Spec, s)
		if err != nil {
			errs = append(errs, req.Spec.At(s.Pos, err))
		}
		u.seen.StacksWanted[s.Name] = digest
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := u.askProviders(ctx); err != nil {
		return nil, err
	}
	return u, u.askSwarm(ctx)
}

// projectRecords are the records of the machines that a file names, and of those that are the project's.
func (m *Manager) projectRecords(s *cluster.Spec) (map[string]store.Record, error) {
	all, err := m.Store.Names()
	if err != nil {
		return nil, err
	}
	recs := map[string]store.Record{}
	for _, name := range all {
		rec, err := m.Store.Get(name)
		named := s != nil && s.Named(name) != nil
		switch {
		case err != nil && named:
			return nil, fmt.Errorf("machine %q: %w", name, err)
		case err != nil:
			m.Log.Warn("record cannot be read", "machine", name, "err", err)
		case named, s != nil && rec.Project.Name == s.Name:
			recs[name] = rec
		}
	}
	return recs, nil
}

func (u *upping) allReady(g cluster.Group) bool {
	return !slices.ContainsFunc(g.Names, func(name string) bool { return u.recs[name].Phase != store.Ready })
}

// askProviders asks after the hosts of the machines, all at once.
func (u *upping) askProviders(ctx context.Context) error {
	var mu sync.Mutex
	var all []string
	for name := range u.recs {
		all = append(all, name)
	}
	slices.Sort(all)
	return u.m.each(ctx, all, func(ctx context.Context, name string) error {
		x, err := u.m.view(name)
		if err != nil {
			return err
		}
		seen := u.machine(x)
		if seen.State, err = x.stateNow(ctx); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		u.seen.Machines[name] = seen
		return nil
	})
}

// stateNow is what the provider says of a machine that is ready. One that is the user's own is what it is.
func (x *machine) stateNow(ctx context.Context) (cluster.State, error) {
	if _, ok := x.drv.(drivers.Unmanaged); ok || x.own() || x.rec.Phase != store.Ready {
		return cluster.Running, nil
	}
	ctx, cancel := within(ctx, 0, 30*time.Second, "ask for the host's state")
	defer cancel()
	st, err := x.drv.Status(ctx)
	switch {
	case errors.Is(err, drivers.ErrNotFound):
		return cluster.Gone, nil
	case err != nil:
		return cluster.Running, fmt.Errorf("ask for the host's state: %w", err)
	case st.State == drivers.Stopped:
		return cluster.Stopped, nil
	}
	return cluster.Running, nil
}

// machine compares a record with what its group wants.
func (u *upping) machine(x *machine) cluster.Machine {
	rec := x.rec
	out := cluster.Machine{
		Project: rec.Project.Name, Group: rec.Project.Group, Version: rec.Installed.Engine, Swarm: rec.Swarm.Name,
		Phase: map[store.Phase]cluster.Phase{store.Ready: cluster.Ready, store.Removing: cluster.Removing}[rec.Phase],
	}
	for _, l := range rec.HostOptions.SwarmOptions.Labels {
		key, _, _ := strings.Cut(l, "=")
		out.OurLabels = append(out.OurLabels, key)
	}
	g := u.spec.Named(rec.Name)
	if g == nil {
		return out
	}
	w := u.wanted[g.Name]
	out.Replace = w.replaces(rec)
	out.Change = w.changes(rec, *g)
	if rec.Project.Refit && len(out.Change) == 0 {
		out.Change = []string{"continue an unfinished change of the engine's options"}
	}
	_, unmanaged := x.drv.(drivers.Unmanaged)
	if unmanaged || rec.Phase != store.Ready { // a create goes on with what it was begun with
		out.Replace, out.Change = append(out.Replace, out.Change...), nil
	}
	if was := rec.HostOptions.EngineOptions.Version; rec.Phase != store.Ready && was != g.Engine.Version {
		out.Replace = append(out.Replace, fmt.Sprintf("engine-version: %s → %s", show(was), show(g.Engine.Version)))
	}
	out.VersionDiffers = g.Engine.Version != "" && !unmanaged && rec.Phase == store.Ready && !provision.Satisfies(rec.Installed.Engine, g.Engine.Version)
	return out
}

// askSwarm asks a manager after the places of the machines and the stacks.
func (u *upping) askSwarm(ctx context.Context) error {
	if u.spec.Swarm.Name == "" {
		return nil
	}
	c, err := u.m.clusterOrNew(u.spec.Swarm.Name)
	if err != nil {
		return err
	}
	u.seen.SwarmExists, u.seen.DataPathPort = c.ID != "", c.DataPathPort
	for name, s := range c.Stacks {
		if s.Project == u.spec.Name {
			u.seen.Stacks[name] = s.Digest
		}
	}
	if !u.seen.SwarmExists {
		u.seen.DataPathPort = 0
		return nil
	}
	eng, _, err := u.m.aManager(ctx, c, "")
	if err != nil {
		for _, s := range u.seen.Machines {
			if s.State == cluster.Stopped {
				u.seen.SwarmSilent = err.Error()
				return nil
			}
		}
		return err
	}
	defer eng.close()
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return fmt.Errorf("ask swarm %q: %w", c.Name, err)
	}
	for _, n := range members {
		for name, rec := range u.recs {
			if rec.Swarm.NodeID != n.ID || n.ID == "" {
				continue
			}
			s := u.seen.Machines[name]
			s.Role, s.Availability, s.Labels = string(n.Role), n.Availability, n.Labels
			u.seen.Machines[name] = s
		}
	}
	for name := range u.seen.Stacks {
		filter := url.QueryEscape(`{"label":["com.docker.stack.namespace=` + name + `"]}`)
		var services []struct{ ID string }
		if err := eng.Do(ctx, http.MethodGet, "/services?filters="+filter, nil, &services); err != nil {
			return fmt.Errorf("ask swarm %q: %w", c.Name, err)
		}
		u.seen.StacksGone[name] = len(services) == 0
	}
	return nil
}
