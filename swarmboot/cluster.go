package swarmboot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// clusterSpec is what a swarm is told to be, by section. It is sent back as it came but for what is changed, so
// that nothing in it is lost.
type clusterSpec map[string]json.RawMessage

// read decodes a section; one that is not there leaves into as it is.
func (s clusterSpec) read(section string, into any) error {
	data, ok := s[section]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s of the swarm's specification: %w", section, err)
	}
	return nil
}

// set puts fields into a section.
func (s clusterSpec) set(section string, fields map[string]any) error {
	all := map[string]json.RawMessage{}
	if err := s.read(section, &all); err != nil {
		return err
	}
	for name, value := range fields {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		all[name] = data
	}
	data, err := json.Marshal(all)
	s[section] = data
	return err
}

func clusterOf(ctx context.Context, manager Engine) (clusterObject, error) {
	var c clusterObject
	err := call(ctx, manager, http.MethodGet, "/swarm", nil, &c)
	return c, leaderless(err)
}

// updateCluster changes a swarm, reading it again when others changed it in between. change reports whether there is
// anything to change. query is what else the update asks for, such as rotateWorkerToken=true.
func updateCluster(ctx context.Context, manager Engine, query string, change func(c *clusterObject) (bool, error)) error {
	if query != "" {
		query = "&" + query
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		c, err := clusterOf(ctx, manager)
		if err != nil {
			return false, err
		}
		if c.Spec == nil {
			c.Spec = clusterSpec{}
		}
		if due, err := change(&c); err != nil {
			return false, unhealing{err}
		} else if !due {
			return true, nil
		}
		err = call(ctx, manager, http.MethodPost, "/swarm/update?version="+strconv.FormatUint(c.Version.Index, 10)+query, c.Spec, nil)
		if outOfSequence(err) {
			return false, nil
		}
		return err == nil, leaderless(err)
	})
}

// unhealing is an error that asking again does not mend.
type unhealing struct{ error }

func (e unhealing) Unwrap() error { return e.error }
func (unhealing) final() bool     { return true }

// RotateTokens replaces the join token of a role; empty: of both. Nodes that have joined are
// not affected. The new tokens are not returned.
func RotateTokens(ctx context.Context, manager Engine, role Role) error {
	query := ""
	switch role {
	case Manager:
		query = "rotateManagerToken=true"
	case Worker:
		query = "rotateWorkerToken=true"
	case "":
		query = "rotateManagerToken=true&rotateWorkerToken=true"
	default:
		return fmt.Errorf("rotate join tokens: unknown role %q", role)
	}
	err := updateCluster(ctx, manager, query, func(*clusterObject) (bool, error) { return true, nil })
	if err != nil {
		return fmt.Errorf("rotate join tokens: %w", err)
	}
	return nil
}

// MinCertExpiry is the shortest life that engines give certificates of nodes.
const MinCertExpiry = time.Hour

// SetCertExpiry sets how long certificates that nodes get from now on are good for; those that they have stay as they
// are until they are renewed. Nothing is written when the swarm has it already.
func SetCertExpiry(ctx context.Context, manager Engine, expiry time.Duration) error {
	err := updateCluster(ctx, manager, "", func(c *clusterObject) (bool, error) {
		ca, err := c.caConfig()
		if err != nil || ca.NodeCertExpiry == expiry {
			return false, err
		}
		return true, c.Spec.set("CAConfig", map[string]any{"NodeCertExpiry": expiry})
	})
	if err != nil {
		return fmt.Errorf("set the life of certificates: %w", err)
	}
	return nil
}
