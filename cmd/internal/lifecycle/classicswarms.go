package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// The kinds of swarms.
const (
	KindSwarmMode = "swarm mode"
	KindClassic   = "classic"
)

// classicSwarm is a classic standalone swarm, which has no record of its own: it is all machines with one discovery URL.
type classicSwarm struct {
	name            string // that it was given, else that of its first master; empty: neither
	discovery       string
	masters, agents []store.Record
}

// classicSwarms returns those of the store in the order of their first machines.
func (m *Manager) classicSwarms() ([]classicSwarm, error) {
	entries, err := m.Store.List()
	return classicSwarmsOf(entries), err
}

func classicSwarmsOf(entries []store.Entry) []classicSwarm {
	var out []classicSwarm
	for _, e := range entries {
		o := e.Record.HostOptions.SwarmOptions
		if e.Err != nil || !isClassic(o) || e.Record.Swarm.Name != "" || e.Record.Phase == store.Removing {
			continue
		}
		i := slices.IndexFunc(out, func(s classicSwarm) bool { return s.discovery == o.Discovery })
		if i < 0 {
			out = append(out, classicSwarm{discovery: o.Discovery})
			i = len(out) - 1
		}
		if classicMaster(o) {
			out[i].masters = append(out[i].masters, e.Record)
		}
		if classicAgent(o) {
			out[i].agents = append(out[i].agents, e.Record)
		}
	}
	for i := range out {
		s := &out[i]
		for _, rec := range slices.Concat(s.masters, s.agents) {
			s.name = or(s.name, rec.HostOptions.SwarmOptions.Name)
		}
		if len(s.masters) > 0 {
			s.name = or(s.name, s.masters[0].Name)
		}
	}
	return out
}

// calls are the names that a swarm answers to: its own, and docker-machine's, that of its first master.
func (s classicSwarm) calls() []string {
	var names []string
	if s.name != "" {
		names = append(names, s.name)
	}
	if len(s.masters) > 0 && s.masters[0].Name != s.name {
		names = append(names, s.masters[0].Name)
	}
	return names
}

// of returns the swarm with a discovery URL.
func (m *Manager) classicOf(discovery string) (classicSwarm, bool) {
	swarms, err := m.classicSwarms()
	if err != nil {
		m.Log.Warn("not all machines can be read", "err", err)
	}
	i := slices.IndexFunc(swarms, func(s classicSwarm) bool { return s.discovery == discovery && discovery != "" })
	if i < 0 {
		return classicSwarm{}, false
	}
	return swarms[i], true
}

// classicName is what the swarm of a machine is called; empty: it has no name and no master here.
func (m *Manager) classicName(rec store.Record) string {
	s, _ := m.classicOf(rec.HostOptions.SwarmOptions.Discovery)
	return or(rec.HostOptions.SwarmOptions.Name, s.name)
}

// findClassic returns the classic swarm of a name, or of a member's name.
func (m *Manager) findClassic(name string) (classicSwarm, bool) {
	swarms, err := m.classicSwarms()
	if err != nil {
		m.Log.Warn("not all machines can be read", "err", err)
	}
	for _, s := range swarms {
		if s.name == name && name != "" {
			return s, true
		}
	}
	for _, s := range swarms {
		if slices.ContainsFunc(slices.Concat(s.masters, s.agents), func(rec store.Record) bool { return rec.Name == name }) {
			return s, true
		}
	}
	return classicSwarm{}, false
}

// onlyOwn returns the only swarm whose list of members machine keeps.
func (m *Manager) onlyOwn() (classicSwarm, error) {
	swarms, err := m.classicSwarms()
	if err != nil {
		return classicSwarm{}, err
	}
	swarms = slices.DeleteFunc(swarms, func(s classicSwarm) bool { _, own := swarmboot.OwnList(s.discovery); return !own })
	switch len(swarms) {
	case 0:
		return classicSwarm{}, fmt.Errorf("%w: there is no classic one", ErrNoSwarm)
	case 1:
		return swarms[0], nil
	}
	var names []string
	for _, s := range swarms {
		names = append(names, s.name)
	}
	return classicSwarm{}, fmt.Errorf("%w given, and there are several classic ones: %s", ErrNoSwarm, strings.Join(names, ", "))
}

// checkClassic completes the options of machines that shall be in a classic swarm.
func (m *Manager) checkClassic(o *SwarmOptions, names []string) error {
	o.IsSwarm = true
	swarm, known := m.classicOf(o.Discovery)
	if o.Discovery == "" {
		var err error
		if swarm, known, err = m.ownSwarm(o, names); err != nil {
			return err
		}
	}
	if known {
		if o.Name != "" && swarm.name != "" && o.Name != swarm.name {
			return fmt.Errorf("%w: the swarm with this discovery is called %s, not %s", ErrUsage, swarm.name, o.Name)
		}
		for _, rec := range swarm.masters {
			o.Name, o.Image = or(o.Name, rec.HostOptions.SwarmOptions.Name), or(o.Image, rec.HostOptions.SwarmOptions.Image)
		}
	}
	if o.Name != "" {
		if err := store.ValidName(o.Name); err != nil {
			return err
		}
		if _, err := m.Store.Cluster(o.Name); err == nil {
			return fmt.Errorf("%w: %q is in Swarm mode", ErrKind, o.Name)
		}
	}
	o.Image, o.Host, o.Strategy = or(o.Image, classicImage), or(o.Host, classicHost), or(o.Strategy, classicStrategy)
	wish := swarmboot.Classic{
		Master: o.Master, Discovery: o.Discovery, Host: o.Host, Strategy: o.Strategy, Advertise: or(o.Address, "host"), Options: o.ArbitraryFlags,
	}
	if err := wish.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return nil
}

// ownSwarm chooses the swarm of machines for which no discovery was named.
func (m *Manager) ownSwarm(o *SwarmOptions, names []string) (classicSwarm, bool, error) {
	if o.Name == "" && !o.Master {
		s, err := m.onlyOwn()
		o.Discovery = s.discovery
		return s, err == nil, err
	}
	o.Name = or(o.Name, names[0])
	if err := store.ValidName(o.Name); err != nil {
		return classicSwarm{}, false, err
	}
	if s, ok := m.findClassic(o.Name); ok {
		o.Discovery, o.Name = s.discovery, or(s.name, o.Name)
		return s, true, nil
	}
	if !o.Master {
		return classicSwarm{}, false, fmt.Errorf("%w: there is no classic swarm %q", ErrNoSwarm, o.Name)
	}
	o.Discovery = swarmboot.ListURL(o.Name)
	return classicSwarm{}, false, nil
}

// KindError is a swarm of the other kind than a command is for. It wraps ErrKind.
type KindError struct{ Text string }

func (e *KindError) Error() string { return e.Text }
func (e *KindError) Unwrap() error { return ErrKind }

// notClassic says that a name, which no swarm in Swarm mode has, is that of a classic one; nil: it is not.
func (m *Manager) notClassic(name string) error {
	if _, ok := m.findClassic(name); !ok || name == "" {
		return nil
	}
	return &KindError{fmt.Sprintf("%q is a classic standalone swarm or a member of one, and this is for Swarm mode", name)}
}

// noMember is the error of a machine that is in no swarm in Swarm mode.
func (m *Manager) noMember(name string) error {
	if err := m.notClassic(name); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q is not in a swarm", ErrNoSwarm, name)
}
