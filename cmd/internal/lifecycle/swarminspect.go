package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// swarmInspection is all that is known of a swarm, without its secrets.
type swarmInspection struct {
	Name     string
	ID       string
	AskedVia string `json:",omitempty"`
	Cluster  json.RawMessage
	Nodes    json.RawMessage
	Services json.RawMessage
	Record   store.Cluster // ours
}

// SwarmInspect returns, as JSON, what a manager says of a swarm, its nodes and its services, and our record of it. There are
// no join tokens in it, no unlock key and no key of the authority. When no manager answers, the record is returned with the error.
func (m *Manager) SwarmInspect(ctx context.Context, name string) (json.RawMessage, error) {
	c, err := m.findCluster(name)
	if err != nil {
		return nil, err
	}
	out := swarmInspection{Name: c.Name, ID: c.ID, Record: c}
	eng, via, err := m.aManager(ctx, c, "")
	if err == nil {
		defer eng.close()
		out.AskedVia = via.rec.Name
		var said map[string]json.RawMessage
		if said, err = swarmboot.Describe(ctx, eng); err != nil {
			err = fmt.Errorf("ask swarm %q: %w", c.Name, err)
		}
		out.Cluster, out.Nodes, out.Services = said["Cluster"], said["Nodes"], said["Services"]
	}
	data, merr := json.Marshal(out)
	return data, errors.Join(err, merr)
}
