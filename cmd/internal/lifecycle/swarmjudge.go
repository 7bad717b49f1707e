package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// swarmFacts is all that is known of a swarm at one moment.
type swarmFacts struct {
	Now          time.Time
	Cluster      store.Cluster
	Machines     map[string]machineFact // by name: the members on record, and those whose own record says they are in
	Certs        map[string]nodeCert    // by machine; one that nobody has asked for is not there
	Via          string                 // the machine whose engine drew the picture
	Picture      *swarmboot.Picture     // nil: no manager could
	Failed       string                 // why the last one that tried could not
	DataPathPort int
	AtWork       string // the command that has the swarm's lock, told only where work has not ended; empty: none
}

// machineFact is a machine's record of itself, and what its engine says.
type machineFact struct {
	Gone            bool // the store has no such machine
	Swarm           store.Swarm
	Peer, Advertise string
	Seen            swarmboot.Seen
}

// The kinds of findings.
const (
	quorumLost     = "quorum-lost"
	noLeader       = "no-leader"
	swarmLocked    = "locked"
	noManager      = "no-manager"
	nodeDown       = "node-down"
	nodeUnheard    = "node-unheard" // its engine runs, and the managers do not hear of it
	nodeError      = "node-error"
	engineSilent   = "engine-silent"
	evenManagers   = "even-managers"
	ghostNode      = "ghost-node"
	unknownNode    = "unknown-node"
	removedNode    = "removed-by-hand"
	otherNode      = "other-node"
	otherSwarm     = "other-swarm"
	roleChanged    = "role-changed"
	sameHostname   = "duplicate-hostname"
	addressChanged = "address-changed"
	addressListed  = "address-listed" // the swarm's list has a manager at an address of before
	unrecorded     = "unrecorded-member"
	machineGone    = "machine-gone"
	drainedByUs    = "drained-by-machine"
	notActive      = "not-active"
	operationOpen  = "operation"
	certExpired    = "certificate-expired"
	certRenewal    = "certificate-not-renewed"
	certAwaits     = "certificate-awaits-renewal"
	serviceShort   = "service-short"
	serviceFailing = "service-failing"
	versionsDiffer = "engine-versions-differ"
	caRotating     = "ca-rotating"
)

// judgement is a status in the making.
type judgement struct {
	swarmFacts
	v SwarmView
}

// judgeSwarm makes a status of facts. It asks nobody: the same facts are always judged the same.
func judgeSwarm(f swarmFacts) SwarmView {
	j := &judgement{swarmFacts: f}
	j.v.SwarmStatus = SwarmStatus{
		Name: f.Cluster.Name, ID: f.Cluster.ID, AskedVia: f.Via, AskedAt: f.Now.UTC(), DataPathPort: f.DataPathPort,
		Nodes: []SwarmNode{}, Services: []SwarmService{}, Findings: []SwarmFinding{},
	}
	j.v.TaskList = []SwarmTask{}
	if f.Picture != nil {
		j.drawn()
	} else {
		j.undrawn()
	}
	slices.SortStableFunc(j.v.Nodes, func(a, b SwarmNode) int {
		if am, bm := a.manager(), b.manager(); am != bm {
			if am {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Machine+a.Hostname+a.ID, b.Machine+b.Hostname+b.ID)
	})
	j.nodes()
	j.drift()
	j.unfinished()
	j.conclude()
	return j.v
}

func (n SwarmNode) manager() bool { return n.Role == string(swarmboot.Manager) }

func (j *judgement) find(severity, kind, subject, advice, format string, args ...any) {
	j.v.Findings = append(j.v.Findings, SwarmFinding{
		Severity: severity, Kind: kind, Subject: shown(subject), Text: shown(fmt.Sprintf(format, args...)), Advice: shown(advice),
	})
}

// shown keeps what others choose, such as hostnames, from steering a terminal.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return '?'
	}, s)
}

// drawn takes what a manager says.
func (j *judgement) drawn() {
	q := swarmboot.CountQuorum(j.Picture.Nodes)
	j.v.Managers, j.v.Reachable, j.v.Needed, j.v.CanLose = q.Managers, q.Reachable, q.Needed, q.Lost()
	j.v.Autolock, j.v.CertDays = j.Picture.Autolock, j.Picture.CertExpiry.Hours()/24
	machines := j.machinesByID()
	for _, n := range j.Picture.Nodes {
		node := SwarmNode{
			Machine: machines[n.ID], ID: n.ID, Hostname: shown(n.Hostname), Role: string(n.Role), Availability: n.Availability,
			State: n.State, Addr: shown(n.Addr), Engine: shown(n.Version), Leader: n.Leader, Reachability: n.Reachability, Tasks: n.Tasks,
		}
		j.v.Nodes = append(j.v.Nodes, node)
		if n.Leader {
			j.v.Leader = node.Name()
		}
	}
	for name, member := range j.Cluster.Members {
		if !slices.ContainsFunc(j.v.Nodes, func(n SwarmNode) bool { return n.Machine == name }) {
			j.v.Nodes = append(j.v.Nodes, SwarmNode{Machine: name, ID: member.NodeID, Role: member.Role})
		}
	}
	j.services()
	if j.v.CanLose < 0 {
		j.lost("reachable")
	}
	if q.Managers > 0 && q.Managers%2 == 0 {
		advice := "machine swarm promote NAME makes another manager, machine swarm demote NAME one less"
		j.find(SeverityWarning, evenManagers, "", advice, "%d managers tolerate no more failures than %d do", q.Managers, q.Managers-1)
	}
	if j.Picture.RotatingCA {
		j.find(SeverityNote, caRotating, "", "machine swarm rotate-ca "+j.Cluster.Name+" waits for it", "the authority is being replaced: nodes get new certificates")
	}
}

// machinesByID names the machines of the nodes that are listed: as recorded, else as their engines say.
func (j *judgement) machinesByID() map[string]string {
	byID := map[string]string{}
	for name, member := range j.Cluster.Members {
		if j.lists(member.NodeID) {
			byID[member.NodeID] = name
		}
	}
	for _, name := range j.names() {
		now := j.Machines[name].Seen.NodeID
		if member, ok := j.Cluster.Members[name]; byID[now] == "" && j.lists(now) && !(ok && j.lists(member.NodeID)) {
			byID[now] = name
		}
	}
	return byID
}

func (j *judgement) lists(id string) bool {
	return j.Picture != nil && id != "" && slices.ContainsFunc(j.Picture.Nodes, func(n swarmboot.Member) bool { return n.ID == id })
}

// undrawn takes what each engine says of itself: no manager can speak for the swarm.
func (j *judgement) undrawn() {
	var locked, silent, answering []string
	known := 0 // managers, by what those that answer know
	for _, name := range j.names() {
		fact := j.Machines[name]
		member, ok := j.Cluster.Members[name]
		if !ok {
			continue
		}
		seen := fact.Seen
		node := SwarmNode{
			Machine: name, ID: member.NodeID, Hostname: shown(seen.Hostname), Role: member.Role,
			State: seen.State, Addr: shown(seen.NodeAddr), Engine: shown(seen.Version),
		}
		if !seen.Reachable {
			node.State = "no answer"
		}
		manager := member.Role == string(swarmboot.Manager)
		switch {
		case seen.State == "locked":
			locked = append(locked, name)
		case manager && !seen.Reachable:
			silent = append(silent, name)
		case seen.Control || manager && seen.State == hangs:
			node.Role = string(swarmboot.Manager)
			answering = append(answering, name)
			known = max(known, len(seen.Managers))
		}
		if manager || seen.Control {
			j.v.Managers++
		}
		j.v.Nodes = append(j.v.Nodes, node)
	}
	j.v.Managers = max(j.v.Managers, known)
	j.v.Reachable = len(answering)
	j.v.Needed = j.v.Managers/2 + 1
	j.v.CanLose = j.v.Reachable - j.v.Needed
	switch {
	case len(answering) == 0 && len(locked) > 0:
		j.find(SeverityError, swarmLocked, "", "machine swarm unlock "+j.Cluster.Name,
			"locked: %s was restarted and needs the unlock key", strings.Join(locked, ", "))
	case len(answering) == 0:
		j.find(SeverityError, noManager, "", "machine start "+strings.Join(silent, " ")+"; machine ls shows what runs", "no manager answers")
	case j.v.CanLose < 0:
		j.lost("answer")
	default:
		advice := "look again in a minute; if it stays so, open 2377/tcp between the managers and compare their clocks"
		j.find(SeverityError, noLeader, "", advice, "%d of %d managers answer and have no leader: they elect one, or do not reach each other", j.v.Reachable, j.v.Managers)
	}
}

// lost is the finding of a lost quorum.
func (j *judgement) lost(verb string) {
	var away, locked []string
	for _, n := range j.v.Nodes {
		seen := j.Machines[n.Machine].Seen
		switch {
		case !n.manager() || n.Machine == "" || n.Reachability == "reachable":
		case seen.State == "locked":
			locked = append(locked, n.Machine)
		case !seen.Reachable:
			away = append(away, n.Machine)
		}
	}
	recover := "machine swarm recover " + j.Cluster.Name
	advice := recover + " makes a swarm of one manager again, from the newest state that is left"
	switch {
	case len(locked) > 0:
		advice = "machine swarm unlock " + j.Cluster.Name + " lets " + strings.Join(locked, ", ") + " in again; if that is not enough: " + recover
	case len(away) > 0:
		advice = "machine start " + strings.Join(away, " ") + "; if they are lost for good: " + recover
	}
	j.find(SeverityError, quorumLost, "", advice, "quorum lost: %d of %d managers %s, %d needed; services run on as they are, and nothing can be changed",
		j.v.Reachable, j.v.Managers, verb, j.v.Needed)
}

// names are the machines in order.
func (j *judgement) names() []string {
	names := make([]string, 0, len(j.Machines))
	for name := range j.Machines {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// unfinished tells what earlier commands have left.
func (j *judgement) unfinished() {
	if op := j.Cluster.Operation; op != nil {
		j.v.Operation = op.Kind
		begun := op.Begun.UTC().Format("2006-01-02 15:04 MST")
		if j.AtWork != "" {
			j.find(SeverityNote, operationOpen, "", "", "%s begun %s is under way: %s", op.Kind, begun, j.AtWork)
		} else {
			j.find(SeverityWarning, operationOpen, "", "machine "+op.Resume, "%s begun %s was left half done", op.Kind, begun)
		}
	}
	drained, err := readJournal(j.Cluster)
	if err != nil {
		j.find(SeverityWarning, drainedByUs, "", "", "%v", err)
	}
	for _, n := range j.v.Nodes {
		_, ours := drained[n.Machine]
		goOn := "machine upgrade " + n.Machine
		if op := j.Cluster.Operation; op != nil && op.Kind == upgradeOperation {
			goOn = "machine " + op.Resume
		}
		switch {
		case ours && n.Machine != "" && j.AtWork != "":
			j.find(SeverityNote, drainedByUs, n.Machine, "", "drained for a while: %s is at work", j.AtWork)
		case ours && n.Machine != "":
			j.find(SeverityWarning, drainedByUs, n.Machine, goOn, "drained by an upgrade that did not end")
		case n.Availability != "" && n.Availability != "active" && n.State == "ready":
			word := map[string]string{"drain": "drained", "pause": "paused"}[n.Availability]
			j.find(SeverityNote, notActive, n.Name(), "machine swarm activate "+n.Name(), "%s: takes no new tasks", word)
		}
	}
}

// conclude sorts the findings by weight and names the health.
func (j *judgement) conclude() {
	rank := map[string]int{SeverityError: 0, SeverityWarning: 1, SeverityNote: 2}
	slices.SortStableFunc(j.v.Findings, func(a, b SwarmFinding) int { return rank[a.Severity] - rank[b.Severity] })
	j.v.Health = HealthOK
	for _, f := range j.v.Findings {
		if f.Severity == SeverityNote {
			continue
		}
		text := f.Text
		if f.Subject != "" {
			text = f.Subject + ": " + text
		}
		j.v.Problems = append(j.v.Problems, text)
		if j.v.Health == HealthOK {
			j.v.Health = HealthWarning
		}
	}
	for _, f := range j.v.Findings {
		switch f.Kind {
		case quorumLost:
			j.v.Health = HealthNoQuorum
		case noLeader:
			j.v.Health = HealthNoLeader
		case noManager:
			j.v.Health = HealthSilent
		case swarmLocked:
			if f.Subject == "" {
				j.v.Health = HealthLocked
			}
		}
	}
	for _, n := range j.v.Nodes {
		if n.Silent != "" && j.v.Health == HealthSilent {
			j.v.silence = append(j.v.silence, n.Name()+": "+n.Silent)
		}
	}
}

// err is why the swarm cannot be asked, or cannot be changed; nil: it can.
func (s *SwarmStatus) err() error {
	var cause error
	switch s.Health {
	case HealthNoQuorum, HealthNoLeader:
		cause = swarmboot.ErrNoLeader
	case HealthLocked:
		cause = swarmboot.ErrLocked
	case HealthSilent:
		cause = swarmboot.ErrNoManager
	default:
		return nil
	}
	f := s.Findings[0] // errors come first
	text := f.Text
	if len(s.silence) > 0 {
		text = strings.Join(s.silence, "; ")
	}
	return &swarmboot.HintError{Err: fmt.Errorf("ask swarm %q: %w: %s", s.Name, cause, text), Advice: f.Advice}
}
