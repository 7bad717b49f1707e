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

func TestKilledUpThatChanges(t *testing.T) {
	t.Parallel()
	change := []string{"[w1, w2]", "[w1]", "labels: {disk: ssd}", "engine: {labels: {rack: 1}}\n    options: {fake-size: large}"}
	k := killing{
		names:  []string{"m1", "w1"},
		before: func(w *world) { w.up(clusterSpec(w.t, clusterFile, "[w1, w2]", "[w1]"), cluster.Wish{}) },
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Up(ctx, UpRequest{Spec: clusterSpec(w.t, clusterFile, change...), Wish: cluster.Wish{AllowReplace: true}, Agree: yes})
		},
		kinds: "put provider ssh delete",
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
