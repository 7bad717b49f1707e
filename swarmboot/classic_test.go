package swarmboot_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/swarmboot"
)

type classicCase struct {
	want swarmboot.Classic
	seen swarmboot.ClassicSeen
	err  error // wrapped by the error; nil: none
}

func classic(change func(*swarmboot.Classic)) swarmboot.Classic {
	c := swarmboot.Classic{
		Master: true, Agent: true, Image: "swarm:latest", Discovery: "token://1234", Host: "tcp://0.0.0.0:3376", Strategy: "spread",
		Advertise: "10.0.0.1", EnginePort: 2376, DockerDir: "/etc/docker", TLS: "aa11",
	}
	if change != nil {
		change(&c)
	}
	return c
}

// running is what an engine says after a plan was carried out, with what the image sets.
func running(t *testing.T, c swarmboot.Classic) swarmboot.ClassicSeen {
	t.Helper()
	seen := swarmboot.ClassicSeen{Version: "28.5.2", MinAPI: "1.24", Image: true, Containers: map[string]swarmboot.ClassicContainer{}}
	steps, err := swarmboot.PlanClassic(c, swarmboot.ClassicSeen{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if s.Kind == "create" {
			is := s.Container
			is.Running, is.Ours = true, true
			is.ImageEnv = []string{"PATH=/bin", "SWARM_HOST=:2375"}
			is.Env = append(slices.Clone(is.Env), is.ImageEnv...)
			seen.Containers[is.Name] = is
		}
	}
	return seen
}

func classicCases(t *testing.T) map[string]classicCase {
	t.Helper()
	with := func(c swarmboot.ClassicSeen, name string, change func(*swarmboot.ClassicContainer)) swarmboot.ClassicSeen {
		is := c.Containers[name]
		change(&is)
		c.Containers = maps.Clone(c.Containers)
		c.Containers[name] = is
		return c
	}
	const master, agent = swarmboot.ClassicMaster, swarmboot.ClassicAgent
	all := classic(func(c *swarmboot.Classic) {
		c.Image, c.Strategy, c.Host, c.Experimental = "swarm:1.2.9", "binpack", "tcp://0.0.0.0:4376", true
		c.Discovery, c.Options, c.JoinOptions = "consul://10.9.0.1:8500/x", []string{"replication", "heartbeat=9s"}, []string{"ttl=30s", "--delay=5s"}
		c.Env, c.EnginePort, c.Advertise = []string{"HTTP_PROXY=http://p"}, 12376, "192.0.2.7"
	})
	own := func(c *swarmboot.Classic) { c.Discovery = swarmboot.ListURL("prod") }
	here := swarmboot.ClassicSeen{Image: true, MinAPI: "1.40"}
	return map[string]classicCase{
		"new":                {want: classic(nil), seen: swarmboot.ClassicSeen{MinAPI: "1.24"}},
		"all-options":        {want: all, seen: here},
		"master-only":        {want: classic(func(c *swarmboot.Classic) { c.Agent = false }), seen: here},
		"agent-only":         {want: classic(func(c *swarmboot.Classic) { c.Master, c.Host, c.Strategy = false, "", "" }), seen: here},
		"ipv6":               {want: classic(func(c *swarmboot.Classic) { c.Advertise = "2001:db8::7" }), seen: here},
		"own-list":           {want: classic(own), seen: here},
		"own-list-b2d":       {want: classic(func(c *swarmboot.Classic) { own(c); c.DockerDir = "/var/lib/boot2docker" }), seen: here},
		"own-list-heartbeat": {want: classic(func(c *swarmboot.Classic) { own(c); c.Options = []string{"heartbeat=60s"} }), seen: here},
		"nothing":            {want: all, seen: running(t, all)},
		"image-gone":         {want: all, seen: func() swarmboot.ClassicSeen { s := running(t, all); s.Image = false; return s }()},
		"stopped":            {want: all, seen: with(running(t, all), agent, func(is *swarmboot.ClassicContainer) { is.Running = false })},
		"other-address":      {want: classic(func(c *swarmboot.Classic) { c.Advertise = "10.0.0.9" }), seen: running(t, classic(nil))},
		"other-certificates": {want: classic(func(c *swarmboot.Classic) { c.TLS = "bb22" }), seen: running(t, classic(nil))},
		"other-port":         {want: classic(func(c *swarmboot.Classic) { c.Host = "tcp://0.0.0.0:4376" }), seen: running(t, classic(nil))},
		"other-image-absent": {want: classic(func(c *swarmboot.Classic) { c.Image = "swarm:1.2.9" }),
			seen: func() swarmboot.ClassicSeen { s := running(t, classic(nil)); s.Image = false; return s }()},
		"variable-added": {want: classic(func(c *swarmboot.Classic) { c.Env = []string{"A=1"} }), seen: running(t, classic(nil))},
		"variable-gone":  {want: classic(nil), seen: running(t, classic(func(c *swarmboot.Classic) { c.Env = []string{"A=1"} }))},
		"all-differs": {want: classic(nil), seen: with(running(t, all), master, func(is *swarmboot.ClassicContainer) {
			is.Binds, is.Always, is.Ours = nil, false, false
		})},
		"master-no-more":   {want: classic(func(c *swarmboot.Classic) { c.Master = false }), seen: running(t, classic(nil))},
		"leave":            {want: swarmboot.Classic{}, seen: running(t, classic(nil))},
		"leave-foreign":    {want: swarmboot.Classic{}, seen: with(running(t, classic(nil)), agent, func(is *swarmboot.ClassicContainer) { is.Ours = false })},
		"leave-new-engine": {want: swarmboot.Classic{}, seen: func() swarmboot.ClassicSeen { s := running(t, classic(nil)); s.MinAPI = "1.44"; return s }()},
		"too-new":          {want: classic(nil), seen: swarmboot.ClassicSeen{Version: "29.1.0", MinAPI: "1.44"}, err: swarmboot.ErrClassicAPI},
		"replication-without-store": {err: swarmboot.ErrClassic,
			want: classic(func(c *swarmboot.Classic) { own(c); c.Options = []string{"replication"} }), seen: here},
		"bad-strategy":  {err: swarmboot.ErrClassic, want: classic(func(c *swarmboot.Classic) { c.Strategy = "pack" }), seen: here},
		"bad-discovery": {err: swarmboot.ErrClassic, want: classic(func(c *swarmboot.Classic) { c.Discovery = "1234" }), seen: here},
		"bad-host":      {err: swarmboot.ErrClassic, want: classic(func(c *swarmboot.Classic) { c.Host = "tcp://0.0.0.0" }), seen: here},
		"bad-address":   {err: swarmboot.ErrClassic, want: classic(func(c *swarmboot.Classic) { c.Advertise = "10.0.0.1:2376" }), seen: here},
	}
}

func TestPlanClassic(t *testing.T) {
	t.Parallel()
	for name, c := range classicCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := fmt.Sprintf("%#v", c)
			steps, err := swarmboot.PlanClassic(c.want, c.seen)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("got error %v, want %v", err, c.err)
			}
			var got strings.Builder
			for _, s := range steps {
				fmt.Fprintln(&got, s)
				if s.Kind == "create" {
					fmt.Fprintf(&got, "  env %q, binds %q, ports %v, tls %q\n", s.Container.Env, s.Container.Binds, s.Container.Ports, s.Container.TLS)
				}
			}
			if err != nil {
				fmt.Fprintln(&got, "error:", err)
				var h interface{ Hint() string }
				if errors.As(err, &h) {
					fmt.Fprintln(&got, "hint:", h.Hint())
				}
			}
			golden(t, "classic/"+name, got.String())
			if after := fmt.Sprintf("%#v", c); after != before {
				t.Error("the arguments were changed")
			}
		})
	}
}

func TestClassicLists(t *testing.T) {
	t.Parallel()
	list := swarmboot.List([]swarmboot.ClassicMember{{"w1", "10.0.0.2:2376"}, {"m1", "10.0.0.1:2376"}})
	if want := []string{"10.0.0.1:2376", "10.0.0.2:2376"}; !slices.Equal(swarmboot.ParseList(list), want) {
		t.Errorf("%q is read as %q", list, swarmboot.ParseList(list))
	}
	if got := swarmboot.ParseList(swarmboot.List(nil)); len(got) != 0 {
		t.Errorf("an empty list is read as %q", got)
	}
	got := swarmboot.ParseNodes("nodes://10.0.0.[9:11]:2376, host:2376,[2001:db8::7]:2376")
	want := []string{"10.0.0.9:2376", "10.0.0.10:2376", "10.0.0.11:2376", "host:2376", "[2001:db8::7]:2376"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for url, own := range map[string]bool{
		swarmboot.ListURL("prod"): true, "file:///etc/docker/machine-swarm/../x": false, "file:///etc/docker/machine-swarm/a b": false,
		"file:///etc/docker/swarm.list": false, "token://x": false, "file:///etc/docker/machine-swarm/x;reboot": false,
	} {
		if _, ok := swarmboot.OwnList(url); ok != own {
			t.Errorf("OwnList(%s) is %v", url, ok)
		}
	}
}
