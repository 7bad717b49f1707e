package vspheresim

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// turns has changes made one after the other: the simulator's tasks write into
// datastores that other tasks read, and into machines that are made while all see them.
type turns struct {
	changing sync.Mutex            // from the call that changes something to the end of its tasks
	ended    map[mo.Reference]bool // tasks; touched while changing

	mu    sync.Mutex
	maker *simulator.Context // of the last call that makes a machine
	ready []func()           // called when the tasks have ended
}

// inTurn does a call. What it changes is done before the next change.
func (c *Cloud) inTurn(w http.ResponseWriter, r *http.Request, method string) {
	if reading(method) {
		c.model.Service.ServeMux.ServeHTTP(w, r)
		return
	}
	c.turns.changing.Lock()
	defer func() {
		go func() {
			c.turns.awaitAll(c.registry())
			c.turns.release()
			c.turns.changing.Unlock()
		}()
	}()
	c.model.Service.ServeMux.ServeHTTP(w, r)
}

// awaitAll waits for the end of all tasks.
func (t *turns) awaitAll(registry *simulator.Registry) {
	if t.ended == nil {
		t.ended = map[mo.Reference]bool{}
	}
	for _, task := range registry.AllReference("Task") {
		if !t.ended[task] {
			await(registry, task.(*simulator.Task))
			t.ended[task] = true
		}
	}
}

// await waits for the end of a task, which the simulator looks at more seldom.
func await(registry *simulator.Registry, task *simulator.Task) {
	for nobody := new(simulator.Context); ; <-time.After(time.Millisecond) {
		var state types.TaskInfoState
		registry.WithLock(nobody, task, func() { state = task.Info.State })
		if state == types.TaskInfoStateSuccess || state == types.TaskInfoStateError {
			return
		}
	}
}

// serveInside serves the simulator's own clients.
func (c *Cloud) serveInside(w http.ResponseWriter, r *http.Request) {
	if speaksSOAP(r) {
		c.serveSOAP(w, r)
		return
	}
	c.model.Service.ServeMux.ServeHTTP(w, r)
}

// reading tells whether a method changes nothing that others see.
func reading(method string) bool {
	if passing(method) {
		return true
	}
	for _, prefix := range []string{"Retrieve", "Continue", "Find", "Query", "Pbm", "Recommend", "CreateImportSpec"} {
		if strings.HasPrefix(method, prefix) {
			return true
		}
	}
	return false
}

// making notes a call that makes machines.
func (t *turns) making(ctx *simulator.Context, m *simulator.Method) {
	switch m.Body.(type) {
	case *types.CreateVM_Task, *types.CloneVM_Task, *types.ImportVApp:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.maker = ctx
	}
}

func (t *turns) release() {
	t.mu.Lock()
	ready := t.ready
	t.maker, t.ready = nil, nil
	t.mu.Unlock()
	for _, do := range ready {
		do()
	}
}

// newborns keeps a machine locked until it is made. It is told of all that comes
// into the inventory.
type newborns struct{ turns *turns }

// Reference implements simulator.RegisterObject.
func (newborns) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "newborns", Value: "newborns"}
}

// PutObject implements simulator.RegisterObject.
func (n newborns) PutObject(ctx *simulator.Context, object mo.Reference) {
	vm, ok := object.(*simulator.VirtualMachine)
	n.turns.mu.Lock()
	defer n.turns.mu.Unlock()
	if ok && n.turns.maker != nil {
		n.turns.ready = append(n.turns.ready, ctx.Map.AcquireLock(n.turns.maker, vm))
	}
}

// UpdateObject implements simulator.RegisterObject.
func (newborns) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

// RemoveObject implements simulator.RegisterObject.
func (newborns) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}
