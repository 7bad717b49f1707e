package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const prodList = swarmboot.ListDir + "/prod"

// classic makes a master, which is an agent too, and agents.
func (w *world) classic(o SwarmOptions, master string, agents ...string) {
	w.t.Helper()
	o.Master, o.Agent = true, true
	w.create(CreateRequest{Names: []string{master}, Classic: true, Swarm: o})
	if len(agents) > 0 {
		w.create(CreateRequest{Names: agents, Classic: true, Swarm: SwarmOptions{Agent: true, Name: o.Name, Discovery: o.Discovery}})
	}
}

// members are the machines on the list that a master has.
func (h *host) members(file string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for line := range strings.Lines(h.files[file]) {
		if addr, name, ok := strings.Cut(strings.TrimSpace(line), " # "); ok {
			if addr != "10.0.1."+name[1:]+":2376" && !strings.HasPrefix(addr, "10.") {
				h.w.t.Errorf("%s is listed at %s", name, addr)
			}
			names = append(names, name)
		}
	}
	return names
}

func (w *world) args(name, container string) string {
	w.t.Helper()
	c, ok := w.hosts[name].engine.Containers()[container]
	if !ok || !c.Running {
		return ""
	}
	return strings.Trim(fmt.Sprint(c.Config["Cmd"]), "[]")
}

func TestClassicSwarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.classic(SwarmOptions{Name: "prod", Host: "tcp://0.0.0.0:4376"}, "m1", "w1")
	m := w.manager()

	want := "manage --tlsverify --tlscacert=/etc/docker/ca.pem --tlscert=/etc/docker/server.pem --tlskey=/etc/docker/server-key.pem -H tcp://0.0.0.0:4376 " +
		"--strategy spread --advertise 10.0.1.1:4376 --heartbeat=5s file://" + prodList
	if got := w.args("m1", swarmboot.ClassicMaster); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for name, addr := range map[string]string{"m1": "10.0.1.1", "w1": "10.0.1.2"} {
		if got, want := w.args(name, swarmboot.ClassicAgent), "join --advertise "+addr+":2376 file://"+prodList; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if w.args("w1", swarmboot.ClassicMaster) != "" {
		t.Error("an agent manages")
	}
	if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) {
		t.Errorf("listed %v", got)
	}
	resources, _ := w.provider.Resources(t.Context())
	for _, r := range resources {
		open := slices.ContainsFunc(r.OpenPorts, func(p drivers.Port) bool { return p.Number == 4376 && p.Protocol == "tcp" && !p.Peers })
		if r.Kind == fake.KindHost && open != (r.Name == "m1") {
			t.Errorf("%s: the manager's port is open: %v", r.Name, open)
		}
	}

	t.Run("certificates", func(t *testing.T) {
		a, err := m.readAuthority()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]error{"m1": nil, "w1": certs.ErrUsage} {
			x, err := m.view(name)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := readPair(x.path(serverFile), x.path(serverKeyFile))
			if err != nil {
				t.Fatal(err)
			}
			if err := certs.Verify(pair, certs.Need{Roots: a.cert, Client: true, Now: m.Now()}); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s as a client: %v, want %v", name, err, want)
			}
		}
	})
	t.Run("ls", func(t *testing.T) {
		for _, filter := range [][]string{nil, {"swarm=PROD"}, {"swarm=m1"}} {
			rows, err := m.List(t.Context(), ListRequest{Filters: filter, DockerHost: "tcp://127.0.0.1:4376"})
			if err != nil || len(rows) != 2 {
				t.Fatalf("%v: %v, %v", filter, rows, err)
			}
			if rows[0].Swarm != "prod (master)" || rows[1].Swarm != "prod" || rows[0].Active != "* (swarm)" || !rows[0].ActiveSwarm || rows[1].Active != "-" {
				t.Errorf("%v: %+v", filter, rows)
			}
		}
		if rows, _ := m.List(t.Context(), ListRequest{Filters: []string{"swarm=other"}, NamesOnly: true}); len(rows) != 0 {
			t.Errorf("got %v", rows)
		}
		if name, err := m.Active(t.Context(), "tcp://127.0.0.1:4376", 0); err != nil || name != "m1" {
			t.Errorf("active is %q, %v", name, err)
		}
		swarms, err := m.SwarmList()
		if err != nil || len(swarms) != 1 || swarms[0].Kind != KindClassic || swarms[0].Name != "prod" || fmt.Sprint(swarms[0].Managers, swarms[0].Workers) != "[m1] [w1]" {
			t.Errorf("got %+v, %v", swarms, err)
		}
	})
	t.Run("members", func(t *testing.T) {
		for _, name := range []string{"prod", "m1", "w1", "file://" + prodList} {
			got, err := m.ClassicMembers(t.Context(), name)
			if err != nil || !slices.Equal(got, []string{"10.0.1.1:2376", "10.0.1.2:2376"}) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	})
	t.Run("provision again", func(t *testing.T) {
		w.notes.take()
		if err := m.Provision(t.Context(), ProvisionRequest{Names: []string{"m1", "w1"}}); err != nil {
			t.Fatal(err)
		}
		if notes := w.notes.take(); strings.Count(notes, "nothing to do") != 2 {
			t.Errorf("said %s", notes)
		}
		if n := w.hosts["m1"].engine.Containers()[swarmboot.ClassicMaster].Starts; n != 1 {
			t.Errorf("the manager was started %d times", n)
		}
	})
	t.Run("repair", func(t *testing.T) {
		w.hosts["w1"].engine.StopContainer(swarmboot.ClassicAgent)
		w.hosts["m1"].set(func(h *host) { h.files[prodList] = "" })
		if err := m.Provision(t.Context(), ProvisionRequest{Names: []string{"w1"}}); err != nil {
			t.Fatal(err)
		}
		if w.args("w1", swarmboot.ClassicAgent) == "" || len(w.hosts["m1"].members(prodList)) != 2 {
			t.Error("not repaired")
		}
	})
	t.Run("new certificates", func(t *testing.T) {
		if err := m.RegenerateCerts(t.Context(), CertsRequest{Names: []string{"m1"}}); err != nil {
			t.Fatal(err)
		}
		c := w.hosts["m1"].engine.Containers()
		if c[swarmboot.ClassicMaster].Starts != 1 || c[swarmboot.ClassicMaster].Config["Labels"].(map[string]any)["com.github.hostsmith.machine.swarm.tls"] == "" {
			t.Errorf("got %+v", c)
		}
	})
	t.Run("another agent, and out again", func(t *testing.T) {
		w.create(CreateRequest{Names: []string{"w2"}, Classic: true, Swarm: SwarmOptions{Agent: true}})
		if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1", "w1", "w2"}) {
			t.Errorf("listed %v", got)
		}
		if _, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"w2"}}); err != nil {
			t.Fatal(err)
		}
		if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) || len(w.hosts["w2"].engine.Containers()) != 0 || w.manager().exist([]string{"w2"}) != nil {
			t.Errorf("listed %v, containers %v", got, w.hosts["w2"].engine.Containers())
		}
		if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"w1"}}); err != nil {
			t.Fatal(err)
		}
		if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1"}) {
			t.Errorf("listed %v", got)
		}
	})
}

// TestClassicDiscovery hands a discovery URL on as it is, and all options with it.
func TestClassicDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	o := SwarmOptions{
		Master: true, Discovery: "consul://10.9.0.1:8500/swarm", Image: "registry.example:5000/swarm:1.2.9", Strategy: "binpack", Address: "192.0.2.7",
		ArbitraryFlags: []string{"replication", "heartbeat=9s"}, ArbitraryJoinFlags: []string{"ttl=30s"}, IsExperimental: true,
	}
	w.create(CreateRequest{Names: []string{"m1"}, Classic: true, Swarm: o, Engine: EngineOptions{Env: []string{"HTTP_PROXY=http://p"}}})
	w.create(CreateRequest{Names: []string{"m2"}, Classic: true, Swarm: o})
	w.create(CreateRequest{Names: []string{"w1"}, Classic: true, Swarm: SwarmOptions{Agent: true, Discovery: o.Discovery, ArbitraryJoinFlags: o.ArbitraryJoinFlags}})
	want := "--experimental manage --tlsverify --tlscacert=/etc/docker/ca.pem --tlscert=/etc/docker/server.pem --tlskey=/etc/docker/server-key.pem -H tcp://0.0.0.0:3376 " +
		"--strategy binpack --advertise 192.0.2.7:3376 --replication --heartbeat=9s consul://10.9.0.1:8500/swarm"
	if got := w.args("m1", swarmboot.ClassicMaster); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c := w.hosts["m1"].engine.Containers()
	if len(c) != 1 || !slices.Contains(c[swarmboot.ClassicMaster].Config["Env"].([]any), any("HTTP_PROXY=http://p")) {
		t.Errorf("a master alone has %+v", c)
	}
	if got := w.args("w1", swarmboot.ClassicAgent); got != "join --advertise 10.0.1.3:2376 --ttl=30s consul://10.9.0.1:8500/swarm" {
		t.Errorf("got %s", got)
	}
	if image := w.hosts["w1"].engine.Containers()[swarmboot.ClassicAgent].Config["Image"]; image != o.Image {
		t.Errorf("the agent has image %s, not its master's", image)
	}
	rows, err := w.manager().List(t.Context(), ListRequest{})
	if err != nil || len(rows) != 3 || rows[0].Swarm+rows[1].Swarm+rows[2].Swarm != "m1 (master)m1 (master)m1" {
		t.Errorf("got %+v, %v", rows, err)
	}
	if strings.Contains(w.notes.take(), "know nothing of each other") {
		t.Error("masters that elect one of them are said not to")
	}
	for name := range w.hosts["m1"].files {
		if strings.Contains(name, swarmboot.ListDir) {
			t.Errorf("wrote %s", name)
		}
	}
	if _, err := w.manager().ClassicMembers(t.Context(), "m1"); ReasonOf(err).ID != "SWARM_KIND" || !strings.Contains(HintOf(err), "list "+o.Discovery) {
		t.Errorf("got %v, hint %s", err, HintOf(err))
	}
}

func TestClassicRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(w *world)
		o      SwarmOptions
		reason string
		says   string
	}{
		"too new": {func(w *world) { w.hosts["m1"].engine.SetMinAPI("1.44") }, SwarmOptions{Master: true, Agent: true}, "CLASSIC_ENGINE_TOO_NEW", "no API older than 1.44"},
		"pull":    {func(w *world) { w.hosts["m1"].engine.FailPulls("toomanyrequests: slow down") }, SwarmOptions{Master: true}, "CLASSIC_IMAGE", "pull image swarm:latest: image of classic Swarm cannot be had: toomanyrequests: slow down"},
		"crash":   {func(w *world) { w.hosts["m1"].engine.Crash("level=fatal no such strategy") }, SwarmOptions{Master: true}, "CLASSIC_SWARM", "swarm-agent-master ended with 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1")
			w.hooks(func(step string) {
				if step == "m1: verify the engine over TLS" {
					tt.before(w)
				}
			}, nil)
			_, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Classic: true, Swarm: tt.o})
			if err == nil || ReasonOf(err).ID != tt.reason || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %s: %v", ReasonOf(err).ID, err)
			}
			if len(w.hosts["m1"].engine.Containers()) != 0 && name != "crash" {
				t.Errorf("made %v", w.hosts["m1"].engine.Containers())
			}
			if _, listed := w.hosts["m1"].files[swarmboot.ListDir+"/m1"]; listed && name == "too new" {
				t.Error("wrote a list")
			}
			if name == "crash" && !slices.Contains(DetailsOf(err), "level=fatal no such strategy") {
				t.Errorf("details %q", DetailsOf(err))
			}
			w.hooks(nil, nil)
			w.hosts["m1"].engine.SetMinAPI("1.24")
			w.hosts["m1"].engine.FailPulls("")
			w.hosts["m1"].engine.Crash("")
			if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Classic: true, Swarm: tt.o}); err != nil {
				t.Errorf("the same command again: %v", err)
			}
			if w.args("m1", swarmboot.ClassicMaster) == "" || w.record("m1").Phase != store.Ready {
				t.Error("not made")
			}
		})
	}
	w := newWorld(t, "m1", "a", "w1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true}})
	for name, tt := range map[string]struct {
		o    SwarmOptions
		says string
	}{
		"strategy":    {SwarmOptions{Master: true, Strategy: "pack"}, `strategy "pack": want spread, binpack or random`},
		"discovery":   {SwarmOptions{Master: true, Discovery: "1234"}, `discovery "1234"`},
		"host":        {SwarmOptions{Master: true, Host: "unix:///x"}, "want tcp://ADDRESS:PORT"},
		"replication": {SwarmOptions{Master: true, ArbitraryFlags: []string{"replication"}}, "key-value store"},
		"no swarm":    {SwarmOptions{Agent: true}, "no such swarm: there is no classic one"},
		"unknown":     {SwarmOptions{Agent: true, Name: "x"}, `there is no classic swarm "x"`},
		"other kind":  {SwarmOptions{Master: true, Name: "m1"}, `"m1" is in Swarm mode`},
	} {
		if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"a"}, Driver: fake.Name, Classic: true, Swarm: tt.o}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestClassicKinds: commands of Swarm mode do not mistake a classic swarm for one of theirs, nor the other way round.
func TestClassicKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "s1", "x1")
	w.classic(SwarmOptions{Name: "prod"}, "m1", "w1")
	w.create(CreateRequest{Names: []string{"s1"}, Swarm: SwarmOptions{Master: true}})
	w.create(CreateRequest{Names: []string{"x1"}})
	m, ctx := w.manager(), t.Context()
	for what, call := range map[string]func() error{
		"status by name":   func() error { _, err := m.SwarmStatus(ctx, "prod"); return err },
		"status by member": func() error { _, err := m.SwarmStatus(ctx, "w1"); return err },
		"tokens":           func() error { _, _, err := m.SwarmRotateTokens(ctx, RotateTokensRequest{Swarm: "m1"}); return err },
		"join": func() error {
			_, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"x1"}, Options: SwarmOptions{Name: "prod"}})
			return err
		},
		"env of an agent": func() error { _, err := m.Endpoint(ctx, "w1", true); return err },
		"members":         func() error { _, err := m.ClassicMembers(ctx, "s1"); return err },
		"create": func() error {
			_, err := m.Create(ctx, CreateRequest{Names: []string{"y"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true, Name: "prod"}})
			return err
		},
	} {
		if err := call(); !errors.Is(err, ErrKind) || ReasonOf(err).ID != "SWARM_KIND" {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"w1"}, Options: SwarmOptions{Name: "s1"}}); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("a member of a classic swarm joins: %v", err)
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"s1"}, Classic: true}); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("a member in Swarm mode joins: %v", err)
	}
	if st, err := m.SwarmStatus(ctx, ""); err != nil || st.Name != "s1" {
		t.Errorf("the only swarm in Swarm mode is %q, %v", st.Name, err)
	}
	_, err := m.Endpoint(ctx, "w1", true)
	if err == nil || err.Error() != `"w1" is not a swarm master. The --swarm flag is intended for use with swarm masters` {
		t.Errorf("got %v", err)
	}
	if _, err := m.Endpoint(ctx, "prod", true); !errors.Is(err, ErrSwarmDown) || err.Error() != "Connection to Swarm cannot be checked but the certs are valid. Maybe swarm is not started" {
		t.Errorf("got %v", err)
	}
}

// TestClassicEndpoint has something listen where the manager would, with the certificate of the engine.
func TestClassicEndpoint(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w := newWorld(t, "m1")
	w.classic(SwarmOptions{Name: "prod", Host: fmt.Sprintf("tcp://0.0.0.0:%d", l.Addr().(*net.TCPAddr).Port)}, "m1")
	x, err := w.manager().view("m1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(x.path(serverFile), x.path(serverKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).HandshakeContext(context.Background())
			_ = conn.Close()
		}
	}()
	for _, name := range []string{"m1", "prod"} {
		ep, err := w.manager().Endpoint(t.Context(), name, true)
		if err != nil || ep.URL != "tcp://"+l.Addr().String() || ep.Machine != "m1" || ep.CertPath == "" {
			t.Errorf("%s: got %+v, %v", name, ep, err)
		}
	}
}

// TestClassicOfExisting makes machines that exist master and agent.
func TestClassicOfExisting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.create(CreateRequest{Names: []string{"m1", "w1"}})
	m, ctx := w.manager(), t.Context()
	o := SwarmOptions{Name: "prod", Agent: true}
	plans, err := m.SwarmInit(ctx, SwarmRequest{Names: []string{"m1"}, Classic: true, Options: o, DryRun: true})
	if err != nil || len(plans) != 1 || !strings.Contains(strings.Join(plans[0].Steps, "\n"), "good for a client too") || !strings.Contains(strings.Join(plans[0].Steps, "\n"), "pull image swarm:latest") {
		t.Errorf("got %v, %v", plans, err)
	}
	if isClassic(w.record("m1").HostOptions.SwarmOptions) {
		t.Error("a dry run was recorded")
	}
	if _, err := m.SwarmInit(ctx, SwarmRequest{Names: []string{"m1"}, Classic: true, Options: o}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"w1"}, Classic: true, Options: SwarmOptions{Agent: true}}); err != nil {
		t.Fatal(err)
	}
	if w.args("m1", swarmboot.ClassicMaster) == "" || w.args("m1", swarmboot.ClassicAgent) == "" || w.args("w1", swarmboot.ClassicAgent) == "" {
		t.Error("containers are missing")
	}
	if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) {
		t.Errorf("listed %v", got)
	}
	for _, name := range []string{"m1", "w1"} {
		if err := w.answers(name); err != nil {
			t.Error(err)
		}
	}
	// The host comes back with another address: the arguments and the list follow.
	if err := m.Stop(ctx, []string{"w1"}); err != nil {
		t.Fatal(err)
	}
	w.hosts["w1"].set(func(h *host) { h.peer = "10.7.7.7" })
	if err := m.Start(ctx, []string{"w1"}); err != nil {
		t.Fatal(err)
	}
	if got := w.args("w1", swarmboot.ClassicAgent); !strings.Contains(got, "--advertise 10.7.7.7:2376") || !strings.Contains(w.hosts["m1"].files[prodList], "10.7.7.7:2376 # w1") {
		t.Errorf("got %s, list %s", got, w.hosts["m1"].files[prodList])
	}
	if _, err := m.SwarmLeave(ctx, SwarmRequest{Names: []string{"m1", "w1"}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.hosts["m1"].files[prodList]; ok || len(w.hosts["m1"].engine.Containers()) != 0 || isClassic(w.record("m1").HostOptions.SwarmOptions) {
		t.Error("the master has not left")
	}
}

// TestKilledClassic ends a create of an agent, and its removal, at each event: the next command makes the list right.
func TestKilledClassic(t *testing.T) {
	t.Parallel()
	agent := CreateRequest{Names: []string{"w1"}, Driver: fake.Name, Classic: true, Swarm: SwarmOptions{Agent: true}}
	right := func(t *testing.T, w *world, want ...string) {
		t.Helper()
		if got := w.hosts["m1"].members(prodList); !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
	}
	t.Run("create", func(t *testing.T) {
		t.Parallel()
		killing{
			names: []string{"m1", "w1"},
			before: func(w *world) {
				w.classic(SwarmOptions{Name: "prod"}, "m1")
				w.hosts["w1"].set(func(h *host) { h.orders = true })
			},
			act:   func(ctx context.Context, w *world) { _, _ = w.manager().Create(ctx, agent) },
			from:  "after all that w1 did",
			kinds: "ssh put engine",
		}.each(t, func(t *testing.T, w *world) {
			if w.record("w1").Phase != store.Ready {
				if _, err := w.manager().Create(t.Context(), agent); err != nil {
					t.Fatal(err)
				}
			}
			if w.args("w1", swarmboot.ClassicAgent) == "" {
				t.Error("no agent")
			}
			right(t, w, "m1", "w1")
		})
	})
	t.Run("rm", func(t *testing.T) {
		t.Parallel()
		killing{
			names:  []string{"m1", "w1"},
			before: func(w *world) { w.classic(SwarmOptions{Name: "prod"}, "m1", "w1") },
			act: func(ctx context.Context, w *world) {
				_, _ = w.manager().Remove(ctx, RemoveRequest{Names: []string{"w1"}})
			},
			kinds: "put ssh provider delete",
		}.each(t, func(t *testing.T, w *world) {
			if w.manager().exist([]string{"w1"}) == nil {
				if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1"}}); err != nil {
					t.Fatal(err)
				}
			}
			right(t, w, "m1")
		})
	})
	t.Run("leave", func(t *testing.T) {
		t.Parallel()
		killing{
			names:  []string{"m1", "w1"},
			before: func(w *world) { w.classic(SwarmOptions{Name: "prod"}, "m1", "w1") },
			act: func(ctx context.Context, w *world) {
				_, _ = w.manager().SwarmLeave(ctx, SwarmRequest{Names: []string{"w1"}})
			},
			kinds: "put ssh",
		}.each(t, func(t *testing.T, w *world) {
			if isClassic(w.record("w1").HostOptions.SwarmOptions) {
				if _, err := w.manager().SwarmLeave(t.Context(), SwarmRequest{Names: []string{"w1"}}); err != nil {
					t.Fatal(err)
				}
			}
			if len(w.hosts["w1"].engine.Containers()) != 0 {
				t.Error("its containers are left")
			}
			right(t, w, "m1")
		})
	})
	t.Run("join", func(t *testing.T) {
		t.Parallel()
		join := SwarmRequest{Names: []string{"w1"}, Classic: true, Options: SwarmOptions{Agent: true}}
		killing{
			names: []string{"m1", "w1"},
			before: func(w *world) {
				w.classic(SwarmOptions{Name: "prod"}, "m1")
				w.create(CreateRequest{Names: []string{"w1"}})
				w.hosts["w1"].set(func(h *host) { h.orders = true })
			},
			act:   func(ctx context.Context, w *world) { _, _ = w.manager().SwarmJoin(ctx, join) },
			kinds: "put ssh engine",
		}.each(t, func(t *testing.T, w *world) {
			if _, err := w.manager().SwarmJoin(t.Context(), join); err != nil {
				t.Fatal(err)
			}
			if w.args("w1", swarmboot.ClassicAgent) == "" {
				t.Error("no agent")
			}
			right(t, w, "m1", "w1")
		})
	})
}

// TestClassicMasterAway: a master that is stopped keeps nobody from joining or going, and has the list made right later.
func TestClassicMasterAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	w.classic(SwarmOptions{Name: "prod"}, "m1")
	w.create(CreateRequest{Names: []string{"m2"}, Classic: true, Swarm: SwarmOptions{Master: true, Name: "prod"}})
	if !strings.Contains(w.notes.take(), "know nothing of each other") {
		t.Error("several masters are not warned of")
	}
	m, ctx := w.manager(), t.Context()
	if err := m.Stop(ctx, []string{"m2"}); err != nil {
		t.Fatal(err)
	}
	w.create(CreateRequest{Names: []string{"w1"}, Classic: true, Swarm: SwarmOptions{Agent: true}})
	if said := w.notes.take(); !strings.Contains(said, "machine provision m2") {
		t.Errorf("said %s", said)
	}
	if err := m.Start(ctx, []string{"m2"}); err != nil {
		t.Fatal(err)
	}
	for _, master := range []string{"m1", "m2"} {
		if got := w.hosts[master].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) {
			t.Errorf("%s lists %v", master, got)
		}
	}
	if err := m.Stop(ctx, []string{"m1", "m2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmLeave(ctx, SwarmRequest{Names: []string{"m1"}}); err == nil {
		t.Error("a master that is stopped leaves in good order")
	}
	if _, err := m.SwarmLeave(ctx, SwarmRequest{Names: []string{"m1"}, Force: true}); err != nil || isClassic(w.record("m1").HostOptions.SwarmOptions) {
		t.Errorf("by force: %v", err)
	}
	if _, err := m.Remove(ctx, RemoveRequest{Names: []string{"w1"}}); err != nil {
		t.Error(err)
	}
}

// TestClassicService asks a token service as the manager would.
func TestClassicService(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/clusters/1234" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`["10.0.0.1:2376","10.0.0.2:2376"]`))
	}))
	t.Cleanup(srv.Close)
	at := "token://" + srv.Listener.Addr().String() + "/v1/"
	for url, want := range map[string]string{at + "1234": "[10.0.0.1:2376 10.0.0.2:2376] <nil>", at + "5": "404", at: "none", "token://1234": "none", "consul://x/y": "none"} {
		got := "none"
		if base, token, ok := ownService(url); ok {
			members, err := askService(t.Context(), srv.Client(), base, token)
			got = fmt.Sprint(members, " ", err)
		}
		if got != want && !(want == "404" && strings.Contains(got, want)) {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}

// TestClassicDeprovision takes everything away again from a host that is the user's own.
func TestClassicDeprovision(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "own")
	h := w.hosts["own"]
	req := w.ownHost("own")
	req.Options["generic-deprovision"] = []string{"true"}
	req.Classic, req.Swarm = true, SwarmOptions{Master: true, Agent: true, Name: "prod"}
	w.create(req)
	if got := h.members(prodList); !slices.Equal(got, []string{"own"}) || len(h.engine.Containers()) != 2 {
		t.Fatalf("listed %v, containers %v", got, h.engine.Containers())
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: req.Names}); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.files[prodList]; ok || len(h.engine.Containers()) != 0 {
		t.Errorf("left %v, %v", h.files, h.engine.Containers())
	}
}
