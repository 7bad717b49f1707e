package swarmboot

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// DataPathPortOf asks a manager for the UDP port of traffic between the swarm's containers.
func DataPathPortOf(ctx context.Context, manager Engine) (int, error) {
	i, err := info(ctx, manager)
	if err != nil {
		return 0, fmt.Errorf("ask for the data path port: %w", err)
	}
	if i.Swarm.Cluster == nil {
		return 0, fmt.Errorf("ask for the data path port: %w", ErrNoLeader)
	}
	return i.Swarm.Cluster.dataPathPort(), nil
}

// checkDataPath refuses a port that an existing swarm does not have.
func (p *planner) checkDataPath() error {
	for _, name := range p.managers {
		has := p.seen[name].DataPathPort
		if want := p.want.DataPathPort; want != 0 && has != 0 && has != want {
			return hint(fmt.Errorf("%w: %s has %d, not %d", ErrDataPath, p.swarmName(), has, want),
				"leave the port out, or make another swarm")
		}
	}
	return nil
}

// takesDataPath refuses a port that the engine would pass over without a word: those before 19.03 do.
func (p *planner) takesDataPath(name string) error {
	version := p.seen[name].Version
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= 19 || p.want.DataPathPort == 0 || p.want.DataPathPort == DataPathPort {
		return nil
	}
	return fmt.Errorf("%w: %s: its engine (version %s) has no choice of the data path port, 19.03 and later have it", ErrState, name, version)
}
