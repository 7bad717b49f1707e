package swarmboot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

var today = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// left is a machine as it is found when the quorum is lost.
func left(name string, state string, log swarmboot.RaftLog) swarmboot.Survivor {
	role := wrk
	if name[0] == 'm' {
		role = mgr
	}
	s := swarmboot.Survivor{Node: node(name, role), NodeID: "id-" + name, Log: log}
	s.Seen = swarmboot.Seen{Reachable: state != "silent", State: state, Control: state == "active" && role == mgr, NodeID: "id-" + name}
	switch state {
	case "silent":
		s.Seen = swarmboot.Seen{Err: "connection refused"}
	case "error":
		s.Seen.Err = "error while loading TLS certificate: x509: certificate has expired or is not yet valid"
	}
	return s
}

func at(term, index uint64) swarmboot.RaftLog { return swarmboot.RaftLog{Term: term, Index: index} }

func TestPlanRecovery(t *testing.T) {
	t.Parallel()
	files := func(snap, segment uint64, hour int) swarmboot.RaftLog {
		return swarmboot.RaftLog{SnapTerm: 2, SnapIndex: snap, Segment: segment, Written: today.Add(time.Duration(hour) * time.Hour), CertEnds: today.AddDate(0, 0, -10)}
	}
	locked := at(3, 9)
	locked.Locked = true
	healthy := left("m1", "active", at(0, 0))
	healthy.Seen.ClusterID, healthy.Seen.Nodes = "c1", []swarmboot.Member{member("m1", mgr), member("w1", wrk), member("w2", wrk)}
	unreachable := func(name string) swarmboot.Member {
		m := member(name, mgr)
		m.Reachability = "unreachable"
		return m
	}
	leads := left("m1", "active", at(0, 0))
	leads.Seen.ClusterID, leads.Seen.Nodes = "c1", []swarmboot.Member{member("m1", mgr), unreachable("m2"), unreachable("m3")}
	foreign := left("m2", "active", at(9, 99))
	foreign.Seen.ClusterID = "other"
	type ms = []swarmboot.Survivor
	for name, c := range map[string]struct {
		machines ms
		via      string
	}{
		"one-left":       {machines: ms{left("m1", "silent", at(0, 0)), left("m2", "active", at(3, 40)), left("m3", "silent", at(0, 0)), left("w1", "active", at(0, 0)), left("w2", "silent", at(0, 0))}},
		"newest-term":    {machines: ms{left("m1", "active", at(4, 51)), left("m2", "active", at(5, 50)), left("m3", "silent", at(0, 0)), left("m4", "silent", at(0, 0)), left("m5", "silent", at(0, 0))}},
		"newest-index":   {machines: ms{left("m1", "active", at(4, 9)), left("m2", "active", at(4, 50)), left("m3", "silent", at(0, 0)), left("m4", "silent", at(0, 0)), left("m5", "silent", at(0, 0))}},
		"chosen-older":   {machines: ms{left("m1", "active", at(4, 9)), left("m2", "active", at(4, 50)), left("m3", "silent", at(0, 0)), left("m4", "silent", at(0, 0))}, via: "m1"},
		"may-come-back":  {machines: ms{left("m1", "active", at(4, 9)), left("m2", "active", at(4, 9)), left("m3", "silent", at(0, 0))}},
		"expired":        {machines: ms{left("m1", "error", files(0, 0, 3)), left("m2", "error", files(0, 0, 5)), left("m3", "error", files(0, 0, 4)), left("w1", "error", at(0, 0))}},
		"expired-files":  {machines: ms{left("m1", "error", files(20000, 0, 3)), left("m2", "error", files(10000, 0, 5)), left("m3", "error", files(20000, 15000, 2))}},
		"locked":         {machines: ms{left("m1", "locked", locked), left("m2", "silent", at(0, 0)), left("m3", "silent", at(0, 0))}},
		"healthy":        {machines: ms{healthy, left("w1", "active", at(0, 0))}},
		"still-leads":    {machines: ms{leads, left("m2", "silent", at(0, 0)), left("m3", "silent", at(0, 0))}},
		"new-leader":     {machines: ms{leads, left("m2", "active", at(0, 0)), left("m3", "silent", at(0, 0))}},
		"worker-expired": {machines: ms{healthy, left("w1", "active", at(0, 0)), left("w2", "error", at(0, 0))}},
		"nobody":         {machines: ms{left("m1", "silent", at(0, 0)), left("m2", "inactive", at(0, 0)), left("w1", "active", at(0, 0))}},
		"foreign":        {machines: ms{left("m1", "silent", at(0, 0)), foreign}},
		"via-worker":     {machines: ms{left("m1", "active", at(1, 1)), left("w1", "active", at(0, 0))}, via: "w1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := swarmboot.PlanRecovery("c1", c.machines, c.via, today)
			var got strings.Builder
			if err != nil {
				fmt.Fprintln(&got, "error:", err)
				var h interface{ Hint() string }
				if errors.As(err, &h) {
					fmt.Fprintln(&got, "hint:", h.Hint())
				}
			} else {
				for _, s := range plan.Steps() {
					fmt.Fprintf(&got, "%s: %s\n", s.Machine, s.Text)
				}
				for _, l := range plan.Lost() {
					fmt.Fprintln(&got, "lost:", l)
				}
				for _, w := range plan.Warnings {
					fmt.Fprintln(&got, "warning:", w)
				}
			}
			golden(t, "recover/"+name, got.String())
		})
	}
}

// shell runs commands on this host.
type shell struct{ env []string }

func (s shell) Run(ctx context.Context, _ string, stdin io.Reader, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, "sh")
	cmd.Stdin, cmd.Stdout, cmd.Env = stdin, stdout, append(os.Environ(), s.env...)
	return cmd.Run()
}

// TestReadRaftLog runs the script on folders like an engine's, with a journalctl that has an engine's own lines.
func TestReadRaftLog(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("base64"); err != nil {
		t.Skip(err)
	}
	const (
		elected = `msg="raft.node: 7c78569217056c66 elected leader 199ec6511ce30c0 at term 4" module=raft`
		asked   = `msg="7c78569217056c66 [logterm: 4, index: 51] sent MsgVote request to 55d2eb4e42faa77b at term 5" module=raft`
		cast    = `msg="7c78569217056c66 [logterm: 3, index: 45, vote: 0] cast MsgVote for 199ec6511ce30c0 [logterm: 3, index: 44] at term 4" module=raft`
		started = `msg="newRaft 124345773163508 [peers: [], term: 2, commit: 18, applied: 0, lastindex: 19, lastterm: 2]" module=raft`
		other   = `msg="7c78569217056c66 became candidate at term 5" module=raft`
	)
	for name, c := range map[string]struct {
		journal     string
		term, index uint64
	}{
		"asked for votes":  {elected + "\n" + other + "\n" + asked + "\n" + other, 4, 51},
		"voted":            {started + "\n" + cast, 3, 45},
		"voted, then led":  {cast + "\n" + elected, 0, 0},
		"started":          {asked + "\n" + started, 2, 19},
		"nothing was said": {"Started docker.service", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, bin := filepath.Join(t.TempDir(), "it's a folder"), t.TempDir()
			for path, data := range map[string]string{
				"raft/snap-v3-encrypted/0000000000000002-0000000000002711.snap": "",
				"raft/snap-v3-encrypted/0000000000000002-0000000000004e21.snap": "",
				"raft/wal-v3-encrypted/0000000000000001-0000000000004e00.wal":   "",
				"raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal":   "",
				"raft/wal-v3-encrypted/0.tmp":                                   "",
				"certificates/swarm-node.key":                                   "-----BEGIN ENCRYPTED PRIVATE KEY-----",
				"certificates/swarm-node.crt":                                   "no certificate",
			} {
				path = filepath.Join(root, "swarm", path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o600), os.Chtimes(path, today, today)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(bin, "journalctl"), []byte("#!/bin/sh\ntac <<'E'\n"+c.journal+"\nE\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			got, err := swarmboot.ReadRaftLog(t.Context(), shell{[]string{"PATH=" + bin + ":" + os.Getenv("PATH")}}, root)
			if err != nil {
				t.Fatal(err)
			}
			if got.Term != c.term || got.Index != c.index {
				t.Errorf("last entry %d-%d, want %d-%d", got.Term, got.Index, c.term, c.index)
			}
			if got.SnapTerm != 2 || got.SnapIndex != 0x4e21 || got.Segment != 0x4e00 || !got.Written.Equal(today) || !got.Locked || !got.CertEnds.IsZero() {
				t.Errorf("got %+v", got)
			}
		})
	}
	if _, err := swarmboot.ReadRaftLog(t.Context(), silentShell{}, ""); err == nil {
		t.Error("a host that tells nothing is no error")
	}
}

type silentShell struct{}

func (silentShell) Run(context.Context, string, io.Reader, io.Writer) error { return nil }

func TestForceNewCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := swarmboottest.New()
		engines := map[string]swarmboot.Engine{}
		made := map[string]*swarmboottest.Engine{}
		want := swarmboot.Swarm{Name: "prod"}
		for _, name := range []string{"m1", "m2", "m3", "w1"} {
			made[name] = n.Engine(name, addrOf(name))
			engines[name] = made[name]
			role := mgr
			if name == "w1" {
				role = wrk
			}
			want.Nodes = append(want.Nodes, node(name, role))
		}
		look := func() seen {
			s := seen{}
			for name, e := range engines {
				s[name] = swarmboot.Inspect(t.Context(), e)
			}
			return s
		}
		actions, err := swarmboot.Plan(want, look())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := swarmboot.Apply(t.Context(), actions, engines, nil, nil); err != nil {
			t.Fatal(err)
		}
		made["m1"].SetDown(true)
		made["m3"].SetDown(true)
		if _, err := swarmboot.Members(t.Context(), engines["m2"]); !errors.Is(err, swarmboot.ErrNoLeader) {
			t.Fatalf("got %v", err)
		}
		for range 2 { // the second time there is nothing to do
			if err := swarmboot.ForceNewCluster(t.Context(), engines["m2"], node("m2", mgr), swarmboot.Kept{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		ms, err := swarmboot.Members(t.Context(), engines["m2"])
		if err != nil || len(ms) != 4 || swarmboot.CountQuorum(ms).Managers != 1 {
			t.Fatalf("got %+v, %v", ms, err)
		}
		if err := swarmboot.WaitReady(t.Context(), engines["m2"], made["w1"].NodeID()); err != nil {
			t.Error(err)
		}
		// The others come back as what they were, with another id.
		made["m3"].SetDown(false)
		old := made["m3"].NodeID()
		_, err = swarmboot.Apply(t.Context(), []swarmboot.Action{swarmboot.Rejoin(node("m3", mgr), "m2", old)}, engines, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ms, err = swarmboot.Members(t.Context(), engines["m2"])
		if err != nil || len(ms) != 4 || swarmboot.CountQuorum(ms).Reachable != 2 || made["m3"].NodeID() == old {
			t.Errorf("got %+v, %v", ms, err)
		}
		if err := swarmboot.ForceNewCluster(t.Context(), engines["w1"], node("w1", wrk), swarmboot.Kept{}, nil); err == nil {
			t.Error("a worker made a new cluster")
		}
	})
}
