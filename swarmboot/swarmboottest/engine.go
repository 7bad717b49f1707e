package swarmboottest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Engine is one host's engine. It satisfies swarmboot.Engine, and serves the
// same calls over HTTP.
type Engine struct {
	net      *Net
	hostname string
	addr     string
	version  string

	// Guarded by net.mu.
	state     string // inactive, pending, active, error, locked
	problem   string
	cluster   *cluster
	node      *node
	pending   *joinRequest
	ghost     *node // what it is to be, in a join that is going to fail
	failAt    time.Time
	down      bool
	more      map[string]any
	needs     string // the unlock key, when it starts
	conflicts int
	faults    []fault
	calls     []string
	bodies    []string

	minAPI     string
	images     map[string]bool
	containers map[string]*Container
	crash      string // what containers write before they end at once; empty: they go on
	pullError  string
}

type fault struct {
	prefix string
	err    error
}

// Error is what an engine answers instead of doing it.
type Error struct {
	Code int
	Text string
}

func (e *Error) Error() string   { return fmt.Sprintf("%d: %s", e.Code, e.Text) }
func (e *Error) StatusCode() int { return e.Code } // StatusCode is the status of the answer.
func (e *Error) Message() string { return e.Text } // Message is the text of the answer.

// ErrDown is what callers of an engine get that does not run.
var ErrDown = errors.New("dial tcp: connect: connection refused")

func (e *Engine) lock() func() {
	e.net.mu.Lock()
	return e.net.mu.Unlock
}

// SetDown stops the engine, or starts it again as what it was.
func (e *Engine) SetDown(down bool) {
	defer e.lock()()
	if e.cluster != nil {
		e.cluster.tick(e.net)
	}
	if e.down && !down && e.needs != "" && e.state == "active" {
		e.state = "locked"
	}
	e.down = down
}

// SetState puts the engine into a state such as error or locked, with what it says about it.
func (e *Engine) SetState(state, problem string) {
	defer e.lock()()
	e.state, e.problem = state, problem
}

// SetVersion sets the engine's version.
func (e *Engine) SetVersion(v string) { defer e.lock()(); e.version = v }

// Describe adds to what the engine says of itself, by the names of /info.
func (e *Engine) Describe(more map[string]any) { defer e.lock()(); e.more = more }

// Conflict makes the next n updates of objects fail because something else changed them.
func (e *Engine) Conflict(n int) { defer e.lock()(); e.conflicts = n }

// Fail makes the next call whose method and path, such as "POST /swarm/join", begin with prefix fail.
func (e *Engine) Fail(prefix string, err error) {
	defer e.lock()()
	e.faults = append(e.faults, fault{prefix, err})
}

// Calls returns method and path of all calls so far.
func (e *Engine) Calls() []string { defer e.lock()(); return slices.Clone(e.calls) }

// Bodies returns the bodies of all calls so far that had one.
func (e *Engine) Bodies() []string { defer e.lock()(); return slices.Clone(e.bodies) }

// NodeID returns the id the engine has in its swarm; empty: none.
func (e *Engine) NodeID() string {
	defer e.lock()()
	if e.node == nil {
		return ""
	}
	return e.node.id
}

// Tokens returns the join tokens of the engine's swarm.
func (e *Engine) Tokens() (manager, worker string) {
	defer e.lock()()
	if e.cluster == nil {
		return "", ""
	}
	return e.cluster.tokens["manager"], e.cluster.tokens["worker"]
}

// AddTask lets a task of a service run on the engine's node; it takes stopAfter to end when it is told to.
func (e *Engine) AddTask(service string, slot int, stopAfter time.Duration) {
	defer e.lock()()
	c := e.cluster
	id := e.net.id("s")
	for s, name := range c.services {
		if name == service {
			id = s
		}
	}
	c.services[id] = service
	c.tasks = append(c.tasks, &task{id: e.net.id("t"), service: id, slot: slot, node: e.node, stopAfter: stopAfter})
}

// Do answers a call of the Engine API.
func (e *Engine) Do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	answer, err := e.serve(ctx, method, path, body)
	if err != nil || out == nil {
		return err
	}
	if w, ok := out.(io.Writer); ok {
		raw, _ := answer.(stream)
		_, err := w.Write(raw)
		return err
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

// serve takes a call, and keeps the caller of a join waiting as long as an engine does.
func (e *Engine) serve(ctx context.Context, method, path string, body []byte) (any, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	answer, err := e.route(method, path, body)
	if !errors.Is(err, errWaiting) {
		return answer, err
	}
	limit := time.NewTimer(e.net.JoinTimeout)
	defer limit.Stop()
	look := time.NewTicker(min(50*time.Millisecond, e.net.JoinTimeout))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-limit.C:
			return nil, &Error{http.StatusServiceUnavailable, "Timeout was reached before node joined. The attempt to join the swarm will " +
				"continue in the background. Use the \"docker info\" command to see the current swarm status of your node."}
		case <-look.C:
			if done, err := e.joined(); done {
				return nil, err
			}
		}
	}
}

func (e *Engine) joined() (bool, error) {
	defer e.lock()()
	e.attempt()
	if e.state == "error" {
		problem := e.problem
		e.state, e.problem, e.pending, e.ghost = "inactive", "", nil, nil
		return true, &Error{http.StatusInternalServerError, problem}
	}
	return e.state != "pending", nil
}

// ServeHTTP answers calls over HTTP, with or without the version in the path.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.RequestURI()
	if strings.HasPrefix(path, "/v1.") {
		path = path[1+strings.Index(path[1:], "/"):]
	}
	var body []byte
	var raw json.RawMessage
	if json.NewDecoder(r.Body).Decode(&raw) == nil {
		body = raw
	}
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	answer, err := e.serve(r.Context(), r.Method, path, body)
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		w.WriteHeader(refusal.Code)
		answer = map[string]string{"message": refusal.Text}
	case err != nil:
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if raw, ok := answer.(stream); ok {
		_, _ = w.Write(raw)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}
