package swarmboot_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// world is hosts with engines, in memory or real. The stories in story_test.go are
// told in both, so that the engines in memory stay true to the real ones.
type world interface {
	engine(name string) swarmboot.Engine // the host is made when it is first named
	addr(name string) string
	stop(name string)
	start(name string)
	cut(name string) // from all others
	heal(name string)
	task(name, service string, stopAfter time.Duration) // on the only node that takes tasks
}

var stories = map[string]func(*testing.T, *teller){
	"bootstrap":  bootstrap,
	"drift":      drift,
	"removal":    removal,
	"dead":       deadManager,
	"quorum":     quorumLost,
	"foreign":    foreign,
	"unanswered": unanswered,
	"drain":      drains,
	"address":    wrongAddress,
	"anew":       madeAnew,
	"authority":  newAuthority,
	"locks":      locksAndUnlocks,
}

func TestStories(t *testing.T) {
	t.Parallel()
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				story(t, &teller{t: t, w: newMemory(), nodes: make(map[string]swarmboot.Node), ids: make(map[string]string)})
			})
		})
	}
}

// memory is a world of engines in memory.
type memory struct {
	net  *swarmboottest.Net
	made map[string]*swarmboottest.Engine
}

func newMemory() *memory {
	return &memory{net: swarmboottest.New(), made: make(map[string]*swarmboottest.Engine)}
}

func (m *memory) addr(name string) string {
	return "10.213.77." + string('1'+name[1]-'1') + map[byte]string{'m': "", 'w': "1", 'x': "2"}[name[0]]
}

func (m *memory) engine(name string) swarmboot.Engine {
	if m.made[name] == nil {
		m.made[name] = m.net.Engine(name, m.addr(name))
	}
	return m.made[name]
}

func (m *memory) stop(name string)  { m.made[name].SetDown(true) }
func (m *memory) start(name string) { m.made[name].SetDown(false) }
func (m *memory) cut(name string) {
	for _, e := range m.made {
		if e != m.made[name] {
			m.net.Cut(e, m.made[name])
		}
	}
}
func (m *memory) heal(name string) {
	for _, e := range m.made {
		m.net.Heal(e, m.made[name])
	}
}
func (m *memory) task(name, service string, stopAfter time.Duration) {
	m.made[name].AddTask(service, 1, stopAfter)
}

// teller is what stories share.
type teller struct {
	t     *testing.T
	w     world
	swarm swarmboot.Swarm
	nodes map[string]swarmboot.Node // what each machine is wanted to be
	ids   map[string]string

	mu    sync.Mutex
	steps []string // ended without error
}

func (s *teller) ctx(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(s.t.Context(), d, errors.New("the story's patience ended"))
	s.t.Cleanup(cancel)
	return ctx
}

func (s *teller) step(ctx context.Context, name string, fn func(context.Context) error) error {
	start := time.Now()
	err := fn(ctx)
	s.t.Logf("%s: %v (%s)", name, err, time.Since(start).Round(time.Millisecond))
	if err == nil {
		s.mu.Lock()
		s.steps = append(s.steps, name)
		s.mu.Unlock()
	}
	return err
}

func (s *teller) engines() map[string]swarmboot.Engine {
	es := make(map[string]swarmboot.Engine)
	for name := range s.nodes {
		es[name] = s.w.engine(name)
	}
	return es
}

func (s *teller) seen() map[string]swarmboot.Seen {
	seen := make(map[string]swarmboot.Seen)
	for name, e := range s.engines() {
		seen[name] = swarmboot.Inspect(s.ctx(10*time.Second), e)
	}
	return seen
}

// want says what machines shall be; those named before stay wanted as they were.
func (s *teller) want(role swarmboot.Role, names ...string) {
	for _, name := range names {
		s.w.engine(name)
		s.nodes[name] = swarmboot.Node{Name: name, Role: role, Advertise: s.w.addr(name), Labels: map[string]string{"host": name}}
	}
	s.swarm.Nodes = nil
	for _, name := range slices.Sorted(maps.Keys(s.nodes)) {
		s.swarm.Nodes = append(s.swarm.Nodes, s.nodes[name])
	}
}

func (s *teller) plan() ([]swarmboot.Action, error) { return swarmboot.Plan(s.swarm, s.seen()) }

// reach plans and applies until what is wanted holds.
func (s *teller) reach() {
	s.t.Helper()
	actions, err := s.plan()
	if err != nil {
		s.t.Fatalf("plan: %v", err)
	}
	for _, a := range actions {
		s.t.Log(a)
	}
	res, err := swarmboot.Apply(s.ctx(3*time.Minute), actions, s.engines(), nil, s.step)
	if err != nil {
		s.t.Fatalf("apply: %v", err)
	}
	maps.Copy(s.ids, res.NodeIDs)
	if s.swarm.ID == "" {
		s.swarm.ID = res.ClusterID
	}
	s.settled()
}

// settled fails the story unless there is nothing left to do.
func (s *teller) settled() {
	s.t.Helper()
	if actions, err := s.plan(); err != nil || len(actions) > 0 {
		s.t.Fatalf("plan again: got %v, %v, want nothing to do", actions, err)
	}
}

// members returns what a manager says of the nodes by machine name.
func (s *teller) members(manager string) map[string]swarmboot.Member {
	s.t.Helper()
	list, err := swarmboot.Members(s.ctx(10*time.Second), s.w.engine(manager))
	if err != nil {
		s.t.Fatalf("members: %v", err)
	}
	ms := make(map[string]swarmboot.Member)
	for _, m := range list {
		name := "?" + m.ID
		for n, id := range s.ids {
			if id == m.ID {
				name = n
			}
		}
		ms[name] = m
	}
	return ms
}

func names(ms map[string]swarmboot.Member) string {
	return strings.Join(slices.Sorted(maps.Keys(ms)), " ")
}
