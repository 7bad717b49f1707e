package etcd

import (
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// TestDone is about a change whose answer did not come, as the key that tells shows it.
func TestDone(t *testing.T) {
	t.Parallel()
	at := func(revision int64, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{ModRevision: revision, Value: []byte(value)}
	}
	for name, c := range map[string]struct {
		value string // empty: it is removed
		there *mvccpb.KeyValue
		want  bool
	}{
		"written":               {"new", at(8, "new"), true},
		"not yet":               {"new", at(7, "old"), false},
		"as it was before":      {"same", at(7, "same"), false}, // the others of the change may not be
		"written again as such": {"same", at(8, "same"), true},
		"written by another":    {"new", at(8, "other"), false},
		"not there yet":         {"new", nil, false},
		"removed":               {"", nil, true},
		"not removed yet":       {"", at(7, "old"), false},
	} {
		var value []byte
		if c.value != "" {
			value = []byte(c.value)
		}
		if got := (change{value: value}).done(c.there, 7); got != c.want {
			t.Errorf("%s: done %v, want %v", name, got, c.want)
		}
	}
}
