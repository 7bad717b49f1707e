package lifecycle

import (
	"fmt"
	"strings"
	"time"
)

// What the health of a swarm is called.
const (
	HealthOK       = "healthy"
	HealthWarning  = "warning"     // it works, and something wants attention
	HealthNoQuorum = "quorum lost" // services run on, and nothing can be changed
	HealthNoLeader = "no leader"   // enough managers answer, and none leads: mostly it passes
	HealthLocked   = "locked"
	HealthSilent   = "no answer"
)

// How much a finding matters.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
	SeverityNote    = "note" // worth knowing, and no problem
)

// SwarmStatus is what "swarm status" shows.
type SwarmStatus struct {
	Name         string    `json:"name"`
	ID           string    `json:"id"`
	Health       string    `json:"health"`
	AskedVia     string    `json:"askedVia,omitempty"` // the machine that answered
	AskedAt      time.Time `json:"askedAt"`
	Leader       string    `json:"leader,omitempty"` // machine, or hostname of a node that is no machine of this store
	DataPathPort int       `json:"dataPathPort"`     // UDP
	Managers     int       `json:"managers"`
	Reachable    int       `json:"reachable"`
	Needed       int       `json:"needed"`
	CanLose      int       `json:"canLose"`
	Autolock     bool      `json:"autolock"`
	CertDays     float64   `json:"certDays,omitempty"` // node certificates are issued for so long
	Operation    string    `json:"operation,omitempty"`

	Nodes    []SwarmNode    `json:"nodes"`
	Services []SwarmService `json:"services"`
	Problems []string       `json:"problems,omitempty"` // the findings that are problems, in short
	Findings []SwarmFinding `json:"findings"`

	silence []string // why engines do not answer, when none does
}

// SwarmNode is a node as "swarm status" shows it.
type SwarmNode struct {
	Machine      string     `json:"machine,omitempty"` // empty: not a machine of this store
	ID           string     `json:"id,omitempty"`
	Hostname     string     `json:"hostname,omitempty"`
	Role         string     `json:"role"`
	Availability string     `json:"availability,omitempty"`
	State        string     `json:"state,omitempty"` // ready, down, ...; without a manager to ask, what the engine says of itself
	Addr         string     `json:"addr,omitempty"`
	Engine       string     `json:"engine,omitempty"`
	Leader       bool       `json:"leader,omitempty"`
	Reachability string     `json:"reachability,omitempty"`
	Tasks        int        `json:"tasks"`
	Failing      int        `json:"failing,omitempty"`     // tasks that failed there a short while ago
	CertExpires  *time.Time `json:"certExpires,omitempty"` // nil: not known
	CertProblem  string     `json:"certProblem,omitempty"` // why it is not known
	Silent       string     `json:"silent,omitempty"`      // why its engine does not answer this computer
	Problem      string     `json:"problem,omitempty"`     // drift from the record
}

// Name is what a person calls the node.
func (n SwarmNode) Name() string {
	switch {
	case n.Machine != "":
		return n.Machine
	case n.Hostname != "":
		return n.Hostname
	}
	return n.ID
}

// SwarmService is a service as "swarm status" counts it.
type SwarmService struct {
	Name    string `json:"name"`
	Mode    string `json:"mode,omitempty"`
	Image   string `json:"image,omitempty"`
	Wanted  int    `json:"wanted"`
	Running int    `json:"running"`
	Failing int    `json:"failing,omitempty"`
	Update  string `json:"update,omitempty"`
	Error   string `json:"error,omitempty"` // the last thing that kept a task from running
}

// SwarmTask is a task that runs, shall run, or failed a short while ago.
type SwarmTask struct {
	Name    string    `json:"name"` // service.slot, or service.node of a global service
	Service string    `json:"service"`
	NodeID  string    `json:"nodeID,omitempty"` // empty: no node has it
	Node    string    `json:"node,omitempty"`
	State   string    `json:"state"`
	Desired string    `json:"desired"`
	Error   string    `json:"error,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// SwarmFinding is something that is not as it should be, and what to do about it.
type SwarmFinding struct {
	Severity string `json:"severity"`
	Kind     string `json:"kind"`              // stable, such as quorum-lost
	Subject  string `json:"subject,omitempty"` // node or service
	Text     string `json:"text"`
	Advice   string `json:"advice,omitempty"` // commands word by word
}

// SwarmView is a swarm with its tasks, for pictures of it.
type SwarmView struct {
	SwarmStatus
	TaskList []SwarmTask `json:"taskList"`
}

// Headline says in a line or two what matters most.
func (s SwarmStatus) Headline() string {
	var b strings.Builder
	fate := fmt.Sprintf("%d may be lost", s.CanLose)
	if s.CanLose < 0 {
		fate = "the quorum is lost"
	}
	verb := "reachable"
	if s.AskedVia == "" {
		verb = "answer"
		if s.Health != HealthNoQuorum {
			fate = s.Health
		}
	}
	managers := "managers"
	if s.Managers == 1 {
		managers = "manager"
	}
	fmt.Fprintf(&b, "Swarm %s (%s): %s\n%d %s, %d %s, %d needed; %s", s.Name, s.ID, s.Health, s.Managers, managers, s.Reachable, verb, s.Needed, fate)
	if s.AskedVia == "" {
		b.WriteString("\nNo manager can speak for the swarm: each engine is shown as it sees itself")
		return b.String()
	}
	leader, lock := s.Leader, "off"
	if leader == "" {
		leader = "none"
	}
	if s.Autolock {
		lock = "on"
	}
	fmt.Fprintf(&b, "\nLeader: %s; asked: %s; data path port: %d/udp; autolock: %s", leader, s.AskedVia, s.DataPathPort, lock)
	if s.CertDays > 0 {
		fmt.Fprintf(&b, "; node certificates live %.4g days", s.CertDays)
	}
	return b.String()
}

// CertLeft says how long the node's certificate is still valid.
func (n SwarmNode) CertLeft(now time.Time) string {
	switch {
	case n.CertExpires == nil && n.CertProblem == "":
		return "-"
	case n.CertExpires == nil:
		return "unknown"
	}
	left := n.CertExpires.Sub(now)
	switch {
	case left <= 0:
		return "expired"
	case left >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(left.Hours()/24))
	case left >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(left.Hours()))
	}
	return fmt.Sprintf("%d minutes", int(left.Minutes()))
}

// ShortImage is the image without its digest.
func (s SwarmService) ShortImage() string {
	image, _, _ := strings.Cut(s.Image, "@")
	return image
}
