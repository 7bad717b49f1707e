package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hostsmith/machine/swarmboot"
)

// nodes judges each node: does it run, is its engine to be reached, how is its certificate.
func (j *judgement) nodes() {
	versions := map[string]bool{}
	for i := range j.v.Nodes {
		n := &j.v.Nodes[i]
		fact, ours := j.Machines[n.Machine]
		if ours && !fact.Seen.Reachable {
			n.Silent = shown(cmp.Or(fact.Seen.Err, "no answer"))
		}
		if n.Engine != "" {
			versions[n.Engine] = true
		}
		j.runs(*n, fact)
		j.listed(*n, fact.Seen)
		if cert, ok := j.Certs[n.Machine]; ok && ours {
			j.certificate(n, cert)
		}
	}
	if len(versions) > 1 {
		var list []string
		for v := range versions {
			list = append(list, v)
		}
		slices.Sort(list)
		j.find(SeverityNote, versionsDiffer, "", "machine swarm upgrade "+j.Cluster.Name, "engines of several versions: %s", strings.Join(list, ", "))
	}
}

// runs judges whether a node runs.
func (j *judgement) runs(n SwarmNode, fact machineFact) {
	seen := fact.Seen
	down := j.lists(n.ID) && (n.State == "down" || n.Reachability == "unreachable")
	said := strings.TrimSpace(n.State + " " + n.Reachability)
	switch {
	case seen.State == "locked" && j.Picture == nil && j.v.Reachable == 0: // said of the whole swarm
	case seen.State == "locked":
		j.find(SeverityWarning, swarmLocked, n.Machine, "machine swarm unlock "+j.Cluster.Name, "locked: it was restarted and needs the unlock key")
	case seen.State == "error":
		j.broken(n, seen.Err)
	case n.Machine == "" && down: // a ghost, see drift
	case down && !seen.Reachable:
		advice := "machine start " + n.Machine
		if j.v.CanLose >= 0 { // without the quorum nothing can be removed
			advice += "; if it is lost for good: machine rm " + n.Machine
		}
		j.find(SeverityWarning, nodeDown, n.Name(), advice, "%s", said)
	case down && (seen.State == "active" || seen.State == hangs):
		j.find(SeverityWarning, nodeUnheard, n.Name(),
			"look for what stands between it and the managers: 2377/tcp, 7946/tcp and 7946/udp, and its clock (machine ssh "+n.Machine+" date)",
			"%s: its engine runs, and the managers do not hear of it", said)
	case down && seen.State != "inactive": // that one has left, see drift
		j.find(SeverityWarning, nodeDown, n.Name(), "machine ssh "+n.Machine+" sudo journalctl -u docker -n 50", "%s, and its engine is %s", said, seen.State)
	case down:
	case j.Picture != nil && n.Machine != "" && n.State == "ready" && !seen.Reachable && !fact.Gone:
		j.find(SeverityWarning, engineSilent, n.Machine, "machine status "+n.Machine+", and a way to its engine's port from here; machine regenerate-certs "+n.Machine+" if certificates are the cause",
			"the swarm has it ready, and its engine does not answer this computer: %s", cmp.Or(seen.Err, "no answer"))
	}
}

// broken is an engine that could not take up its part in the swarm.
func (j *judgement) broken(n SwarmNode, why string) {
	if strings.Contains(why, "expired") || strings.Contains(why, "not valid after") {
		j.find(SeverityError, certExpired, n.Machine, "machine swarm recover "+j.Cluster.Name,
			"its certificate for the swarm has expired: it was off for longer than certificates live, 90 days by default (%s)", why)
		return
	}
	if strings.Contains(why, "can't initialize raft node") {
		j.find(SeverityError, nodeError, n.Machine, "machine swarm recover "+j.Cluster.Name+" has it leave and join again, as a manager",
			"it was promoted, and cannot become a manager by itself (%s)", why)
		return
	}
	j.find(SeverityError, nodeError, n.Machine, "machine ssh "+n.Machine+" sudo journalctl -u docker -n 50", "its engine says: %s", cmp.Or(why, "error"))
}

func (j *judgement) certificate(n *SwarmNode, cert nodeCert) {
	if cert.Err != "" || cert.Until.IsZero() {
		n.CertProblem = shown(cmp.Or(cert.Err, "not known"))
		return
	}
	until := cert.Until.UTC()
	n.CertExpires = &until
	seen := j.Machines[n.Machine].Seen
	runs := seen.Reachable && seen.State == "active" && (j.Picture == nil || n.State == "ready")
	date := until.Format("2006-01-02 15:04 MST")
	kind := cert.judge(j.Now, runs)
	known := func(f SwarmFinding) bool { return f.Kind == certExpired && f.Subject == n.Machine }
	switch kind {
	case certExpired:
		if !slices.ContainsFunc(j.v.Findings, known) {
			j.find(SeverityError, certExpired, n.Name(), "machine swarm recover "+j.Cluster.Name,
				"its certificate for the swarm expired on %s: a node that is off for longer than certificates live does not come back by itself", date)
		}
	case certRenewal:
		j.find(SeverityWarning, certRenewal, n.Name(),
			"compare its clock with the managers' (machine ssh "+n.Name()+" date), and restart its engine: machine ssh "+n.Name()+" sudo systemctl restart docker",
			"its certificate for the swarm ends on %s and should have been renewed by now", date)
	case certAwaits:
		j.find(SeverityWarning, certAwaits, n.Name(), "machine start "+n.Name()+" and leave it on for a while, before that day",
			"its certificate for the swarm ends on %s, and is renewed only while the node runs", date)
	}
}

// drift compares the swarm with the record.
func (j *judgement) drift() {
	hostnames := map[string][]string{}
	for i := range j.v.Nodes {
		n := &j.v.Nodes[i]
		if j.lists(n.ID) && n.State != "down" {
			hostnames[n.Hostname] = append(hostnames[n.Hostname], n.ID)
		}
		if n.Machine == "" {
			j.stranger(n)
			continue
		}
		j.member(n)
	}
	for _, n := range j.v.Nodes {
		ids := hostnames[n.Hostname]
		if len(ids) < 2 || ids[0] != n.ID {
			continue
		}
		j.find(SeverityWarning, sameHostname, n.Hostname, "machine ssh NAME sudo hostnamectl set-hostname NAME, then machine ssh NAME sudo systemctl restart docker",
			"%d nodes have this hostname, and docker node commands cannot tell them apart: %s", len(ids), strings.Join(ids, " "))
	}
	for _, name := range j.names() {
		fact := j.Machines[name]
		if _, member := j.Cluster.Members[name]; member || fact.Gone {
			continue
		}
		if fact.Swarm.NodeID == "" {
			j.find(SeverityWarning, unrecorded, name, "machine swarm join --swarm-name "+j.Cluster.Name+" "+name, "its join has not ended")
			continue
		}
		j.find(SeverityWarning, unrecorded, name, "machine swarm join --swarm-name "+j.Cluster.Name+" "+name,
			"its record says that it is in the swarm, and the swarm's record does not have it")
	}
}

// stranger is a node that is no machine of this store.
func (j *judgement) stranger(n *SwarmNode) {
	strike := "machine swarm rm-node --swarm " + j.Cluster.Name + " " + n.ID
	former := ""
	for _, name := range j.names() {
		if fact := j.Machines[name]; n.Hostname != "" && (fact.Seen.Hostname == n.Hostname || name == n.Hostname) {
			former = name
		}
	}
	switch {
	case n.State == "down" && former != "":
		n.Problem = "a ghost: former node of " + former
		j.find(SeverityWarning, ghostNode, n.Name(), strike, "a ghost: node %s is down, and machine %s is another node now", n.ID, former)
	case n.State == "down":
		n.Problem = "a ghost: down, not a machine of this store"
		j.find(SeverityWarning, ghostNode, n.Name(), strike, "a ghost: node %s is down and not a machine of this store", n.ID)
	default:
		n.Problem = "not a machine of this store"
		advice := "adopt it: machine create -d generic --generic-ip-address ADDRESS NAME"
		j.find(SeverityWarning, unknownNode, n.Name(), advice, "not a machine of this store")
	}
}

// member compares a machine with its record.
func (j *judgement) member(n *SwarmNode) {
	recorded := j.Cluster.Members[n.Machine]
	fact := j.Machines[n.Machine]
	drifted := func(kind, advice, text string) {
		if n.Problem == "" {
			n.Problem = shown(text)
		}
		j.find(SeverityWarning, kind, n.Machine, advice, "%s", text)
	}
	swarm := j.Cluster.Name
	rejoin := "machine swarm join --swarm-name " + swarm + " " + n.Machine
	if recorded.Role == string(swarmboot.Manager) {
		rejoin = "machine swarm join --manager --swarm-name " + swarm + " " + n.Machine
	}
	now := fact.Seen.NodeID
	switch {
	case fact.Gone:
		drifted(machineGone, "machine swarm rm-node --swarm "+swarm+" "+n.ID, "the store has no such machine any more")
	case j.Picture == nil:
		if fact.Seen.ClusterID != "" && j.Cluster.ID != "" && fact.Seen.ClusterID != j.Cluster.ID {
			drifted(otherSwarm, "machine swarm leave --force "+n.Machine, "its engine is in another swarm, "+fact.Seen.ClusterID)
		} else if fact.Seen.State == "inactive" {
			drifted(removedNode, rejoin, "recorded, and its engine is in no swarm: it has left by hand")
		}
		return
	case recorded.NodeID == "":
		drifted(unrecorded, rejoin, "its join has not ended")
	case recorded.NodeID != n.ID:
		drifted(otherNode, rejoin+" records it", fmt.Sprintf("in the swarm as another node than recorded (%s)", recorded.NodeID))
	case !j.lists(n.ID):
		j.removed(n, fact, rejoin, drifted)
		return
	case fact.Seen.Reachable && fact.Seen.State == "inactive":
		drifted(removedNode, rejoin, "listed, and its engine is in no swarm: it has left by hand")
	case now != "" && now != n.ID:
		drifted(otherNode, "machine swarm rm-node --swarm "+swarm+" "+n.ID+", once "+now+" is what it shall be", "its engine is another node now ("+now+")")
	case recorded.Role != n.Role:
		undo, keep := "demote", "promote"
		if n.Role == string(swarmboot.Worker) {
			undo, keep = keep, undo
		}
		drifted(roleChanged, "machine swarm "+keep+" "+n.Machine+" records it, machine swarm "+undo+" "+n.Machine+" undoes it", "recorded as "+recorded.Role)
	}
	if addr := fact.Seen.NodeAddr; addr != "" && fact.Peer != "" && fact.Advertise == "" && addr != fact.Peer {
		drifted(addressChanged, "machine swarm leave "+n.Machine+" and then "+rejoin, "its address is "+fact.Peer+", and it tells the others "+addr)
	}
}

// listed tells of a manager that the others look for at an address of before, as after a restore.
func (j *judgement) listed(n SwarmNode, seen swarmboot.Seen) {
	if seen.ListedAddr == "" || seen.NodeAddr == "" || seen.ListedAddr == seen.NodeAddr || !j.lists(n.ID) {
		return
	}
	renew := "machine swarm demote " + n.Machine + " and then machine swarm promote " + n.Machine
	if j.v.Managers < 2 {
		renew = "have a second manager join as docs/runbooks/moving-a-cluster.md says, then " + renew
	}
	j.find(SeverityWarning, addressListed, n.Machine, renew,
		"it is at %s, and the swarm lists it at %s, where managers that join and workers that start again look for it", seen.NodeAddr, seen.ListedAddr)
}

// removed is a member on record that the swarm does not list.
func (j *judgement) removed(n *SwarmNode, fact machineFact, rejoin string, drifted func(kind, advice, text string)) {
	n.State, n.Availability, n.Reachability = "removed", "", ""
	forget := "machine swarm leave --force " + n.Machine
	text := "recorded, but no longer in the swarm"
	switch {
	case fact.Seen.ClusterID != "" && j.Cluster.ID != "" && fact.Seen.ClusterID != j.Cluster.ID:
		drifted(otherSwarm, forget, "recorded, and its engine is in another swarm")
	case fact.Seen.Reachable && fact.Seen.State != "inactive":
		drifted(removedNode, forget+" makes it free, "+rejoin+" takes it in again", text)
	default:
		drifted(removedNode, rejoin+" takes it in again, "+forget+" forgets it", text)
	}
}
