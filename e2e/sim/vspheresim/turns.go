package vspheresim

import (
	"net/http"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// turns has changes made one after the other: the simulator's tasks write into
// datastores that other tasks read, and into machines that are made while all see them.
type turns struct {
	changing sync.Mutex // from the call that changes something to the end of its tasks

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
			for _, task := range c.registry().AllReference("Task") {
				task.(*simulator.Task).Wait()
			}
			c.turns.release()
			c.turns.changing.Unlock()
		}()
	}()
	c.model.Service.ServeMux.ServeHTTP(w, r)
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
