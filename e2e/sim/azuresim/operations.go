package azuresim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// operation is a long-running one. Its fields are guarded by the cloud's lock.
type operation struct {
	id       string
	verb     string
	provider string // empty: of the resource manager itself
	location string
	start    time.Time
	end      time.Time // zero while it runs
	err      *armError
	canceled bool
	status   int // of the answer at its Location once it is done
	result   func() any
	rec      *record
	settled  chan struct{} // closed when nothing of it runs any more
}

func (o *operation) running() bool { return o.end.IsZero() }

func (o *operation) path() string {
	if o.provider == "" {
		return "/subscriptions/" + Subscription + "/operationresults/" + o.id
	}
	return "/subscriptions/" + Subscription + "/providers/" + o.provider + "/locations/" + o.location + "/operations/" + o.id
}

// begin starts an operation on a resource. work runs without the lock, and goes
// on when the client has gone away; then done is called with the lock held.
func (c *Cloud) begin(k *call, rec *record, verb string, work func(context.Context) error, done func(err *armError)) *operation {
	op := &operation{id: newID(), verb: verb, provider: rec.kind.provider(), location: rec.head().Location, start: time.Now(), status: http.StatusOK, rec: rec, settled: make(chan struct{})}
	c.operations[op.id] = op
	if fails := c.failing[lower(rec.kind.last())]; fails != nil {
		delete(c.failing, lower(rec.kind.last()))
		work = func(context.Context) error { return fails }
	}
	before := rec.last
	rec.busy, rec.last = op, op
	ctx := context.WithoutCancel(k.r.Context())
	time.AfterFunc(max(c.config.Operation, time.Until(rec.found)), func() {
		defer close(op.settled)
		if before != nil {
			<-before.settled
		}
		var err error
		c.mu.Lock()
		preempted := !op.running()
		c.mu.Unlock()
		if work != nil && !preempted {
			err = work(ctx)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !op.running() {
			return
		}
		if err != nil && !errors.As(err, &op.err) {
			op.err = refuse(http.StatusInternalServerError, "InternalExecutionError", "An internal execution error occurred: %s", err)
		}
		op.finish()
		done(op.err)
	})
	return op
}

func (o *operation) finish() {
	o.end = time.Now()
	if o.rec.busy == o {
		o.rec.busy = nil
	}
}

// FailNext has the next long-running operation on a kind of resources, such as
// "virtualMachines", be accepted and then end with an error, nothing done.
func (c *Cloud) FailNext(kind, code, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing[lower(kind)] = refuse(http.StatusConflict, code, "%s", message)
}

// preempt ends what runs on a resource for something newer. Its work may go on
// for a while: what is newer waits for it.
func (c *Cloud) preempt(rec *record) {
	if op := rec.busy; op != nil {
		op.err = refuse(http.StatusConflict, "OperationPreempted", "The operation has been preempted by a more recent operation.")
		op.canceled = true
		op.finish()
	}
}

// halt preempts what runs on resources, and returns what waits for the end of it.
func (c *Cloud) halt(recs []*record) (wait func()) {
	var ends []chan struct{}
	for _, rec := range recs {
		c.preempt(rec)
		if rec.last != nil {
			ends = append(ends, rec.last.settled)
		}
	}
	return func() {
		for _, end := range ends {
			<-end
		}
	}
}

// accepted adds the headers of an operation to an answer.
func (c *Cloud) accepted(k *call, op *operation, location bool) http.Header {
	h := http.Header{}
	address := base(k.r) + op.path()
	version := "?api-version=" + k.r.URL.Query().Get("api-version")
	if op.provider != "" {
		h.Set("Azure-AsyncOperation", address+version)
	}
	if location && op.provider != "" {
		h.Set("Location", address+version+"&monitor=true")
	} else if location {
		h.Set("Location", address+version)
	}
	c.pace(h)
	return h
}

func (c *Cloud) pace(h http.Header) {
	if c.config.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((c.config.RetryAfter+time.Second-1)/time.Second)))
	}
}

// poll answers a question for an operation, at its status or at its location.
func (c *Cloud) poll(k *call, id string) (*reply, *armError) {
	op := c.operations[id]
	if op == nil {
		return nil, refuse(404, "NotFound", "The operation '%s' was not found.", id)
	}
	h := http.Header{}
	if op.running() {
		c.pace(h)
	}
	if op.provider == "" || k.r.URL.Query().Get("monitor") != "" {
		return c.monitor(k, op, h)
	}
	body := map[string]any{"name": op.id, "status": "InProgress", "startTime": op.start.UTC().Format(time.RFC3339Nano)}
	if !op.running() {
		body["endTime"] = op.end.UTC().Format(time.RFC3339Nano)
		body["status"] = "Succeeded"
	}
	if op.err != nil {
		body["status"], body["error"] = "Failed", op.err
	}
	if op.canceled {
		body["status"] = "Canceled"
	}
	return &reply{200, body, h}, nil
}

// monitor answers at an operation's location.
func (c *Cloud) monitor(k *call, op *operation, h http.Header) (*reply, *armError) {
	switch {
	case op.running():
		h.Set("Location", base(k.r)+k.r.URL.RequestURI())
		return &reply{http.StatusAccepted, nil, h}, nil
	case op.err != nil:
		return nil, op.err
	case op.result != nil:
		return &reply{http.StatusOK, op.result(), h}, nil
	}
	return &reply{op.status, nil, h}, nil
}

// inProgress refuses what may not overlap with what runs on a resource.
func inProgress(k *call, rec *record) *armError {
	op := rec.busy
	if op.provider == "Microsoft.Compute" {
		return refuse(http.StatusConflict, "Conflict", "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.")
	}
	return refuse(http.StatusConflict, "AnotherOperationInProgress", "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: %s.",
		fmt.Sprintf("%s%s?api-version=%s", base(k.r), op.path(), k.r.URL.Query().Get("api-version")))
}
