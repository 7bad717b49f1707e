package swarmboot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// fleet is engines in memory, all to be made one swarm.
type fleet struct {
	*memory
	nodes nodes
}

func newFleet(managers, workers int) *fleet {
	f := &fleet{memory: newMemory()}
	for i := range managers + workers {
		n := swarmboot.Node{Name: fmt.Sprintf("m%d", i+1), Role: mgr, Advertise: fmt.Sprintf("10.1.0.%d", i+1)}
		if i >= managers {
			n.Name, n.Role = fmt.Sprintf("w%d", i-managers+1), wrk
		}
		f.made[n.Name] = f.net.Engine(n.Name, n.Advertise)
		f.nodes = append(f.nodes, n)
	}
	return f
}

func (f *fleet) engines() map[string]swarmboot.Engine {
	es := make(map[string]swarmboot.Engine)
	for name, e := range f.made {
		es[name] = e
	}
	return es
}

func (f *fleet) plan(t *testing.T) []swarmboot.Action {
	t.Helper()
	seen := make(seen)
	for name, e := range f.made {
		seen[name] = swarmboot.Inspect(t.Context(), e)
	}
	actions, err := swarmboot.Plan(swarmboot.Swarm{Nodes: f.nodes}, seen)
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func (f *fleet) apply(ctx context.Context, t *testing.T) (swarmboot.Result, error) {
	t.Helper()
	return swarmboot.Apply(ctx, f.plan(t), f.engines(), nil, nil)
}

func bubble(t *testing.T, fn func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, fn)
}

// moved is the engine of a manager that was restored at another address: in the list of managers it still has the old one.
type moved struct {
	swarmboot.Engine
	old string
}

func (m moved) Do(ctx context.Context, method, path string, in, out any) error {
	if method+" "+path != "GET /info" {
		return m.Engine.Do(ctx, method, path, in, out)
	}
	var all map[string]any
	if err := m.Engine.Do(ctx, method, path, in, &all); err != nil {
		return err
	}
	for _, r := range all["Swarm"].(map[string]any)["RemoteManagers"].([]any) {
		r.(map[string]any)["Addr"] = m.old
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}

func TestJoinAtTheAddressOfNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 1)
		engines := f.engines()
		engines["m1"] = moved{f.made["m1"], "10.9.9.9:2377"}
		if _, err := swarmboot.Apply(t.Context(), f.plan(t), engines, nil, nil); err != nil {
			t.Fatal(err)
		}
		if bodies := strings.Join(f.made["w1"].Bodies(), "\n"); !strings.Contains(bodies, `"RemoteAddrs":["10.1.0.1:2377"]`) {
			t.Errorf("asked with %s", bodies)
		}
	})
}

func TestWorkersJoinTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 32)
		f.net.ReadyDelay = 30 * time.Second
		start := time.Now()
		res, err := f.apply(t.Context(), t)
		if err != nil || len(res.NodeIDs) != 33 {
			t.Fatalf("got %d nodes, %v", len(res.NodeIDs), err)
		}
		// The manager, then two rounds of 16.
		if d := time.Since(start).Round(10 * time.Second); d != 90*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

func TestWorkerThatFailsLeavesOthersAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(2, 3)
		f.made["w2"].Fail("POST /swarm/join", &swarmboottest.Error{Code: 500, Text: "disk full"})
		res, err := f.apply(t.Context(), t)
		if err == nil || err.Error() != "join w2 as worker: disk full" {
			t.Errorf("got error %v", err)
		}
		if len(res.NodeIDs) != 4 || res.NodeIDs["w2"] != "" || res.ClusterID == "" {
			t.Errorf("got %+v, want all others", res)
		}
		if res, err = f.apply(t.Context(), t); err != nil || res.NodeIDs["w2"] == "" || len(res.NodeIDs) != 1 {
			t.Errorf("again: got %+v, %v, want w2 to join", res, err)
		}
	})
}

func TestManagerThatFailsEndsTheWork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(3, 1)
		f.nodes[1].Advertise = "10.1.0.99" // nobody reaches it there
		res, err := f.apply(t.Context(), t)
		if !errors.Is(err, swarmboot.ErrNetwork) || !strings.HasPrefix(err.Error(), "join m2 as manager: ") {
			t.Errorf("got %v, want ErrNetwork of m2", err)
		}
		if len(res.NodeIDs) != 1 || res.NodeIDs["m1"] == "" {
			t.Errorf("got %+v, want m1", res)
		}
		if calls := f.made["m3"].Calls(); slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "POST") }) {
			t.Errorf("m3 was told %q after m2 had failed", calls)
		}
	})
}

func TestUpdatesOutOfSequence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 0)
		f.nodes[0].Labels = map[string]string{"a": "b"}
		f.made["m1"].Conflict(5)
		res, err := f.apply(t.Context(), t)
		if err != nil {
			t.Fatal(err)
		}
		f.made["m1"].Conflict(5)
		if err := swarmboot.RotateTokens(t.Context(), f.made["m1"], ""); err != nil {
			t.Error(err)
		}
		ms, err := swarmboot.Members(t.Context(), f.made["m1"])
		if err != nil || ms[0].Labels["a"] != "b" {
			t.Errorf("got %+v, %v", ms, err)
		}

		f.made["m1"].Conflict(1 << 30)
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Minute, cause)
		defer cancel()
		if err := swarmboot.SetAvailability(ctx, f.made["m1"], res.NodeIDs["m1"], "drain"); !errors.Is(err, cause) {
			t.Errorf("got %v, want the context's cause", err)
		}
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 1)
		if _, err := swarmboot.Apply(t.Context(), f.plan(t)[:1], f.engines(), nil, nil); err != nil {
			t.Fatal(err)
		}
		f.net.Cut(f.made["m1"], f.made["w1"])
		cause := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(cause) })
		start := time.Now()
		res, err := f.apply(ctx, t)
		if !errors.Is(err, cause) || time.Since(start) > 4*time.Second {
			t.Errorf("got %+v, %v after %s, want the cause at once", res, err, time.Since(start))
		}
		calls := len(f.made["w1"].Calls())
		if _, err := swarmboot.Apply(ctx, []swarmboot.Action{{Kind: "join-worker", Node: f.nodes[1], Via: []string{"m1"}}}, f.engines(), nil, nil); !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
		if n := len(f.made["w1"].Calls()); n != calls {
			t.Error("an engine was called although the context had ended")
		}
	})
}

// TestPatience: waits end by themselves when an engine only fails, even if the context does not end.
func TestPatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 1)
		res, err := f.apply(t.Context(), t)
		if err != nil {
			t.Fatal(err)
		}
		m1 := f.made["m1"]
		m1.SetDown(true)
		time.AfterFunc(10*time.Second, func() { m1.SetDown(false) })
		if err := swarmboot.WaitReady(t.Context(), m1, res.NodeIDs["w1"]); err != nil {
			t.Errorf("a manager that restarts: got %v", err)
		}
		m1.SetDown(true)
		start := time.Now()
		if err := swarmboot.WaitReady(t.Context(), m1, res.NodeIDs["w1"]); !errors.Is(err, swarmboottest.ErrDown) {
			t.Errorf("got %v, want why the manager does not answer", err)
		}
		if d := time.Since(start); d < 20*time.Second || d > time.Minute {
			t.Errorf("it took %s", d)
		}
		m1.SetDown(false)
		refusal := &swarmboottest.Error{Code: 403, Text: "not allowed"}
		m1.Fail("GET /nodes/", refusal)
		start = time.Now()
		if err := swarmboot.WaitReady(t.Context(), m1, res.NodeIDs["w1"]); err == nil || time.Since(start) > time.Second {
			t.Errorf("got %v after %s, want the refusal at once", err, time.Since(start))
		}
	})
}

func TestWaitReadySaysWhatItSaw(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 1)
		res, err := f.apply(t.Context(), t)
		if err != nil {
			t.Fatal(err)
		}
		f.made["w1"].SetDown(true)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("waiting for w1"))
		defer cancel()
		err = swarmboot.WaitReady(ctx, f.made["m1"], res.NodeIDs["w1"])
		if want := "last seen down: waiting for w1"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want it to end in %q", err, want)
		}
		if err := swarmboot.WaitReady(ctx, f.made["m1"], "nosuch"); err == nil {
			t.Error("got nil for a node that is not listed")
		}
	})
}

func TestNobodyToAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(2, 1)
		actions := f.plan(t)
		es := f.engines()
		delete(es, "w1")
		if _, err := swarmboot.Apply(t.Context(), actions, es, nil, nil); !errors.Is(err, swarmboot.ErrNode) {
			t.Errorf("got %v, want ErrNode for a node without an engine", err)
		}
		f.made["m1"].SetDown(true)
		_, err := swarmboot.Apply(t.Context(), actions[2:], f.engines(), nil, nil)
		if !errors.Is(err, swarmboot.ErrNoManager) || !strings.Contains(err.Error(), "m1: ") || !strings.Contains(err.Error(), "m2: ") {
			t.Errorf("got %v, want ErrNoManager with the reasons of both", err)
		}
	})
}

// TestOtherManagerAnswers: a manager takes orders from us and yet the node does not reach it.
func TestOtherManagerAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(2, 1)
		actions := f.plan(t)
		if _, err := swarmboot.Apply(t.Context(), actions[:2], f.engines(), nil, nil); err != nil {
			t.Fatal(err)
		}
		f.net.Cut(f.made["m1"], f.made["w1"])
		start := time.Now()
		res, err := swarmboot.Apply(t.Context(), actions[2:], f.engines(), nil, nil)
		if err != nil || res.NodeIDs["w1"] == "" || time.Since(start) > 25*time.Second {
			t.Errorf("got %+v, %v after %s, want w1 to join through m2", res, err, time.Since(start))
		}
		f.net.Cut(f.made["m2"], f.made["w1"])
		if err := swarmboot.Remove(t.Context(), res.NodeIDs["w1"], f.made["w1"], f.made["m1"], 0, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("joining"))
		defer cancel()
		_, err = swarmboot.Apply(ctx, actions[2:], f.engines(), nil, nil)
		if !errors.Is(err, swarmboot.ErrNetwork) || !strings.Contains(err.Error(), "10.1.0.1:2377") || !strings.Contains(err.Error(), "10.1.0.2:2377") {
			t.Errorf("got %v, want ErrNetwork that names both addresses", err)
		}
		t.Log(err)
	})
}

// TestAnswerLost: the connection breaks while the engine joins, which goes on joining.
func TestAnswerLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(1, 2)
		actions := f.plan(t)
		es := f.engines()
		es["w1"] = lossy{f.made["w1"], errors.New("unexpected EOF")}
		f.made["w2"].Fail("POST /swarm/join", errors.New("broken pipe")) // before the engine got it
		res, err := swarmboot.Apply(t.Context(), actions, es, nil, nil)
		if err == nil || err.Error() != "join w2 as worker: broken pipe" || res.NodeIDs["w1"] == "" {
			t.Errorf("got %+v, %v, want w1 to join and w2 not", res, err)
		}
		if ms, err := swarmboot.Members(t.Context(), f.made["m1"]); err != nil || len(ms) != 2 {
			t.Errorf("got %+v, %v, want two members", ms, err)
		}

		// Something in between answers in the engine's place: the node stays what it has become.
		es["w2"] = lossy{f.made["w2"], &swarmboottest.Error{Code: 504, Text: "gateway timeout"}}
		if _, err = swarmboot.Apply(t.Context(), actions[2:], es, nil, nil); err == nil {
			t.Error("got nil, want the answer")
		}
		if again := f.plan(t); len(again) != 0 || f.made["w2"].NodeID() == "" {
			t.Errorf("got %v, want w2 to be a member", again)
		}
	})
}

// lossy is an engine that joins, and whose caller gets err.
type lossy struct {
	*swarmboottest.Engine
	err error
}

func (l lossy) Do(ctx context.Context, method, path string, in, out any) error {
	err := l.Engine.Do(ctx, method, path, in, out)
	if path == "/swarm/join" {
		<-time.After(time.Second)
		return l.err
	}
	return err
}

// TestElection: that the managers elect a leader is waited for, that they have lost their quorum is not, for long.
func TestElection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(2, 2)
		actions := f.plan(t)
		if _, err := swarmboot.Apply(t.Context(), actions[:2], f.engines(), nil, nil); err != nil {
			t.Fatal(err)
		}
		m1, m2 := f.made["m1"], f.made["m2"]
		m2.SetDown(true)
		time.AfterFunc(8*time.Second, func() { m2.SetDown(false) })
		res, err := swarmboot.Apply(t.Context(), actions[2:3], f.engines(), nil, nil)
		if err != nil || res.NodeIDs["w1"] == "" {
			t.Errorf("got %+v, %v, want w1 to join after the election", res, err)
		}
		m2.SetDown(true)
		start := time.Now()
		time.AfterFunc(8*time.Second, func() { m2.SetDown(false) })
		if err := swarmboot.Remove(t.Context(), res.NodeIDs["w1"], f.made["w1"], m1, time.Minute, nil); err != nil || time.Since(start) < 8*time.Second {
			t.Errorf("got %v after %s, want w1 removed after the election", err, time.Since(start))
		}
		m2.SetDown(true)
		start = time.Now()
		_, err = swarmboot.Apply(t.Context(), actions[3:], f.engines(), nil, nil)
		if !errors.Is(err, swarmboot.ErrNoLeader) || !errors.Is(err, swarmboot.ErrNoManager) || time.Since(start) > time.Minute {
			t.Errorf("got %v after %s, want ErrNoLeader", err, time.Since(start))
		}
		t.Log(err)
		m1.SetDown(true)
		start = time.Now()
		_, err = swarmboot.Apply(t.Context(), actions[3:], f.engines(), nil, nil)
		if !errors.Is(err, swarmboot.ErrNoManager) || time.Since(start) > time.Second {
			t.Errorf("got %v after %s, want ErrNoManager at once", err, time.Since(start))
		}
		t.Log(err)
	})
}

// TestTokensStaySecret: whatever an engine or a transport says, no error, step or action has a token.
func TestTokensStaySecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(2, 2)
		var mu sync.Mutex
		var told []string
		step := func(ctx context.Context, name string, fn func(context.Context) error) error {
			err := fn(ctx)
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %v %+v", name, err, err))
			return err
		}
		actions := f.plan(t)
		for _, a := range actions {
			told = append(told, fmt.Sprintf("%v %+v", a, a))
		}
		if _, err := swarmboot.Apply(t.Context(), actions[:2], f.engines(), nil, step); err != nil {
			t.Fatal(err)
		}
		manager, worker := f.made["m1"].Tokens()
		f.made["w1"].Fail("POST /swarm/join", &swarmboottest.Error{Code: 400, Text: "invalid token " + worker + " given"})
		f.made["w2"].Fail("POST /swarm/join", fmt.Errorf("Post %q: token %s: broken pipe", "http://w2/swarm/join", worker))
		_, err := swarmboot.Apply(t.Context(), actions[2:], f.engines(), nil, step)
		if err == nil || !strings.Contains(err.Error(), "invalid token SWMTKN-[redacted] given") || !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("got %v", err)
		}
		told = append(told, tree(err))
		f.made["m1"].SetState("error", "cannot use "+manager+" or SWMKEY-1-abcDEF/ghi")
		told = append(told, fmt.Sprintf("%+v", swarmboot.Inspect(t.Context(), f.made["m1"])))
		for _, s := range told {
			if strings.Contains(s, manager) || strings.Contains(s, worker) || strings.Contains(s, "abcDEF") {
				t.Errorf("a token is told: %s", s)
			}
		}
		joined := 0
		for name, e := range f.made {
			for _, b := range e.Bodies() {
				if strings.Contains(b, "SWMTKN") {
					joined++
				}
			}
			for _, c := range e.Calls() {
				if strings.Contains(c, "SWMTKN") {
					t.Errorf("%s: a token is in a path: %s", name, c)
				}
			}
		}
		if joined != 3 {
			t.Errorf("tokens were sent %d times, want once for each that joins", joined)
		}
	})
}

// tree prints an error and all it wraps.
func tree(err error) string {
	s := err.Error() + fmt.Sprintf(" %+v\n", err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			s += tree(next)
		}
	case interface{ Unwrap() []error }:
		for _, next := range e.Unwrap() {
			s += tree(next)
		}
	}
	return s
}

func FuzzTokensInErrors(f *testing.F) {
	f.Add("invalid join token ", " given")
	f.Add("SWMTKN-", "-")
	f.Add("x=", "SWMTKN-1-2")
	const token = "SWMTKN-1-49nj1cmql0jkz5s954yi3oex3nedyz0fb0xx14ie39trti4wxv-8vxv8rssmk743ojnwacrr2e7c"
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, fault := range []error{&swarmboottest.Error{Code: 500, Text: before + token + after}, errors.New(before + token + after)} {
			n := swarmboottest.New()
			e := n.Engine("m1", "10.0.0.1")
			e.Fail("POST /swarm/init", fault)
			_, err := swarmboot.Apply(t.Context(), []swarmboot.Action{{Kind: "init", Node: swarmboot.Node{Name: "m1", Role: mgr, Advertise: "10.0.0.1"}}},
				map[string]swarmboot.Engine{"m1": e}, nil, nil)
			if strings.Contains(before+after, token) { // the fuzzer's own copy may be broken by what surrounds it
				continue
			}
			if err != nil && strings.Contains(tree(err), token[9:]) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// TestOverHTTP runs through the engines' HTTP side, as a client with TLS would.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	n := swarmboottest.New()
	n.ReadyDelay = 0
	es := make(map[string]swarmboot.Engine)
	seen := make(seen)
	var want swarmboot.Swarm
	for i, name := range []string{"m1", "w1"} {
		srv := httptest.NewServer(n.Engine(name, addrOf(name)))
		t.Cleanup(srv.Close)
		es[name] = client{http.DefaultClient, srv.URL + "/v1.41"}
		seen[name] = swarmboot.Inspect(t.Context(), es[name])
		want.Nodes = append(want.Nodes, node(name, []swarmboot.Role{mgr, wrk}[i]))
	}
	actions, err := swarmboot.Plan(want, seen)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := swarmboot.Apply(t.Context(), actions, es, nil, nil); err != nil || len(res.NodeIDs) != 2 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if _, err := swarmboot.Members(t.Context(), es["w1"]); err == nil || !strings.HasPrefix(err.Error(), "list nodes: This node is not a swarm manager.") {
		t.Errorf("got %v, want the engine's refusal", err)
	}
}
