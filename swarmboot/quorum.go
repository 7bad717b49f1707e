package swarmboot

import (
	"fmt"
	"slices"
)

// Quorum is the arithmetic of managers.
type Quorum struct {
	Managers, Reachable, Needed int
}

// CountQuorum counts managers among members. A node that has the role but no reachability is not, or not yet,
// one of those that vote.
func CountQuorum(ms []Member) Quorum {
	var q Quorum
	for _, m := range ms {
		if !m.votes() {
			continue
		}
		q.Managers++
		if m.Reachability == "reachable" {
			q.Reachable++
		}
	}
	q.Needed = q.Managers/2 + 1
	return q
}

func (m Member) votes() bool { return m.Role == Manager && m.Reachability != "" }

// Lost tells how many more managers may be lost without losing the quorum; negative: it is lost.
func (q Quorum) Lost() int { return q.Reachable - q.Needed }

// Warning is what a person should know about the number of managers; empty: nothing.
func (q Quorum) Warning() string {
	switch {
	case q.Managers == 0:
		return ""
	case q.Lost() < 0:
		return fmt.Sprintf("quorum lost: %d of %d managers reachable, %d needed", q.Reachable, q.Managers, q.Needed)
	case q.Managers == 2:
		return "2 managers: the loss of either stops the swarm; 1 or 3 are better"
	case q.Managers%2 == 0:
		return fmt.Sprintf("%d managers tolerate no more losses than %d; an odd number is better", q.Managers, q.Managers-1)
	}
	return ""
}

// CheckRemoval returns why node id must not leave: ErrQuorum with the arithmetic, if what remains
// has no quorum. Removing the last node of a swarm is allowed, and so is removing a manager that is
// not reachable while the others have the quorum to agree on it. An id that is not among ms may leave.
func CheckRemoval(ms []Member, id string) error {
	i := slices.IndexFunc(ms, func(m Member) bool { return m.ID == id })
	if i < 0 || len(ms) == 1 || !ms[i].votes() {
		return nil
	}
	name := ms[i].Hostname
	if name == "" {
		name = id
	}
	before := CountQuorum(ms)
	if before.Lost() < 0 {
		return fmt.Errorf("%w: it is lost already, %d of %d managers reachable, %d needed, so %s cannot be removed in good order",
			ErrQuorum, before.Reachable, before.Managers, before.Needed, name)
	}
	after := CountQuorum(slices.Delete(slices.Clone(ms), i, i+1))
	if after.Managers == 0 {
		return hint(fmt.Errorf("%w: %s is the last manager but not the last node", ErrQuorum, name),
			"promote another node first, or remove the workers before it")
	}
	if after.Lost() < 0 {
		return hint(fmt.Errorf("%w: removing %s leaves %d of %d managers reachable, %d needed", ErrQuorum,
			name, after.Reachable, after.Managers, after.Needed), "bring back or remove the managers that are not reachable first")
	}
	return nil
}

// WarnOfJoins tells what a person should know of the number of managers once actions are done, given what was seen of the swarm
// of this id (empty: a new one); empty: nothing, or the number stays.
func WarnOfJoins(actions []Action, seen map[string]Seen, id string) string {
	var ms []Member
	for _, s := range seen {
		if s.manages() && s.ClusterID == id {
			ms = s.Nodes
		}
	}
	before := CountQuorum(ms)
	after := before
	for _, a := range actions {
		was := Worker
		if i := slices.IndexFunc(ms, func(m Member) bool { return m.ID == a.NodeID }); i >= 0 && a.Kind == kindUpdate && ms[i].votes() {
			was = Manager
		}
		if was == a.Node.Role {
			continue
		}
		step := 1
		if a.Node.Role == Worker {
			step = -1
		}
		after.Managers += step
		after.Reachable += step
	}
	after.Needed = after.Managers/2 + 1
	if after.Managers == before.Managers {
		return ""
	}
	return after.even()
}
