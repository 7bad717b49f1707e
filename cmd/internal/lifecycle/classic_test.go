package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
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
