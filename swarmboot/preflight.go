package swarmboot

import "context"

// Host is one end of a preflight.
type Host struct {
	Name    string
	Addr    string // peer address
	Runner  Runner
	Joining bool // not yet in the swarm
	Role    Role
}

// Finding is one result of a preflight.
type Finding struct {
	From, To string // machine names
	Subject  string // "2377/tcp", "7946/udp", "4789/udp", "clock", "mtu"
	Verdict  string // ok, blocked, skewed, small, unknown
	Detail   string
	Fatal    bool
}

// Preflight probes between hosts what a swarm needs: 2377/tcp to managers, 7946 tcp and udp and 4789/udp
// between all, clocks within 30 s, path MTU. One round trip per host, concurrently. It changes nothing.
func Preflight(ctx context.Context, hosts []Host) []Finding { panic("unwritten") }
