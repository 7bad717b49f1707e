package swarmboot

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Survivor is a machine that is recorded as a member of a swarm which has lost its quorum.
type Survivor struct {
	Node   Node   // as it shall come back; its labels and its availability are taken from the swarm
	NodeID string // as recorded
	Seen   Seen
	Log    RaftLog // of managers that answer
	LogErr string  // why nothing is known of the log
}

// expired reports whether the engine keeps out of its swarm because of its certificate.
func (s Survivor) expired(now time.Time) bool {
	return s.Seen.State == "error" && (strings.Contains(s.Seen.Err, "expired") || !s.Log.CertEnds.IsZero() && now.After(s.Log.CertEnds))
}

// able reports whether a swarm can be made of what the machine knows.
func (s Survivor) able(id string, now time.Time) bool {
	if s.Node.Role != Manager || !s.Seen.Reachable || s.Seen.ClusterID != "" && s.Seen.ClusterID != id {
		return false
	}
	return s.Seen.State == "active" && s.Seen.Control || s.Seen.State == "pending" && s.Seen.Control || s.Seen.State == "locked" || s.expired(now)
}

// Recovery is the plan of bringing a swarm back.
type Recovery struct {
	Via       string   // the manager that the swarm goes on with
	Force     bool     // it makes a swarm of its own of what it knows
	Aside     bool     // its engine first forgets how it was started: only so does init take a certificate that has expired
	Unlock    bool     // its key is decrypted for it, because init takes no key
	Certain   bool     // its log is known to be the newest of those left
	Reason    string   // why this manager
	Rejoin    []string // managers that leave what they know and join again
	Await     []string // workers that come back by themselves
	Return    []string // workers that have to join again
	Remove    []string // managers that do not answer
	Absent    []string // workers that do not answer; they may come back by themselves
	Managers  int      // before
	Warnings  []string
	Addresses map[string]string // advertise address by machine, of those that do not answer: for people
}

// PlanRecovery decides how a swarm comes back whose managers have lost their quorum or whose certificates have expired.
// machines are all that are recorded, via is the manager that a person chose, if one did.
//
// Errors: ErrHealthy (there is nothing to recover), ErrNoManager (no manager is left that knows the swarm), ErrState (via
// is none).
func PlanRecovery(id string, machines []Survivor, via string, now time.Time) (Recovery, error) {
	var r Recovery
	for _, s := range machines {
		if s.Node.Role == Manager {
			r.Managers++
		}
	}
	i := slices.IndexFunc(machines, func(s Survivor) bool { return s.Seen.manages() && s.Seen.ClusterID == id })
	if i >= 0 && !leadsInVain(machines[i], machines) {
		return r.rejoining(machines, machines[i])
	}
	able := slices.DeleteFunc(slices.Clone(machines), func(s Survivor) bool { return !s.able(id, now) })
	if len(able) == 0 {
		return r, nobodyLeft(machines)
	}
	if err := r.choose(able, via); err != nil {
		return r, err
	}
	r.Force = true
	r.warn(machines, able, now)
	for _, s := range machines {
		r.place(s)
	}
	return r, nil
}

// leadsInVain reports whether a manager still leads, for some seconds, although it has lost the others: it does not
// reach them, and neither do we.
func leadsInVain(leader Survivor, machines []Survivor) bool {
	q, answer := CountQuorum(leader.Seen.Nodes), 0
	for _, s := range machines {
		if s.Node.Role == Manager && s.Seen.Reachable && s.Seen.State == "active" {
			answer++
		}
	}
	return q.Lost() < 0 && answer < q.Needed
}

// rejoining is the plan for a swarm that has a leader: only members that cannot take part any more join again.
func (r Recovery) rejoining(machines []Survivor, via Survivor) (Recovery, error) {
	r.Via, r.Certain, r.Reason = via.Node.Name, true, "the swarm has its quorum"
	voters := make(map[string]bool)
	for _, m := range via.Seen.Nodes {
		voters[m.ID] = m.votes()
	}
	for _, s := range machines {
		out := s.Seen.State == "error" || s.Seen.State == "active" && s.Seen.Control && len(s.Seen.Nodes) == 0 && !voters[s.Seen.NodeID]
		switch {
		case !s.Seen.Reachable || !out:
		case s.Node.Role == Manager:
			r.Rejoin = append(r.Rejoin, s.Node.Name)
		default:
			r.Return = append(r.Return, s.Node.Name)
		}
	}
	if len(r.Rejoin)+len(r.Return) == 0 {
		return r, hint(ErrHealthy, "there is nothing to recover; machine swarm status shows what it has")
	}
	return r, nil
}

// nobodyLeft says of each manager why no swarm can be made of it.
func nobodyLeft(machines []Survivor) error {
	var why []string
	for _, s := range machines {
		switch {
		case s.Node.Role != Manager:
		case !s.Seen.Reachable:
			why = append(why, s.Node.Name+": "+orElse(s.Seen.Err, "does not answer"))
		default:
			why = append(why, s.Node.Name+": "+strings.TrimSuffix(s.Seen.State+": "+s.Seen.Err, ": "))
		}
	}
	if len(why) == 0 {
		why = append(why, "none is recorded")
	}
	return hint(fmt.Errorf("%w: no manager is left that knows the swarm: %s", ErrNoManager, strings.Join(why, "; ")),
		"start the host or the engine of a manager; if none is left, make a machine and restore a backup on it: machine swarm restore FILE NAME")
}

// choose settles on the manager with the newest log.
func (r *Recovery) choose(able []Survivor, via string) error {
	best := able[0]
	r.Certain = true
	for _, s := range able {
		if compareLogs(s.Log, best.Log) > 0 {
			best = s
		}
		r.Certain = r.Certain && s.Log.exact()
	}
	r.Certain = r.Certain || len(able) == 1
	if via != "" {
		i := slices.IndexFunc(able, func(s Survivor) bool { return s.Node.Name == via })
		if i < 0 {
			return hint(fmt.Errorf("%w: %s is no manager that knows the swarm", ErrState, via), "leave it out, and the one with the newest log is taken")
		}
		if r.Certain && compareLogs(able[i].Log, best.Log) < 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s has a newer log (%s) than %s (%s): what it knows more is lost",
				best.Node.Name, best.Log, via, able[i].Log))
		}
		best = able[i]
	}
	r.Via = best.Node.Name
	r.Unlock = best.Log.Locked
	r.Aside = best.Seen.State == "error" || r.Unlock
	r.Reason = "the only manager that is left"
	if len(able) > 1 {
		var logs []string
		for _, s := range able {
			logs = append(logs, s.Node.Name+": "+orElse(s.LogErr, s.Log.String()))
		}
		r.Reason = "the newest log (" + strings.Join(logs, "; ") + ")"
	}
	if via != "" {
		r.Reason = "chosen by you"
	}
	return nil
}

// warn says what a person should know before it is done.
func (r *Recovery) warn(machines, able []Survivor, now time.Time) {
	if !r.Certain {
		r.Warnings = append(r.Warnings, "not every manager tells its last entry, so which log is the newest is judged by the files and may be wrong; --via NAME chooses another")
	}
	running := 0
	for _, s := range able {
		if s.Seen.State == "active" {
			running++
		}
		if s.expired(now) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: its node certificate has expired%s", s.Node.Name, since(s.Log.CertEnds)))
		}
	}
	if r.Managers > 0 && running > r.Managers/2 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d of %d managers run: they may find a leader by themselves once they reach each other at 2377/tcp", running, r.Managers))
	}
	for _, s := range machines {
		if s.Node.Role == Manager && !s.Seen.Reachable {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s does not answer (%s): it is taken out, and must never run again as it is", s.Node.Name, orElse(s.Seen.Err, "no reason given")))
		}
	}
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " on " + t.UTC().Format("2006-01-02")
}

// place decides what becomes of a machine when another, or itself, makes the swarm anew.
func (r *Recovery) place(s Survivor) {
	name := s.Node.Name
	switch {
	case name == r.Via:
	case s.Node.Role == Manager && s.Seen.Reachable:
		r.Rejoin = append(r.Rejoin, name)
	case s.Node.Role == Manager:
		r.Remove = append(r.Remove, name)
	case !s.Seen.Reachable:
		r.Absent = append(r.Absent, name)
	case (s.Seen.State == "active" || s.Seen.State == "pending") && !s.Seen.Control:
		r.Await = append(r.Await, name)
	default:
		r.Return = append(r.Return, name)
	}
}

// Step is what is done at one machine, for people.
type Step struct {
	Machine string
	Text    string
}

// Steps are the plan for people, in order.
func (r Recovery) Steps() []Step {
	var steps []Step
	add := func(machine, format string, args ...any) {
		steps = append(steps, Step{machine, fmt.Sprintf(format, args...)})
	}
	if r.Unlock {
		add(r.Via, "stop the engine and decrypt the manager's key with the unlock key; the manager encrypts it again once it leads")
	}
	if r.Aside {
		add(r.Via, "set swarm/docker-state.json aside and start the engine again: only so does it take a certificate that has expired or a key that was locked")
	}
	if r.Force {
		add(r.Via, "make a swarm of one manager of what it knows (force new cluster): %s", r.Reason)
	}
	for _, name := range r.Remove {
		add(name, "remove it from the swarm and from its record: it does not answer")
	}
	for _, name := range r.Await {
		add(name, "wait until it is back by itself; its tasks go on meanwhile. If it is not in time: leave and join again as worker")
	}
	for _, name := range r.Return {
		add(name, "leave by force, and join again as worker with its labels and its availability; its tasks start anew")
	}
	for _, name := range r.Rejoin {
		add(name, "leave by force, and join again as manager with its labels and its availability")
	}
	for _, name := range r.Absent {
		add(name, "nothing: it does not answer, and comes back by itself when it runs again")
	}
	return steps
}

// Lost says what is lost, for people.
func (r Recovery) Lost() []string {
	var lost []string
	if r.Force {
		lost = append(lost, "changes of services, networks, configs and secrets that "+r.Via+" had not heard of when the quorum was lost")
	}
	if n := len(r.Rejoin) + len(r.Return); n > 0 {
		lost = append(lost, fmt.Sprintf("the tasks on %s: the swarm starts others in their place; volumes and images stay", strings.Join(slices.Concat(r.Rejoin, r.Return), ", ")))
	}
	if len(r.Remove) > 0 {
		lost = append(lost, fmt.Sprintf("%d of %d managers: %s", len(r.Remove), r.Managers, strings.Join(r.Remove, ", ")))
	}
	return lost
}

// errNoAddress: a manager cannot be told to advertise nothing.
var errNoAddress = errors.New("no address is recorded")

// checkAdvertise refuses an address that no other node can use.
func checkAdvertise(n Node) error {
	if n.Advertise == "" {
		return hint(fmt.Errorf("%w: %s: %w", ErrAddress, n.Name, errNoAddress), "give the address that the other nodes reach the machine at")
	}
	if ip := net.ParseIP(hostOf(n.Advertise)); ip != nil && ip.IsUnspecified() {
		return hint(fmt.Errorf("%w: %s: %s is no address of a host", ErrAddress, n.Name, n.Advertise), "give the address that the other nodes reach the machine at")
	}
	return nil
}
