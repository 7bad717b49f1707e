package vmwarevsphere

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	configLimit = 10 * time.Minute
	powerLimit  = 5 * time.Minute
)

func (d *driver) deployLimit() time.Duration { return time.Duration(d.cfg.DeployTimeout) * time.Second }

// plan is all that is known before anything is made.
type plan struct {
	center *center
	tree   inventory
	origin origin
	place  *place
	source *source
}

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, callLimit, "check the options at "+c.url.Host)
	defer cancel()
	p, err := d.plan(ctx, c)
	if err != nil {
		return err
	}
	if err := d.checkUserData(ctx); err != nil {
		return err
	}
	if err := d.checkExtras(ctx, c); err != nil {
		return err
	}
	if d.state.Value.Token != "" {
		return nil // it may exist, and is ours then
	}
	return d.free(ctx, c, p.place.folder)
}

// plan finds all that the options name.
func (d *driver) plan(ctx context.Context, c *center) (*plan, error) {
	p := &plan{center: c}
	var err error
	if p.origin, err = d.cfg.origin(); err != nil {
		return nil, err
	}
	if p.tree, err = c.inventory(ctx); err != nil {
		return nil, err
	}
	if p.place, err = d.place(p.tree, p.origin); err != nil {
		return nil, err
	}
	if p.source, err = d.findSource(ctx, p); err != nil {
		return nil, err
	}
	if p.place.beside {
		err = p.place.placeBeside(p.tree, p.source)
	}
	return p, err
}

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	d.noteDataPath(ctx, req)
	st := &d.state.Value
	vm, err := d.asked(ctx, c)
	if err != nil {
		return err
	}
	if vm.Value != "" && st.VM == "" && st.Upload {
		if err := d.dropUpload(ctx, c, vm); err != nil {
			return err
		}
		vm = reference{}
	}
	if vm.Value == "" && st.VM != "" { // somebody deleted it
		token, files := st.Token, st.Files
		*st = State{Token: token, Files: files}
	}
	if vm.Value == "" {
		if vm, err = d.deploy(ctx, c); err != nil {
			return err
		}
	}
	if st.VM != vm.Value {
		st.VM, st.Task = vm.Value, ""
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	if !st.Configured {
		if err := d.configure(ctx, c, vm, req); err != nil {
			return err
		}
		st.Configured = true
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	if err := d.run(ctx, c, vm); err != nil {
		return err
	}
	return d.awaitAddress(ctx, c, vm)
}

// choose decides where the virtual machine goes and what it is made from.
func (d *driver) choose(ctx context.Context, c *center) (*plan, error) {
	ctx, cancel := wait.Within(ctx, callLimit, "choose a place at "+c.url.Host)
	defer cancel()
	p, err := d.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := d.free(ctx, c, p.place.folder); err != nil {
		return nil, err
	}
	return p, d.chooseHost(ctx, p)
}

// deploy makes the virtual machine and returns it.
func (d *driver) deploy(ctx context.Context, c *center) (reference, error) {
	p, err := d.choose(ctx, c)
	if err != nil {
		return reference{}, err
	}
	if p.place.beside {
		d.env.Note(ctx, d.env.Machine+" goes to "+p.place.compute.path+", where "+p.source.path+" is: --vmwarevsphere-cluster or -hostsystem chooses another")
	}
	st := &d.state.Value
	if st.Token == "" {
		st.Token = newToken()
	}
	st.Name, st.Datacenter, st.Folder = d.env.Machine, refText(&p.place.datacenter.ref), refText(&p.place.folder.ref)
	st.Source, st.SourcePath, st.Asked, st.Task = p.source.reference(), p.source.path, true, ""
	st.Upload, st.Address = p.origin == fromOVA, ""
	if fixed := d.cfg.fixedFor(d.cfg.ClientNetwork); fixed.IsValid() {
		st.Address = fixed.String()
	}
	if err := d.state.Save(); err != nil {
		return reference{}, err
	}
	var vm reference
	err = d.env.Step(ctx, "make virtual machine "+st.Name+" from "+p.source.path, func(ctx context.Context) error {
		ctx, cancel := wait.Within(ctx, d.deployLimit(), "make virtual machine "+st.Name)
		defer cancel()
		vm, err = d.deployFrom(ctx, p)
		return c.explain(ctx, "make virtual machine "+st.Name, err)
	})
	return vm, err
}

func (d *driver) deployFrom(ctx context.Context, p *plan) (reference, error) {
	switch p.origin {
	case fromClone:
		return d.clone(ctx, p)
	case fromISO:
		return d.bootISO(ctx, p)
	case fromOVA:
		return d.importOVA(ctx, p)
	case fromLibrary:
		return d.deployItem(ctx, p)
	}
	return reference{}, drivers.ErrUnsupported
}

// made saves the task that makes the virtual machine and waits for it.
func (d *driver) made(ctx context.Context, c *center, task reference) (reference, error) {
	d.state.Value.Task = refText(&task)
	if err := d.state.Save(); err != nil {
		return reference{}, err
	}
	result, err := c.finish(ctx, d.pace, task, "task "+task.Value)
	if err != nil {
		return reference{}, err
	}
	vm, ok := result.(reference)
	if !ok {
		return reference{}, errors.New("the task's result is no virtual machine")
	}
	return vm, nil
}

// run powers the virtual machine on unless it is.
func (d *driver) run(parent context.Context, c *center, vm reference) error {
	ctx, cancel := wait.Within(parent, powerLimit, "power on "+d.state.Value.Name)
	defer cancel()
	what := "power on " + d.state.Value.Name
	p, err := c.properties(ctx, vm, "runtime.powerState")
	if err != nil {
		return c.explain(ctx, what, err)
	}
	if p.text("runtime.powerState") == string(types.VirtualMachinePowerStatePoweredOn) {
		return nil
	}
	return d.env.Step(ctx, what, func(ctx context.Context) error {
		err := c.do(ctx, d.pace, what, func(ctx context.Context) (reference, error) { return c.powerOn(ctx, vm) })
		if err != nil && fault.Is(err, &types.InvalidPowerState{}) {
			return nil // somebody else was faster
		}
		err = c.explain(ctx, what, err)
		if err != nil && ctx.Err() != nil && parent.Err() == nil {
			return d.asksBack(parent, c, vm, err)
		}
		return err
	})
}

// asksBack adds to err what the virtual machine waits for an answer to, if it does.
func (d *driver) asksBack(ctx context.Context, c *center, vm reference, err error) error {
	p, pErr := c.properties(ctx, vm, "runtime.question")
	q, ok := p["runtime.question"].(types.VirtualMachineQuestionInfo)
	if pErr != nil || !ok {
		return err
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("%w; it asks: %s", err, q.Text),
		Advice: "answer it in the vSphere Client or with govc vm.question; the same command goes on from there",
	}
}

// newToken returns a random UUID.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// vxlanPort is what both Swarm's overlay networks and NSX use.
const vxlanPort = 4789

func (d *driver) noteDataPath(ctx context.Context, req drivers.CreateRequest) {
	if req.DataPathPort == vxlanPort && !d.state.Value.Configured {
		d.env.Note(ctx, "the swarm's overlay networks use UDP port 4789, which NSX and some distributed switches keep for themselves: "+
			"if containers cannot reach each other across machines, make the swarm with another --swarm-data-path-port")
	}
}
