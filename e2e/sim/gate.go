package sim

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Gate stands before a provider's interface.
type Gate struct {
	provider Provider

	mu     sync.Mutex
	calls  map[string]int
	total  int
	faults []*armed
	watch  *watch // nil: nobody observes
}

// watch is one who observes.
type watch struct {
	hook    func(n int, done bool) error
	seen    int            // calls that came
	running sync.WaitGroup // those of them that are not over
}

// armed is a fault and how often its calls came.
type armed struct {
	Fault
	came    int
	cleared chan struct{}
	held    bool
}

// NewGate returns a gate before p that lets everything through.
func NewGate(p Provider) *Gate { return &Gate{provider: p, calls: map[string]int{}} }

// Calls returns how often each action was called, and the sum under the empty name.
func (g *Gate) Calls() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(g.calls)
	all[""] = g.total
	return all
}

// Inject arms a fault.
func (g *Gate) Inject(f Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, &armed{Fault: f, cleared: make(chan struct{})})
}

// Clear disarms all faults and lets go what they hold.
func (g *Gate) Clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.faults {
		close(f.cleared)
	}
	g.faults = nil
}

// Held tells whether a fault holds a call now.
func (g *Gate) Held() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.faults {
		if f.held {
			return true
		}
	}
	return false
}

// Observe has hook called before and after each call, counted from 1 again. If
// it returns an error before the call, the call is refused undone; after it, its
// answer is replaced by a refusal. A nil hook ends it. Observe returns when the
// calls of the hook before are over, also those whose clients went away: what
// they did has happened by then. So a hook must not call it.
func (g *Gate) Observe(hook func(n int, done bool) error) {
	g.mu.Lock()
	before := g.watch
	g.watch = nil
	if hook != nil {
		g.watch = &watch{hook: hook}
	}
	g.mu.Unlock()
	if before != nil {
		before.running.Wait()
	}
}

// ServeHTTP passes a request on to the provider, or spoils it.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	again := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }
	r.Body = again()
	action := g.provider.Action(r, body)
	r.Body = again()
	if action == "" {
		g.provider.ServeHTTP(w, r)
		return
	}
	fault, seen, n := g.count(action)
	if seen != nil {
		defer seen.running.Done()
		g.hooked(w, r, n, seen.hook)
		return
	}
	if fault == nil {
		g.provider.ServeHTTP(w, r)
		return
	}
	g.spoil(w, r, fault)
}

// count notes a call and returns what is to happen to it: a fault, or who
// observes it as their nth.
func (g *Gate) count(action string) (f *armed, by *watch, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[action]++
	g.total++
	if g.watch != nil {
		g.watch.seen++
		g.watch.running.Add(1)
		return nil, g.watch, g.watch.seen
	}
	for _, f := range g.faults {
		if f.Action != "" && f.Action != action {
			continue
		}
		f.came++
		first := max(f.Nth, 1)
		if f.came >= first && (f.Times < 0 || f.came < first+max(f.Times, 1)) {
			return f, nil, 0
		}
	}
	return nil, nil, 0
}

func (g *Gate) hooked(w http.ResponseWriter, r *http.Request, n int, hook func(int, bool) error) {
	refuse := func(err error) {
		g.provider.Refuse(w, r, Fault{Mode: Fail, Status: http.StatusBadRequest, Text: err.Error()})
	}
	if err := hook(n, false); err != nil {
		refuse(err)
		return
	}
	kept := g.done(r)
	if err := hook(n, true); err != nil {
		refuse(err)
		return
	}
	kept.release(w)
}

func (g *Gate) spoil(w http.ResponseWriter, r *http.Request, f *armed) {
	switch f.Mode {
	case Fail, Throttle:
		g.provider.Refuse(w, r, f.Fault)
	case Lose:
		g.done(r)
		panic(http.ErrAbortHandler) // closes the connection
	case Slow:
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-f.cleared:
		}
		g.provider.ServeHTTP(w, r)
	case Before:
		g.hold(r, f)
		if r.Context().Err() == nil {
			g.provider.ServeHTTP(w, r)
		}
	case After:
		kept := g.done(r)
		g.hold(r, f)
		kept.release(w)
	default:
		g.provider.Refuse(w, r, Fault{Mode: Fail, Text: "the simulator knows no such fault: " + string(f.Mode)})
	}
}

// hold waits until the client goes or the fault is cleared.
func (g *Gate) hold(r *http.Request, f *armed) {
	mark := func(held bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		f.held = held
	}
	mark(true)
	defer mark(false)
	select {
	case <-r.Context().Done():
	case <-f.cleared:
	}
}

// done has the provider do a request and keeps its answer.
func (g *Gate) done(r *http.Request) *kept {
	k := &kept{header: http.Header{}, status: http.StatusOK}
	g.provider.ServeHTTP(k, r)
	return k
}

// kept is an answer that may yet be lost.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (k *kept) release(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body.Bytes()) // the client may be gone
}

// ErrUnknown is a resource that does not exist.
var ErrUnknown = errors.New("no such resource")
