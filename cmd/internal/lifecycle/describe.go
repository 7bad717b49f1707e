package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// Describe returns the cluster file of machines that exist, and what a reader of it should know. names are swarms and
// machines; none: all machines. They are in one swarm, or in none.
func (m *Manager) Describe(ctx context.Context, names []string) (*cluster.Spec, []string, error) {
	recs, err := m.described(names)
	if err != nil {
		return nil, nil, err
	}
	s := &cluster.Spec{}
	swarm, project := "", ""
	for i, rec := range recs {
		if rec.Phase != store.Ready {
			return nil, nil, fmt.Errorf("describe %q: %w: its create or removal has not ended", rec.Name, ErrUsage)
		}
		if rec.Swarm.Name != "" && swarm != "" && rec.Swarm.Name != swarm {
			return nil, nil, fmt.Errorf("%w: the machines are in several swarms: %s, %s", ErrUsage, swarm, rec.Swarm.Name)
		}
		swarm = cmp.Or(rec.Swarm.Name, swarm)
		if i == 0 || project == rec.Project.Name {
			project = rec.Project.Name
		} else {
			project = ""
		}
	}
	s.Name = cmp.Or(project, swarm, "machines")
	members, remarks, err := m.describeSwarm(ctx, s, swarm)
	if err != nil {
		return nil, nil, err
	}
	secret := map[string]bool{}
	groups := map[string]int{}
	for _, rec := range recs {
		g, err := m.describeMachine(rec, members)
		if err != nil {
			return nil, nil, err
		}
		key, err := json.Marshal(g)
		if err != nil {
			return nil, nil, err
		}
		if i, ok := groups[string(key)]; ok {
			s.Groups[i].Names = append(s.Groups[i].Names, rec.Name)
			continue
		}
		groups[string(key)] = len(s.Groups)
		g.Name, g.Names = freeName(s.Groups, groupName(rec)), []string{rec.Name}
		s.Groups = append(s.Groups, g)
		if isClassic(rec.HostOptions.SwarmOptions) {
			remarks = append(remarks, fmt.Sprintf("group %s is in classic swarm %s, which a cluster file cannot say", g.Name, m.classicName(rec)))
		}
		if rec.UserData != "" {
			remarks = append(remarks, fmt.Sprintf("group %s was made with user data, which is not kept: give its file as userdata:", g.Name))
		}
		for _, o := range m.secretOptions(rec.DriverName) {
			if !secret[o] {
				remarks = append(remarks, fmt.Sprintf("driver %s: %s is a secret and not written; new machines need it: ${VARIABLE} or {file: PATH}", rec.DriverName, o))
			}
			secret[o] = true
		}
	}
	return s, remarks, nil
}

// described are the records that names stand for, in natural order.
func (m *Manager) described(names []string) ([]store.Record, error) {
	all, err := m.Store.Names()
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, name := range names {
		if slices.Contains(all, name) {
			wanted[name] = true
			continue
		}
		c, err := m.findCluster(name)
		if err != nil {
			return nil, err
		}
		for member := range c.Members {
			wanted[member] = true
		}
	}
	var recs []store.Record
	for _, name := range all {
		if len(names) > 0 && !wanted[name] {
			continue
		}
		rec, err := m.Store.Get(name)
		if err != nil {
			return nil, fmt.Errorf("describe %q: %w", name, err)
		}
		recs = append(recs, rec)
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("%w: there are no machines to describe", ErrUsage)
	}
	return recs, nil
}

// describeSwarm fills in the swarm and returns its members as they are, by node id.
func (m *Manager) describeSwarm(ctx context.Context, s *cluster.Spec, name string) (map[string]swarmboot.Member, []string, error) {
	if name == "" {
		return nil, nil, nil
	}
	c, err := m.Store.Cluster(name)
	if err != nil {
		return nil, nil, err
	}
	s.Swarm.Name = name
	if c.DataPathPort != swarmboot.DataPathPort {
		s.Swarm.DataPathPort = c.DataPathPort
	}
	var remarks []string
	if len(c.Stacks) > 0 {
		remarks = append(remarks, "stacks are not written, as their compose files are not kept: "+strings.Join(slices.Sorted(maps.Keys(c.Stacks)), ", "))
	}
	eng, _, err := m.aManager(ctx, c, "")
	if err != nil {
		if context.Cause(ctx) != nil {
			return nil, nil, err
		}
		return nil, append(remarks, "no manager of the swarm answers: roles and labels are those of the records"), nil
	}
	defer eng.close()
	list, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return nil, nil, fmt.Errorf("ask swarm %q: %w", name, err)
	}
	members := map[string]swarmboot.Member{}
	for _, n := range list {
		members[n.ID] = n
	}
	return members, remarks, nil
}

// describeMachine is the group of one machine, without names.
func (m *Manager) describeMachine(rec store.Record, members map[string]swarmboot.Member) (cluster.Group, error) {
	o, e := rec.HostOptions.SwarmOptions, rec.HostOptions.EngineOptions
	g := cluster.Group{
		Role: cluster.None, Driver: rec.DriverName, SANs: rec.HostOptions.AuthOptions.ServerCertSANs, DockerContext: rec.DockerContext,
		Engine: cluster.Engine{
			Version: e.Version, Source: e.Source, InstallURL: e.InstallURL, RepoURL: e.RepoURL, Port: e.Port, Opts: cut(e.ArbitraryFlags),
			Labels: cut(e.Labels), Env: cut(e.Env), InsecureRegistries: e.InsecureRegistry, RegistryMirrors: e.RegistryMirror,
			StorageDriver: e.StorageDriver, HTTPProxy: e.HTTPProxy, HTTPSProxy: e.HTTPSProxy, NoProxy: e.NoProxy,
		},
	}
	if rec.Swarm.Name != "" {
		g.Role, g.Labels, g.Availability = rec.Swarm.Role, cut(o.Labels), o.Availability
		g.Advertise, g.Listen, g.DataPath = o.Advertise, o.Listen, o.DataPath
		if n, ok := members[rec.Swarm.NodeID]; ok {
			g.Role, g.Availability, g.Labels = string(n.Role), n.Availability, nil
			for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
				g.Labels = append(g.Labels, cluster.Pair{Key: k, Value: n.Labels[k]})
			}
		}
		if g.Availability == "active" {
			g.Availability = ""
		}
	}
	var err error
	g.Options, err = m.describeOptions(rec)
	return g, err
}

func cut(list []string) []cluster.Pair {
	var out []cluster.Pair
	for _, s := range list {
		k, v, _ := strings.Cut(s, "=")
		out = append(out, cluster.Pair{Key: k, Value: v})
	}
	return out
}

// describeOptions are the options of a driver that are not what they are by default.
func (m *Manager) describeOptions(rec store.Record) ([]cluster.Option, error) {
	f, err := m.driver(rec.DriverName)
	if err != nil {
		return nil, err
	}
	d, ok := f.(drivers.Describer)
	if !ok {
		return nil, fmt.Errorf("describe %q: %w: driver %s does not tell its options", rec.Name, drivers.ErrUnsupported, rec.DriverName)
	}
	values, err := d.Describe(rec.Driver)
	if err != nil {
		return nil, err
	}
	var out []cluster.Option
	for _, o := range f.Options() {
		v := values[o.Name]
		text := strings.Join(v, ",")
		zero := o.Default == "" && slices.Contains([]string{"", "0", "0s", "false"}, text)
		if text != o.Default && !zero {
			out = append(out, cluster.Option{Name: o.Name, Values: v})
		}
	}
	return out, nil
}

func (m *Manager) secretOptions(driver string) []string {
	f, err := m.driver(driver)
	if err != nil {
		return nil
	}
	var out []string
	for _, o := range f.Options() {
		if o.Secret {
			out = append(out, o.Name)
		}
	}
	return out
}

// groupName is what a machine's group is called: as in its cluster file, else by its role.
func groupName(rec store.Record) string {
	return cmp.Or(rec.Project.Group, map[string]string{cluster.Manager: "managers", cluster.Worker: "workers"}[rec.Swarm.Role], "machines")
}

func freeName(groups []cluster.Group, name string) string {
	free := name
	for i := 2; slices.ContainsFunc(groups, func(g cluster.Group) bool { return g.Name == free }); i++ {
		free = fmt.Sprintf("%s-%d", name, i)
	}
	return free
}
