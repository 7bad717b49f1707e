package swarmboot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Picture is what a manager says of its swarm at one moment.
type Picture struct {
	CertExpiry time.Duration // node certificates are issued for so long
	Autolock   bool
	RotatingCA bool
	Nodes      []Member // ordered by hostname and id
	Services   []Service
	Tasks      []Task // those included that have ended, as far as the swarm remembers them
}

// Service is a service as a manager sees it.
type Service struct {
	ID, Name, Image string
	Mode            string // replicated, global, replicated-job, global-job
	Replicas        int    // wanted, of a replicated one
	Update          string // state of its last update, such as updating or paused
}

// Task is a task as a manager sees it.
type Task struct {
	ID, ServiceID, NodeID string
	Slot                  int    // 0: of a global service
	State, Desired        string // such as running, failed; running, shutdown
	Error                 string // of one that failed, or that no node can take
	Image                 string
	At                    time.Time // when it came into its state
}

// Ended tells whether the task has come to its end, whether or not that was wanted.
func (t Task) Ended() bool {
	switch t.State {
	case "complete", "shutdown", "failed", "rejected", "remove", "orphaned":
		return true
	}
	return false
}

type (
	pictureCluster struct {
		RootRotationInProgress bool
		Spec                   struct {
			CAConfig         struct{ NodeCertExpiry time.Duration }
			EncryptionConfig struct{ AutoLockManagers bool }
		}
	}
	pictureService struct {
		ID   string
		Spec struct {
			Name         string
			TaskTemplate struct{ ContainerSpec *struct{ Image string } }
			Mode         struct {
				Replicated               *struct{ Replicas *int }
				Global                   *struct{}
				ReplicatedJob, GlobalJob *struct{}
			}
		}
		UpdateStatus *struct{ State string }
	}
	pictureTask struct {
		ID, ServiceID, NodeID, DesiredState string
		Slot                                int
		Status                              struct {
			State, Message, Err string
			Timestamp           time.Time
		}
		Spec struct{ ContainerSpec *struct{ Image string } }
	}
)

// Look asks a manager for all of its swarm. One without a leader is an error.
func Look(ctx context.Context, e Engine) (p Picture, err error) {
	if p.Nodes, err = nodes(ctx, e); err != nil {
		return p, fmt.Errorf("list nodes: %w", leaderless(err))
	}
	var cluster pictureCluster
	if err := call(ctx, e, http.MethodGet, "/swarm", nil, &cluster); err != nil {
		return p, fmt.Errorf("inspect swarm: %w", leaderless(err))
	}
	p.CertExpiry = cluster.Spec.CAConfig.NodeCertExpiry
	p.Autolock = cluster.Spec.EncryptionConfig.AutoLockManagers
	p.RotatingCA = cluster.RootRotationInProgress
	var services []pictureService
	if err := call(ctx, e, http.MethodGet, "/services", nil, &services); err != nil {
		return p, fmt.Errorf("list services: %w", leaderless(err))
	}
	for _, s := range services {
		p.Services = append(p.Services, s.service())
	}
	slices.SortFunc(p.Services, func(a, b Service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	var tasks []pictureTask
	if err := call(ctx, e, http.MethodGet, "/tasks", nil, &tasks); err != nil {
		return p, fmt.Errorf("list tasks: %w", leaderless(err))
	}
	for _, t := range tasks {
		p.Tasks = append(p.Tasks, t.task())
	}
	slices.SortFunc(p.Tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.ServiceID, b.ServiceID), cmp.Compare(a.Slot, b.Slot), a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	for i := range p.Nodes {
		for _, t := range p.Tasks {
			if t.NodeID == p.Nodes[i].ID && t.State == "running" && t.Desired == "running" {
				p.Nodes[i].Tasks++
			}
		}
	}
	return p, nil
}

func (s pictureService) service() Service {
	out := Service{ID: s.ID, Name: s.Spec.Name}
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
		out.Image = c.Image
	}
	switch m := s.Spec.Mode; {
	case m.Replicated != nil:
		out.Mode, out.Replicas = "replicated", 1
		if m.Replicated.Replicas != nil {
			out.Replicas = *m.Replicated.Replicas
		}
	case m.Global != nil:
		out.Mode = "global"
	case m.ReplicatedJob != nil:
		out.Mode = "replicated-job"
	case m.GlobalJob != nil:
		out.Mode = "global-job"
	}
	if s.UpdateStatus != nil {
		out.Update = s.UpdateStatus.State
	}
	return out
}

func (t pictureTask) task() Task {
	out := Task{
		ID: t.ID, ServiceID: t.ServiceID, NodeID: t.NodeID, Slot: t.Slot,
		State: t.Status.State, Desired: t.DesiredState, At: t.Status.Timestamp, Error: redact(t.Status.Err),
	}
	if c := t.Spec.ContainerSpec; c != nil {
		out.Image = c.Image
	}
	return out
}

// Describe returns what a manager says of its swarm, its nodes and its services, as the API has them, without
// join tokens and without the key of the authority.
func Describe(ctx context.Context, e Engine) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for name, path := range map[string]string{"Cluster": "/swarm", "Nodes": "/nodes", "Services": "/services"} {
		var v any
		if err := call(ctx, e, http.MethodGet, path, nil, &v); err != nil {
			return nil, fmt.Errorf("inspect swarm: %w", leaderless(err))
		}
		data, err := json.Marshal(withoutSecrets(v))
		if err != nil {
			return nil, fmt.Errorf("inspect swarm: %w", err)
		}
		out[name] = data
	}
	return out, nil
}

// withoutSecrets takes out, at any depth, the fields that hold secrets of a swarm, and whatever looks like a token.
func withoutSecrets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			switch key {
			case "JoinTokens", "UnlockKey", "SigningCAKey":
				delete(v, key)
			default:
				v[key] = withoutSecrets(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutSecrets(v[i])
		}
	case string:
		return redact(v)
	case float64: // versions of objects are counters: not 1e+06
		if v == float64(int64(v)) {
			return json.Number(strconv.FormatInt(int64(v), 10))
		}
	}
	return v
}
