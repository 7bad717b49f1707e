package lifecycle

import (
	"context"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/cluster"
)

func TestKilledUp(t *testing.T) {
	t.Parallel()
	k := killing{
		names: []string{"m1", "w1"},
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Up(ctx, UpRequest{Spec: clusterSpec(w.t, clusterFile, "[w1, w2]", "[w1]"), Agree: yes})
		},
		from:  "put record, ready", // what is before is a create like any other
		kinds: "put",
	}
	k.each(t, func(t *testing.T, w *world) {
		s := clusterSpec(t, clusterFile, "[w1, w2]", "[w1]")
		w.up(s, cluster.Wish{})
		if got := w.drift(s); got != noDrift {
			t.Errorf("Got %s", got)
		}
		if got := w.roles(); got != "m1 manager, w1 worker" {
			t.Errorf("Got %s", got)
		}
		w.down(t)
	})
}

// killedChange is an up that changes engines or replaces a machine.
func killedChange(t *testing.T, from, kinds, to string) {
	change := []string{"[w1, w2]", "[w1]", "labels: {disk: ssd}", to}
	k := killing{
		names:  []string{"m1", "w1"},
		before: func(w *world) { w.up(clusterSpec(w.t, clusterFile, "[w1, w2]", "[w1]"), cluster.Wish{}) },
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Up(ctx, UpRequest{Spec: clusterSpec(w.t, clusterFile, change...), Wish: cluster.Wish{AllowReplace: true}, Agree: yes})
		},
		from: from, kinds: kinds,
	}
	k.each(t, func(t *testing.T, w *world) {
		s := clusterSpec(t, clusterFile, change...)
		w.up(s, cluster.Wish{AllowReplace: true})
		if got := w.drift(s); got != noDrift {
			t.Errorf("Got %s", got)
		}
		if got := w.roles(); got != "m1 manager, w1 worker" {
			t.Errorf("Got %s", got)
		}
	})
}

func TestKilledUpThatChanges(t *testing.T) {
	t.Parallel()
	killedChange(t, "put", "put ssh", "labels: {disk: ssd}\n    engine: {labels: {rack: 1}}")
}

func TestKilledUpThatReplaces(t *testing.T) {
	t.Parallel()
	killedChange(t, "delete machine", "put provider ssh delete", "options: {fake-size: large}")
}

func TestKilledDown(t *testing.T) {
	t.Parallel()
	k := killing{
		names:  []string{"m1", "w1"},
		before: func(w *world) { w.up(clusterSpec(w.t, clusterFile, "[w1, w2]", "[w1]"), cluster.Wish{}) },
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Down(ctx, DownRequest{Project: "p", Agree: yes})
		},
		kinds: "put provider delete",
	}
	k.each(t, func(t *testing.T, w *world) { w.down(t) })
}
