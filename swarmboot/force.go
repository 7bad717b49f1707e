package swarmboot

import (
	"context"
	"fmt"
	"net/http"
)

// Kept is what a swarm of one manager has of the one before only if the engine is told.
type Kept struct {
	DataPathPort int
	Autolock     bool
	Rotations    uint64 // Authority.Rotations of before: any other number has the managers replace the authority once more
}

// ForceNewCluster makes a swarm of one manager of what a manager knows of its swarm, and waits until it leads. The engine
// is told the addresses and what is to be kept again, because it takes none of them over. It is not begun when the manager
// leads already.
func ForceNewCluster(ctx context.Context, e Engine, n Node, kept Kept, step StepFunc) error {
	if err := checkAdvertise(n); err != nil {
		return err
	}
	return stepped(ctx, step, "make a new cluster of what "+n.Name+" knows", func(ctx context.Context) error {
		if alone(Inspect(ctx, e)) {
			return nil
		}
		req := initRequest{
			ListenAddr:      listenAddr(n),
			AdvertiseAddr:   n.Advertise,
			DataPathAddr:    n.DataPath,
			DataPathPort:    kept.DataPathPort,
			ForceNewCluster: true,
		}
		if kept.Autolock || kept.Rotations > 0 {
			req.Spec = &initSpec{}
			req.Spec.EncryptionConfig.AutoLockManagers = kept.Autolock
			req.Spec.CAConfig.ForceRotate = kept.Rotations
		}
		err := call(ctx, e, http.MethodPost, "/swarm/init", req, nil)
		if status(err) != 0 && !inBackground(err) {
			return fmt.Errorf("force new cluster: %w", addressHint(err))
		}
		err = poll(ctx, func(ctx context.Context) (bool, error) { // also when the answer got lost
			i, err := info(ctx, e)
			if err != nil {
				return false, err
			}
			if s := i.Swarm.LocalNodeState; s == "error" || s == "locked" {
				return false, &apiError{status: http.StatusConflict, message: redact(orElse(i.Swarm.Error, "the engine is "+s))}
			}
			return alone(Inspect(ctx, e)), nil
		})
		if err != nil {
			return fmt.Errorf("wait for the new cluster: %w", err)
		}
		return nil
	})
}

// alone reports whether a manager leads and is the only one that votes.
func alone(s Seen) bool { return s.manages() && CountQuorum(s.Nodes).Managers == 1 }

// LeadsAlone reports whether an engine leads its swarm as the only manager that votes.
func LeadsAlone(ctx context.Context, e Engine) bool { return alone(Inspect(ctx, e)) }

// Rejoin is the action that brings a node back with another id, at which its engine first leaves what it was in. former is
// the id that it had.
func Rejoin(n Node, via, former string) Action {
	kind := kindJoinWorker
	if n.Role == Manager {
		kind = kindJoinManager
	}
	a := Action{Kind: kind, Node: n, Via: []string{via}, Reset: true}
	if former != "" {
		a.Replaces = []string{former}
	}
	return a
}

// Settle waits until a node is ready and gives it the labels and the availability wanted, as a join does at its end.
func Settle(ctx context.Context, manager Engine, id string, n Node) error {
	return (&boot{}).settle(ctx, manager, id, n)
}
