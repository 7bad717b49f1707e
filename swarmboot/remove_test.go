package swarmboot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// TestRemoveWhatNeverCameToVote: a node may have the role of a manager and not be one.
func TestRemoveWhatNeverCameToVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 1)
		f.net.RoleDelay = time.Hour
		res, err := f.apply(t.Context(), t)
		if err != nil {
			t.Fatal(err)
		}
		f.nodes[1].Role = mgr
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("promoting"))
		defer cancel()
		if _, err := f.apply(ctx, t); err == nil {
			t.Error("the promotion did not take an hour")
		}
		if err := swarmboot.Remove(t.Context(), res.NodeIDs["w1"], f.made["w1"], f.made["m1"], time.Minute, nil); err != nil {
			t.Error(err)
		}
		if ms, err := swarmboot.Members(t.Context(), f.made["m1"]); err != nil || len(ms) != 1 {
			t.Errorf("got %+v, %v, want one member", ms, err)
		}
	})
}

// dying is an engine whose host dies at a request.
type dying struct {
	*swarmboottest.Engine
	at   string
	seen int // requests of at that are answered before
}

func (d *dying) Do(ctx context.Context, method, path string, in, out any) error {
	if strings.HasPrefix(path, d.at) {
		if d.seen--; d.seen < 0 {
			d.SetDown(true)
			return fmt.Errorf("%s %s: %w", method, path, io.EOF)
		}
	}
	return d.Engine.Do(ctx, method, path, in, out)
}

// TestRemoveWhatDies: a node that dies while it is taken out is taken out without it, wherever that was.
func TestRemoveWhatDies(t *testing.T) {
	t.Parallel()
	for when, d := range map[string]dying{
		"at first":        {at: "/info"},
		"asked to leave":  {at: "/swarm/leave"},
		"while it leaves": {at: "/info", seen: 1},
	} {
		for node, f := range map[string]*fleet{"w1": newFleet(1, 1), "m3": newFleet(3, 0)} {
			t.Run(node+" "+when, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					res, err := f.apply(t.Context(), t)
					if err != nil {
						t.Fatal(err)
					}
					self := dying{f.made[node], d.at, d.seen}
					if err := swarmboot.Remove(t.Context(), res.NodeIDs[node], &self, f.made["m1"], time.Minute, nil); err != nil {
						t.Error(err)
					}
					ms, err := swarmboot.Members(t.Context(), f.made["m1"])
					if err != nil || slices.ContainsFunc(ms, func(m swarmboot.Member) bool { return m.ID == res.NodeIDs[node] }) {
						t.Errorf("got %+v, %v, want it gone", ms, err)
					}
				})
			})
		}
	}
}
