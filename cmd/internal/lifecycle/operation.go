package lifecycle

import (
	"encoding/json"
	"fmt"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// The kinds of operations.
const (
	upgradeOperation  = "upgrade"
	recoverOperation  = "recover"
	restoreOperation  = "restore"
	rotateCAOperation = "rotate-ca"
)

// operation is long work on a swarm, whose lock is held: how far it came is in the record of the swarm before and after each
// of its steps, so that a command that was killed is gone on with by the next one like it. S is what it remembers, as JSON.
type operation[S any] struct {
	State   S
	Resumed bool // an earlier command began it
	txn     clusterTxn
	cluster *store.Cluster
}

// begin opens an operation of a kind: the one that an earlier command left, or a new one with the state first. Other
// work on the swarm that has not ended is ErrOperation. resume is the command that goes on with it, without the program's
// name: "swarm upgrade prod".
func begin[S any](m *Manager, txn clusterTxn, cluster *store.Cluster, kind, resume string, first S) (*operation[S], error) {
	op := &operation[S]{State: first, txn: txn, cluster: cluster}
	if before, err := pending[S](*cluster, kind); err != nil {
		return nil, err
	} else if before != nil {
		op.Resumed, op.State = true, *before
		return op, nil
	}
	cluster.Operation = &store.Operation{Kind: kind, Begun: m.Now().UTC(), Resume: resume}
	return op, op.save()
}

// pending reads how far the operation of a kind came that a command before left; nil: none is under way.
func pending[S any](c store.Cluster, kind string) (*S, error) {
	switch {
	case c.Operation == nil:
		return nil, nil
	case c.Operation.Kind != kind:
		return nil, operationError(c)
	}
	state := new(S)
	if err := json.Unmarshal(c.Operation.State, state); err != nil {
		return nil, fmt.Errorf("read how far the %s of swarm %q came: %w", kind, c.Name, err)
	}
	return state, nil
}

// save makes State durable.
func (op *operation[S]) save() error {
	data, err := json.Marshal(op.State)
	if err != nil {
		return fmt.Errorf("record how far the %s came: %w", op.cluster.Operation.Kind, err)
	}
	op.cluster.Operation.State = data
	return op.txn.Put(*op.cluster)
}

// end forgets the operation: all is done, or it is given up.
func (op *operation[S]) end() error {
	op.cluster.Operation = nil
	return op.txn.Put(*op.cluster)
}

// operationError says what work on a swarm has not ended, and how to go on with it.
func operationError(c store.Cluster) error {
	return &swarmboot.HintError{
		Err:    fmt.Errorf("%w: %s of swarm %q, begun %s", ErrOperation, c.Operation.Kind, c.Name, c.Operation.Begun.Format("2006-01-02 15:04")),
		Advice: "go on with it: machine " + c.Operation.Resume,
	}
}
