package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// UpRequest asks for what a cluster file says.
type UpRequest struct {
	Spec           *cluster.Spec
	Wish           cluster.Wish
	NoStoreSecrets bool
	NoPreflight    bool

	// Agree is shown the plan and tells whether to act; nil: no. It is also asked when there is nothing to do.
	Agree func(cluster.Steps) (bool, error)
}

// Up makes what a cluster file says true, in the order of the plan that it returns. What it does is recorded as it is
// done, so that an Up that did not finish is continued by the next one. Steps that wait for a flag which was not given
// are left out; of those only replacements are an error then, ErrHeld, after all else was done.
func (m *Manager) Up(ctx context.Context, req UpRequest) (cluster.Steps, error) {
	u, err := m.surveyProject(ctx, req)
	if err != nil {
		return cluster.Steps{Project: req.Spec.Name}, err
	}
	steps, err := cluster.Plan(req.Spec, u.seen, req.Wish)
	if err != nil || req.Agree == nil {
		return steps, err
	}
	if yes, err := req.Agree(steps); err != nil || !yes {
		return steps, err
	}
	if err := u.act(ctx, steps); err != nil {
		return steps, err
	}
	if held := steps.HeldBy(cluster.AllowReplace); len(held) > 0 {
		return steps, fmt.Errorf("%w: %s", ErrHeld, strings.Join(held, ", "))
	}
	return steps, nil
}

// act does the steps, one kind after another.
func (u *upping) act(ctx context.Context, steps cluster.Steps) error {
	for _, do := range []func(context.Context, cluster.Steps) error{
		u.adopt, u.create, u.start, u.managers, u.workers, u.members, u.leave, u.change, u.upgrade, u.replace, u.deploy, u.removeStacks, u.remove,
	} {
		if err := do(ctx, steps); err != nil {
			return err
		}
	}
	return nil
}

// stepNames are the machines or stacks that steps are about, each once.
func stepNames(steps []cluster.Step) []string {
	var out []string
	for _, s := range steps {
		if !slices.Contains(out, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}

func (u *upping) adopt(ctx context.Context, steps cluster.Steps) error {
	var errs []error
	for _, s := range steps.Of(cluster.Adopt) {
		errs = append(errs, u.m.withLock(OnMachine(ctx, s.Name), s.Name, func(_ context.Context, x *machine) error {
			x.rec.Project.Name, x.rec.Project.Group = u.spec.Name, s.Group
			return x.put()
		}))
	}
	return errors.Join(errs...)
}

// create makes the hosts of all groups at once. They join the swarm later, all together.
func (u *upping) create(ctx context.Context, steps cluster.Steps) error {
	byGroup := map[string][]string{}
	for _, s := range steps.Of(cluster.Create) {
		byGroup[s.Group] = append(byGroup[s.Group], s.Name)
	}
	return u.createGroups(ctx, byGroup)
}

func (u *upping) createGroups(ctx context.Context, byGroup map[string][]string) error {
	if len(byGroup) == 0 {
		return nil
	}
	var g errgroup.Group
	g.SetLimit(u.m.limit())
	var mu sync.Mutex
	var errs []error
	for _, group := range u.spec.Groups {
		if len(byGroup[group.Name]) == 0 {
			continue
		}
		req := u.createRequest(group, byGroup[group.Name])
		req.limit = max(1, u.m.limit()/len(byGroup))
		g.Go(func() error {
			_, err := u.m.Create(ctx, req)
			if len(req.Names) == 1 {
				err = nameError(req.Names[0], 2, err)
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			return nil
		})
	}
	_ = g.Wait() // the functions above return nil
	return errors.Join(errs...)
}

func (u *upping) createRequest(g cluster.Group, names []string) CreateRequest {
	w := u.wanted[g.Name]
	req := CreateRequest{
		Names: names, Driver: w.factory.Name(), Options: w.values, Engine: w.engine, SANs: g.SANs, UserData: w.userData,
		DockerContext: g.DockerContext, NoStoreSecrets: u.req.NoStoreSecrets, NoPreflight: u.req.NoPreflight,
		project: store.Project{Name: u.spec.Name, Group: g.Name},
	}
	if g.Role != cluster.None {
		req.dataPathPort = max(u.seen.DataPathPort, u.spec.Swarm.DataPathPort)
	}
	return req
}

func (u *upping) start(ctx context.Context, steps cluster.Steps) error {
	all := stepNames(steps.Of(cluster.Start))
	if len(all) == 0 {
		return nil
	}
	err := u.m.Start(ctx, all)
	if errors.Is(err, ErrAlready) {
		return nil
	}
	return err
}

func (u *upping) managers(ctx context.Context, steps cluster.Steps) error {
	return u.join(ctx, cluster.Manager, steps.Of(cluster.Init, cluster.Join))
}

func (u *upping) workers(ctx context.Context, steps cluster.Steps) error {
	return u.join(ctx, cluster.Worker, steps.Of(cluster.Init, cluster.Join))
}

// join brings machines of the groups of a role into the swarm.
func (u *upping) join(ctx context.Context, role string, steps []cluster.Step) error {
	for _, g := range u.spec.Groups {
		mine := stepNames(slices.DeleteFunc(slices.Clone(steps), func(s cluster.Step) bool { return s.Group != g.Name }))
		if g.Role != role || len(mine) == 0 {
			continue
		}
		if err := u.place(ctx, g, mine); err != nil {
			return err
		}
	}
	return nil
}

// members changes what machines are in the swarm: promotions come before demotions.
func (u *upping) members(ctx context.Context, steps cluster.Steps) error {
	if err := u.nodes(ctx, steps.Of(cluster.Promote), NodesRequest{Verb: Promote}); err != nil {
		return err
	}
	for _, g := range u.spec.Groups {
		mine := func(kind cluster.Kind) []cluster.Step {
			return slices.DeleteFunc(steps.Of(kind), func(s cluster.Step) bool { return s.Group != g.Name })
		}
		label := NodesRequest{Verb: Label, Set: map[string]string{}}
		for _, l := range g.Labels {
			label.Set[l.Key] = l.Value
		}
		for _, s := range mine(cluster.Label) {
			label.Unset = cluster.Dropped(&g, u.seen.Machines[s.Name].OurLabels)
			if err := u.nodes(ctx, []cluster.Step{s}, label); err != nil {
				return err
			}
		}
		verb := map[string]swarmboot.Verb{"active": Activate, "drain": Drain, "pause": Pause}[g.Availability]
		if err := u.nodes(ctx, mine(cluster.Availability), NodesRequest{Verb: verb}); err != nil {
			return err
		}
	}
	return u.nodes(ctx, steps.Of(cluster.Demote), NodesRequest{Verb: Demote})
}

func (u *upping) nodes(ctx context.Context, steps []cluster.Step, req NodesRequest) error {
	if req.Names = stepNames(steps); len(req.Names) == 0 {
		return nil
	}
	_, err := u.m.SwarmNodes(ctx, req)
	return err
}

// place has machines of a group in the swarm, in the group's role.
func (u *upping) place(ctx context.Context, g cluster.Group, names []string) error {
	req := SwarmRequest{Names: names, NoPreflight: u.req.NoPreflight, Options: SwarmOptions{
		Name: u.spec.Swarm.Name, Advertise: g.Advertise, Listen: g.Listen, DataPath: g.DataPath, Availability: g.Availability,
		Labels: cluster.Texts(g.Labels), DataPathPort: u.spec.Swarm.DataPathPort,
	}}
	if g.Role == cluster.Manager {
		req.Options.AddrPool, req.Options.SubnetSize = u.spec.Swarm.AddrPool, u.spec.Swarm.SubnetSize
		_, err := u.m.SwarmInit(ctx, req)
		return err
	}
	_, err := u.m.SwarmJoin(ctx, req)
	return err
}

func (u *upping) leave(ctx context.Context, steps cluster.Steps) error {
	all := stepNames(steps.Of(cluster.Leave))
	if len(all) == 0 {
		return nil
	}
	_, err := u.m.SwarmLeave(ctx, SwarmRequest{Names: all})
	return err
}

// change brings the options of engines to their hosts, drained and one after another in a swarm.
func (u *upping) change(ctx context.Context, steps cluster.Steps) error {
	all := stepNames(steps.Of(cluster.Change))
	settled := func(context.Context, string) error { return nil } // a drained member is ready when it is provisioned
	return u.m.inTurn(ctx, all, func(ctx context.Context, name string) error {
		return u.m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			g := u.spec.Named(name)
			w := u.wanted[g.Name]
			x.rec.HostOptions.EngineOptions = w.engineFor(x.rec)
			x.rec.HostOptions.AuthOptions.ServerCertSANs = g.SANs
			x.rec.Project.Refit = true // until the host has them too
			if err := x.put(); err != nil {
				return err
			}
			if err := x.reprovision(ctx, refit{}, true); err != nil {
				return err
			}
			x.rec.Project.Refit = false
			return errors.Join(x.put(), u.dockerContext(ctx, x, g.DockerContext))
		})
	}, settled)
}

// dockerContext makes the docker context of a machine, or removes it.
func (u *upping) dockerContext(ctx context.Context, x *machine, want bool) error {
	if x.rec.DockerContext == want {
		return nil
	}
	if !want {
		if err := u.m.removeContext(ctx, x.rec.Name); err != nil {
			return err
		}
		x.rec.DockerContext = false
		return x.put()
	}
	if err := u.m.checkContext(ctx, x.rec.Name); err != nil {
		return err
	}
	x.rec.DockerContext = true
	if err := x.put(); err != nil {
		return err
	}
	return u.m.makeContext(ctx, x)
}

func (u *upping) upgrade(ctx context.Context, steps cluster.Steps) error {
	byVersion := map[string][]string{}
	var versions []string
	for _, s := range steps.Of(cluster.Upgrade) {
		v := u.spec.Named(s.Name).Engine.Version
		if byVersion[v] == nil {
			versions = append(versions, v)
		}
		byVersion[v] = append(byVersion[v], s.Name)
	}
	for _, v := range versions {
		if err := u.m.Upgrade(ctx, UpgradeRequest{Names: byVersion[v], Version: v}); err != nil {
			return err
		}
	}
	return nil
}

// replace removes machines and makes them again, one after another: a swarm never misses more than one.
func (u *upping) replace(ctx context.Context, steps cluster.Steps) error {
	for _, s := range steps.Of(cluster.Replace) {
		g := u.spec.Named(s.Name)
		// What would keep it from being made again is to be known before it is gone, such as a secret that only it had stored.
		if _, err := u.m.check(u.createRequest(*g, []string{s.Name})); err != nil {
			return fmt.Errorf("replace %q: %w", s.Name, err)
		}
		if _, err := u.m.Remove(ctx, RemoveRequest{Names: []string{s.Name}}); err != nil {
			return fmt.Errorf("replace %q: %w", s.Name, err)
		}
		if err := u.createGroups(ctx, map[string][]string{g.Name: {s.Name}}); err != nil {
			return fmt.Errorf("replace %q: %w", s.Name, err)
		}
		if g.Role == cluster.None {
			continue
		}
		if err := u.place(ctx, *g, []string{s.Name}); err != nil {
			return fmt.Errorf("replace %q: %w", s.Name, err)
		}
	}
	return nil
}

func (u *upping) remove(ctx context.Context, steps cluster.Steps) error {
	all := stepNames(steps.Of(cluster.Remove))
	if len(all) == 0 {
		return nil
	}
	_, err := u.m.Remove(ctx, RemoveRequest{Names: all})
	return err
}
