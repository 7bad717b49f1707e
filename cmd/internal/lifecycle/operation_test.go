package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestOperationIsGoneOnWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager()
	open := func(kind string, first []string) (*operation[[]string], clusterTxn, error) {
		txn, cluster, err := m.lockCluster(t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		op, err := begin(m, txn, &cluster, kind, "swarm "+kind+" prod", first)
		return op, txn, err
	}
	op, txn, err := open(upgradeOperation, nil)
	if err != nil || op.Resumed {
		t.Fatalf("got %+v, %v", op, err)
	}
	op.State = append(op.State, "w1")
	if err := errors.Join(op.save(), txn.Close()); err != nil {
		t.Fatal(err)
	}

	_, txn, err = open(recoverOperation, nil)
	if !errors.Is(err, ErrOperation) || !strings.Contains(err.Error(), `upgrade of swarm "prod"`) {
		t.Errorf("got %v, want that the upgrade has not ended", err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}

	op, txn, err = open(upgradeOperation, []string{"from the start"})
	if err != nil || !op.Resumed || !slices.Equal(op.State, []string{"w1"}) {
		t.Fatalf("got %+v, %v", op, err)
	}
	if err := errors.Join(op.end(), txn.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := m.Store.Cluster("prod")
	if err != nil || c.Operation != nil || c.Created.IsZero() {
		t.Errorf("got %+v, %v", c, err)
	}
}
