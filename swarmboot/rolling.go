package swarmboot

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Upgrading is a swarm whose engines shall have another version, as far as it has come.
type Upgrading struct {
	Members  []Member              // as a manager lists them
	Machines map[string]Upgradable // by name: the nodes whose engines can be changed
	Parallel int                   // workers at once; 0: 1
}

// Upgradable is a machine of a swarm whose engine may be upgraded.
type Upgradable struct {
	NodeID  string
	Change  []string // what is to be done on its host; none: it has what is asked for
	Version string   // that it comes to; empty: not known
	Former  string   // availability that it had before an upgrade that has not ended drained it; empty: it was not drained
}

// UpgradeStep is what is done at once: workers, or one manager.
type UpgradeStep []UpgradeTurn

// UpgradeTurn is what is done with one node.
type UpgradeTurn struct {
	Name     string // machine name
	NodeID   string
	Drain    bool
	Change   []string
	Version  string
	Activate string // availability that it gets in the end; empty: it keeps what it has
	Leader   bool
}

// String renders the step for a dry run.
func (s UpgradeStep) String() string {
	var turns []string
	for _, t := range s {
		turns = append(turns, t.Name+": "+strings.Join(t.Steps(), ", "))
	}
	return strings.Join(turns, "; at once ")
}

// Steps are the parts of a turn, one line each.
func (t UpgradeTurn) Steps() []string {
	var steps []string
	if t.Drain {
		steps = append(steps, "drain the node until its tasks run elsewhere")
	}
	steps = append(steps, t.Change...)
	ready := "wait until it is ready"
	if t.Leader {
		ready = "wait until another manager leads and it is ready"
	}
	steps = append(steps, ready)
	if t.Activate != "" {
		steps = append(steps, "set it to "+t.Activate)
	}
	return steps
}

// PlanUpgrade decides what is to be done, in order: what an interrupted upgrade has drained, then workers, some at once,
// then managers one by one, the leader last. Nodes that have what is asked for are left alone, and so is the
// availability of those that a person has drained. What CheckUpgrade refuses is refused.
//
// Docker's manual upgrades managers first. Here workers go first, for two reasons. A version that does not work on these hosts
// shows on a worker, whose loss costs no quorum. And managers of different versions write one log while the upgrade
// lasts: those of one release may find entries in it that only a later one knows. That time is shortest when they
// go one right after another, and as long as an old manager leads, which the leader's place at the end sees to,
// nothing new is written at all. Workers speak to managers of either side of such a change.
func PlanUpgrade(u Upgrading) ([]UpgradeStep, error) {
	if err := CheckUpgrade(u); err != nil {
		return nil, err
	}
	var begun, workers, managers, leaders []UpgradeTurn
	for _, name := range slices.Sorted(maps.Keys(u.Machines)) {
		m, ok := u.member(name)
		x := u.Machines[name]
		if !ok || x.Former == "" && len(x.Change) == 0 {
			continue
		}
		t := u.turn(name, m)
		switch {
		case x.Former != "":
			begun = append(begun, t)
		case m.Role != Manager:
			workers = append(workers, t)
		case m.Leader:
			leaders = append(leaders, t)
		default:
			managers = append(managers, t)
		}
	}
	var steps []UpgradeStep
	for _, t := range begun {
		steps = append(steps, UpgradeStep{t})
	}
	for batch := range slices.Chunk(workers, u.batch(workers)) {
		steps = append(steps, batch)
	}
	for _, t := range slices.Concat(managers, leaders) {
		steps = append(steps, UpgradeStep{t})
	}
	return steps, nil
}

func (u Upgrading) member(name string) (Member, bool) {
	i := slices.IndexFunc(u.Members, func(m Member) bool { return m.ID == u.Machines[name].NodeID })
	if i < 0 {
		return Member{}, false
	}
	return u.Members[i], true
}

func (m Member) takesTasks() bool { return m.Availability == active && m.State == "ready" }

func (u Upgrading) turn(name string, m Member) UpgradeTurn {
	x := u.Machines[name]
	t := UpgradeTurn{Name: name, NodeID: m.ID, Change: x.Change, Version: x.Version, Leader: m.Leader && u.managers() > 1}
	if x.Former != "" {
		t.Drain, t.Activate = len(x.Change) > 0, x.Former
		return t
	}
	others := slices.ContainsFunc(u.Members, func(o Member) bool { return o.ID != m.ID && o.takesTasks() })
	if m.Availability != drain && others {
		t.Drain, t.Activate = true, m.Availability
	}
	return t
}

func (u Upgrading) managers() int { return CountQuorum(u.Members).Managers }

// batch is how many workers go at once: as many as asked for, but tasks need an active node that is not among them.
func (u Upgrading) batch(workers []UpgradeTurn) int {
	n := max(u.Parallel, 1)
	others := 0
	for _, m := range u.Members {
		if m.takesTasks() && !slices.ContainsFunc(workers, func(t UpgradeTurn) bool { return t.NodeID == m.ID }) {
			others++
		}
	}
	if others == 0 {
		n = min(n, max(len(workers)-1, 1))
	}
	return n
}

// CheckUpgrade returns why no engine of the swarm may be taken away now: a node that is not ready, or managers that can
// spare none of them. A node that an interrupted upgrade has drained may be in any state.
func CheckUpgrade(u Upgrading) error {
	begun := map[string]bool{}
	for _, x := range u.Machines {
		begun[x.NodeID] = x.Former != ""
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(u.Machines)) {
		m, ok := u.member(name)
		switch {
		case !ok || begun[m.ID]:
		case m.State != "ready":
			errs = append(errs, fmt.Errorf("%w: %s is %s", ErrNode, name, m.State))
		case m.votes() && m.Reachability != "reachable":
			errs = append(errs, fmt.Errorf("%w: manager %s is %s", ErrNode, name, m.Reachability))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return hint(err, "bring it back first (machine start NAME, machine provision NAME), or take it out of the swarm (machine rm --force NAME)")
	}
	q := CountQuorum(u.Members)
	for _, m := range u.Members { // those are the ones that are away already
		if m.votes() && m.Reachability != "reachable" && begun[m.ID] {
			q.Reachable++
		}
	}
	if q.Managers > 2 && q.Lost() < 1 {
		return hint(fmt.Errorf("%w: %d of %d managers reachable, %d needed, and one is away while its engine is upgraded",
			ErrQuorum, q.Reachable, q.Managers, q.Needed), "bring back or remove the managers that are not reachable first")
	}
	if q.Lost() < 0 {
		return hint(fmt.Errorf("%w: it is lost already, %d of %d managers reachable, %d needed", ErrQuorum, q.Reachable, q.Managers, q.Needed),
			"bring the managers back first")
	}
	return nil
}

// UpgradeWarnings is what a person should know before an upgrade is begun.
func UpgradeWarnings(u Upgrading) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	names := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(u.Machines)) {
		names[u.Machines[name].NodeID] = name
		if _, ok := u.member(name); !ok {
			add("%s is recorded as a member and is no node of the swarm: it is left out", name)
		}
	}
	goals := map[string][]string{}
	var managers bool
	var refuses []string
	for _, m := range u.Members {
		name := cmp.Or(names[m.ID], m.Hostname, m.ID)
		x := u.Machines[name]
		goal := cmp.Or(x.Version, m.Version)
		goals[release(goal)] = append(goals[release(goal)], name)
		switch {
		case names[m.ID] == "":
			add("node %s is no machine of this store: its engine stays %s", name, cmp.Or(m.Version, "what it is"))
		case m.Version == "":
			add("the swarm does not say which engine %s has", name)
		case len(x.Change) > 0 && major(m.Version) < 29 && major(goal) >= 29:
			refuses = append(refuses, name)
		}
		managers = managers || m.Role == Manager && len(x.Change) > 0
	}
	if len(refuses) > 0 {
		add("Engine 29 and later refuses clients older than Docker 25 (API 1.44): %s", strings.Join(refuses, " "))
	}
	if len(goals) > 1 {
		var groups []string
		for _, g := range slices.Sorted(maps.Keys(goals)) {
			groups = append(groups, cmp.Or(g, "not known")+": "+strings.Join(goals[g], " "))
		}
		add("engines will differ: %s", strings.Join(groups, ", "))
	}
	switch q := u.managers(); {
	case managers && q == 1:
		add("there is one manager: while its engine restarts the swarm takes no orders; tasks run on")
	case managers && q == 2:
		add("there are 2 managers: while the engine of either restarts the swarm takes no orders; tasks run on")
	}
	return out
}

// release is the number of a version without what packagers add: 5:28.5.2-1~debian.12 is 28.5.2.
func release(version string) string {
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after
	}
	if i := strings.IndexAny(version, "-+~"); i >= 0 {
		version = version[:i]
	}
	return version
}

func major(version string) int {
	first, _, _ := strings.Cut(release(version), ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}
