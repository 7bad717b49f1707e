package swarmboottest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// service is one whose tasks are kept running: those that end are started again on a node that has least of them.
type service struct {
	id, name string
	version  uint64
	spec     map[string]any
	previous map[string]any
	update   string // state of the last update; empty: none

	replicas int // 0 and global: one on each node
	global   bool
	only     string // hostnames of the only nodes that may take its tasks; empty: any
	starting time.Duration
	broken   bool // new tasks never run

	retired []*task // of an update under way, to be replaced one after another
}

// ServiceOptions say how a service of AddService behaves.
type ServiceOptions struct {
	Replicas int           // 0: global
	Only     string        // hostname of the only node that may run it, or several with blanks between them; empty: any
	Start    time.Duration // from a task's assignment until it runs
	On       *Engine       // the node that gets all tasks at first; nil: they are spread
	Update   string        // JSON of the update configuration; empty: none
}

// AddService has the swarm run a service, which has all its tasks at once.
func (e *Engine) AddService(name string, o ServiceOptions) {
	defer e.lock()()
	c := e.cluster
	mode := map[string]any{"Global": map[string]any{}}
	if o.Replicas > 0 {
		mode = map[string]any{"Replicated": map[string]any{"Replicas": o.Replicas}}
	}
	template := map[string]any{"ContainerSpec": map[string]any{"Image": name + ":1"}}
	if len(strings.Fields(o.Only)) == 1 {
		template["Placement"] = map[string]any{"Constraints": []string{"node.hostname==" + o.Only}}
	}
	s := &service{
		id: e.net.id("s"), name: name, version: 3, replicas: o.Replicas, global: o.Replicas == 0, only: o.Only, starting: o.Start,
		spec: map[string]any{"Name": name, "Mode": mode, "TaskTemplate": template, "Labels": map[string]any{"kept": "as it is"}},
	}
	if o.Update != "" {
		var config any
		if err := json.Unmarshal([]byte(o.Update), &config); err != nil {
			panic(err) // a mistake of the test
		}
		s.spec["UpdateConfig"] = config
	}
	c.running = append(c.running, s)
	c.services[s.id] = name
	for range o.Replicas {
		if t := c.place(e.net, s, time.Time{}); t != nil && o.On != nil {
			t.node = o.On.node
		}
	}
	c.keep(e.net)
	for _, t := range c.tasks {
		t.runsAt = time.Time{}
	}
}

// Break makes new tasks of a service never run, or mends that.
func (e *Engine) Break(name string, broken bool) {
	defer e.lock()()
	for _, s := range e.cluster.running {
		if s.name == name {
			s.broken = broken
		}
	}
}

// Tasks counts the running tasks of a service by hostname.
func (e *Engine) Tasks(name string) map[string]int {
	defer e.lock()()
	e.cluster.tick(e.net)
	out := map[string]int{}
	for _, t := range e.cluster.tasks {
		if t.stopAt.IsZero() && t.runs() && e.cluster.services[t.service] == name {
			out[t.node.engine.hostname]++
		}
	}
	return out
}

// Spec returns the specification of a service as JSON.
func (e *Engine) Spec(name string) string {
	defer e.lock()()
	for _, s := range e.cluster.running {
		if s.name == name {
			b, err := json.Marshal(s.spec)
			if err != nil {
				panic(err) // it came as JSON
			}
			return string(b)
		}
	}
	return ""
}

// runs: the task has come up, and has a node that is there.
func (t *task) runs() bool { return t.node != nil && !t.broken && !time.Now().Before(t.runsAt) }

// takes: the node may be given tasks of the service.
func (x *node) takes(n *Net, s *service) bool {
	return x.availability == "active" && x.alive(n, x.engine) && (s.only == "" || slices.Contains(strings.Fields(s.only), x.engine.hostname))
}

// place starts a task on the node that has least of its service. Without a node the task waits for one.
func (c *cluster) place(n *Net, s *service, runsAt time.Time) *task {
	slot := 1
	for slices.ContainsFunc(c.tasks, func(t *task) bool { return t.service == s.id && t.slot == slot && t.stopAt.IsZero() }) {
		slot++
	}
	t := &task{id: n.id("t"), service: s.id, slot: slot, runsAt: runsAt, broken: s.broken, kept: true}
	c.tasks = append(c.tasks, t)
	c.settle(n, s, t)
	return t
}

func (c *cluster) settle(n *Net, s *service, t *task) {
	least := -1
	for _, x := range c.nodes {
		if !x.takes(n, s) {
			continue
		}
		has := 0
		for _, o := range c.tasks {
			if o.service == s.id && o.node == x && o.stopAt.IsZero() {
				has++
			}
		}
		if least < 0 || has < least {
			least, t.node = has, x
		}
	}
}

// keep brings the tasks of services to what they shall be.
func (c *cluster) keep(n *Net) {
	now := time.Now()
	for _, s := range c.running {
		s.roll(c, n, now)
		have := 0
		for _, t := range c.tasks {
			if t.service != s.id || !t.stopAt.IsZero() {
				continue
			}
			have++
			if t.node == nil {
				t.runsAt = now.Add(s.starting)
				c.settle(n, s, t)
			}
		}
		for ; !s.global && have < s.replicas; have++ {
			c.place(n, s, now.Add(s.starting))
		}
		for _, x := range c.nodes {
			has := slices.ContainsFunc(c.tasks, func(t *task) bool { return t.service == s.id && t.node == x && t.stopAt.IsZero() })
			if s.global && !has && x.takes(n, s) {
				c.tasks = append(c.tasks, &task{id: n.id("t"), service: s.id, node: x, runsAt: now.Add(s.starting), broken: s.broken, kept: true})
			}
		}
	}
}

// roll goes on with an update: as many tasks at once as it says, and the next ones when all run again.
func (s *service) roll(c *cluster, n *Net, now time.Time) {
	if s.update != "updating" {
		return
	}
	for _, t := range c.tasks {
		if t.service == s.id && t.stopAt.IsZero() && !t.runs() {
			if t.broken {
				s.update = "paused"
			}
			return
		}
	}
	var config struct{ Parallelism int }
	if raw, err := json.Marshal(s.spec["UpdateConfig"]); err == nil {
		_ = json.Unmarshal(raw, &config) // without one all go at once
	}
	if len(s.retired) == 0 {
		s.update = "completed"
		return
	}
	if config.Parallelism <= 0 {
		config.Parallelism = len(s.retired)
	}
	for range min(config.Parallelism, len(s.retired)) {
		s.retired[0].stopAt = now
		s.retired = s.retired[1:]
		c.place(n, s, now.Add(s.starting))
	}
}

func (c *cluster) service(id string) *service {
	for _, s := range c.running {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (s *service) object() any {
	o := map[string]any{"ID": s.id, "Version": index(s.version), "Spec": s.spec}
	if s.update != "" {
		o["UpdateStatus"] = map[string]string{"State": s.update, "Message": "update is " + s.update}
	}
	return o
}

// updateService takes another specification, and restarts tasks if it forces that.
func (e *Engine) updateService(s *service, u *url.URL, body []byte) error {
	if err := e.current(u, s.version); err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(body, &spec); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if u.Query().Get("rollback") == "previous" {
		if s.previous == nil {
			return refuse(http.StatusBadRequest, "rpc error: code = FailedPrecondition desc = service %s does not have a previous spec", s.name)
		}
		spec = s.previous
	}
	was, is := forced(s.spec), forced(spec)
	s.previous, s.spec, s.update, s.retired = s.spec, spec, "", nil
	s.version++
	if was == is {
		return nil
	}
	s.update = "updating"
	for _, t := range e.cluster.tasks {
		if t.service == s.id && t.stopAt.IsZero() {
			s.retired = append(s.retired, t)
		}
	}
	return nil
}

func forced(spec map[string]any) string {
	template, _ := spec["TaskTemplate"].(map[string]any)
	return fmt.Sprint(template["ForceUpdate"])
}
