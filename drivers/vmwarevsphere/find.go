package vmwarevsphere

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const machineType = "VirtualMachine"

func vmRef(value string) reference { return reference{Type: machineType, Value: value} }

// parseRef reads a reference such as "Folder:group-v3".
func parseRef(text string) reference {
	kind, value, _ := strings.Cut(text, ":")
	return reference{Type: kind, Value: value}
}

// locate returns the machine's virtual machine: the recorded one, or what has
// its token. It is nothing if there is none.
func (d *driver) locate(ctx context.Context, c *center) (reference, error) {
	st := &d.state.Value
	if st.Token == "" {
		return reference{}, nil
	}
	what := "look for virtual machine " + st.Name
	if st.VM != "" {
		ours, err := d.isOurs(ctx, c, vmRef(st.VM))
		if ours {
			return vmRef(st.VM), nil
		}
		if err != nil && !gone(err) {
			return reference{}, c.explain(ctx, what, err)
		}
	}
	ref, err := c.byUUID(ctx, st.Token)
	if err != nil {
		return reference{}, c.explain(ctx, what, err)
	}
	return ref, nil
}

// asked returns what the vCenter made, or is making, of a request whose answer
// may have been lost. It is nothing if there is none.
func (d *driver) asked(ctx context.Context, c *center) (reference, error) {
	st := &d.state.Value
	if !st.Asked || st.VM != "" {
		return d.locate(ctx, c)
	}
	// What is only half there can neither be used nor deleted.
	what := "wait for what makes " + st.Name
	ctx, cancel := wait.Within(ctx, d.deployLimit(), what)
	defer cancel()
	if err := d.settle(ctx, c); err != nil {
		return reference{}, c.explain(ctx, what, err)
	}
	ref, err := d.anywhere(ctx, c)
	if err != nil || ref.Value == "" {
		return ref, err
	}
	// A request that was on its way may have begun only since.
	if err := errors.Join(d.settle(ctx, c), c.idle(ctx, d.pace, ref)); err != nil {
		return reference{}, c.explain(ctx, what, err)
	}
	return d.anywhere(ctx, c)
}

// anywhere finds the virtual machine by each of its marks.
func (d *driver) anywhere(ctx context.Context, c *center) (reference, error) {
	if ref, err := d.locate(ctx, c); err != nil || ref.Value != "" {
		return ref, err
	}
	return d.named(ctx, c)
}

// settle waits until no task is under way that may be making the machine.
func (d *driver) settle(ctx context.Context, c *center) error {
	st := &d.state.Value
	if task := parseRef(st.Task); task.Type == "Task" {
		return c.ended(ctx, d.pace, task)
	}
	about := parseRef(st.Folder)
	if st.Source != "" {
		about = parseRef(st.Source)
	}
	return c.idle(ctx, d.pace, about)
}

// idle waits until the vCenter has no task under way that is about an object.
func (c *center) idle(ctx context.Context, pace wait.Pace, about reference) error {
	manager := *c.client.ServiceContent.TaskManager
	spec := types.PropertyFilterSpec{
		PropSet: []types.PropertySpec{{Type: "Task", PathSet: []string{"info.entity", "info.state"}}},
		ObjectSet: []types.ObjectSpec{{
			Obj:       manager,
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: manager.Type, Path: "recentTask"}},
		}},
	}
	return wait.Until(ctx, pace, "tasks of "+about.Value, func(ctx context.Context) (bool, error) {
		all, err := c.retrieve(ctx, spec)
		if err != nil && !gone(err) { // a task that is forgotten in between
			return false, err
		}
		for _, p := range all {
			if p.ref("info.entity") == about && underWay(p) {
				return false, nil
			}
		}
		return err == nil, nil
	})
}

func underWay(p properties) bool {
	state, _ := p["info.state"].(types.TaskInfoState)
	return state == types.TaskInfoStateQueued || state == types.TaskInfoStateRunning
}

// ended waits for the end of a task, whatever it is.
func (c *center) ended(ctx context.Context, pace wait.Pace, ref reference) error {
	return wait.Until(ctx, pace, "the end of "+ref.Value, func(ctx context.Context) (bool, error) {
		p, err := c.properties(ctx, ref, "info.state")
		if gone(err) {
			return true, nil
		}
		return !underWay(p), err
	})
}

// isOurs tells whether a virtual machine has the token: as its instance UUID, as
// a mark, or in the name that it has at first.
func (d *driver) isOurs(ctx context.Context, c *center, vm reference) (bool, error) {
	token := d.state.Value.Token
	p, err := c.properties(ctx, vm, "name", "config.instanceUuid")
	if err != nil || p.text("config.instanceUuid") == token || p.text("name") == d.passingName() {
		return err == nil, err
	}
	p, err = c.properties(ctx, vm, "config.extraConfig")
	list, _ := p["config.extraConfig"].(types.ArrayOfOptionValue)
	return parameters(list.OptionValue)[markToken] == token, err
}

// named returns the virtual machine that the machine's folder has under its
// name, or under the name that it has at first, if it is ours.
func (d *driver) named(ctx context.Context, c *center) (reference, error) {
	st := &d.state.Value
	what := "look for virtual machine " + st.Name
	folder := parseRef(st.Folder)
	ref, err := c.child(ctx, folder, d.passingName())
	if err == nil && ref.Type == machineType {
		return ref, nil // nobody else knows the token
	}
	if err == nil {
		ref, err = c.child(ctx, folder, st.Name)
	}
	if gone(err) || err == nil && ref.Type != machineType {
		return reference{}, nil
	}
	if err != nil {
		return reference{}, c.explain(ctx, what, err)
	}
	ours, err := d.isOurs(ctx, c, ref)
	if gone(err) || err == nil && !ours {
		return reference{}, nil
	}
	return ref, c.explain(ctx, what, err)
}

// free returns an error if something that is not ours has the machine's name.
func (d *driver) free(ctx context.Context, c *center, folder *item) error {
	ref, err := c.child(ctx, folder.ref, d.env.Machine)
	if err != nil {
		return c.explain(ctx, "look for virtual machine "+d.env.Machine, err)
	}
	if ref.Value == "" {
		return nil
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("make virtual machine %s: %w: %s/%s exists (%s)", d.env.Machine, drivers.ErrConflict, folder.path, d.env.Machine, refText(&ref)),
		Advice: "choose another name or another --vmwarevsphere-folder; if it is an orphan of this store, machine gc removes it",
	}
}

// found returns the machine's virtual machine or an error that wraps ErrNotFound.
func (d *driver) found(ctx context.Context) (*center, reference, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, reference{}, err
	}
	if d.state.Value.Token == "" && !d.state.Value.Legacy {
		return nil, reference{}, fmt.Errorf("find virtual machine %s: %w: it was not made", d.env.Machine, drivers.ErrNotFound)
	}
	c, err := d.connect(ctx)
	if err != nil {
		return nil, reference{}, err
	}
	ctx, cancel := wait.Within(ctx, callLimit, "look for virtual machine "+d.state.Value.Name)
	defer cancel()
	if err := d.learn(ctx, c); err != nil {
		return c, reference{}, err
	}
	ref, err := d.locate(ctx, c)
	if err == nil && ref.Value == "" {
		err = fmt.Errorf("find virtual machine %s (%s): %w", d.state.Value.Name, d.state.Value.Token, drivers.ErrNotFound)
	}
	return c, ref, err
}
