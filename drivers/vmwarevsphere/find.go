package vmwarevsphere

import (
	"context"
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
		p, err := c.properties(ctx, vmRef(st.VM), "config.instanceUuid")
		if err == nil && p.text("config.instanceUuid") == st.Token {
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
	ref, err := d.locate(ctx, c)
	if st := &d.state.Value; err != nil || ref.Value != "" || !st.Asked || st.VM != "" {
		return ref, err
	}
	ctx, cancel := within(ctx, d.deployLimit(), "wait for what makes "+d.state.Value.Name)
	defer cancel()
	if err := d.settle(ctx, c); err != nil {
		return reference{}, c.explain(ctx, "wait for what makes "+d.state.Value.Name, err)
	}
	if ref, err := d.locate(ctx, c); err != nil || ref.Value != "" {
		return ref, err
	}
	return d.named(ctx, c)
}

// settle waits until no task is under way that may be making the machine.
func (d *driver) settle(ctx context.Context, c *center) error {
	st := &d.state.Value
	tasks := []reference{}
	if st.Task != "" {
		tasks = append(tasks, parseRef(st.Task))
	} else {
		from := parseRef(st.Folder)
		if st.Source != "" {
			from = parseRef(st.Source)
		}
		p, err := c.properties(ctx, from, "recentTask")
		if err != nil && !gone(err) {
			return err
		}
		if list, ok := p["recentTask"].(types.ArrayOfManagedObjectReference); ok {
			tasks = list.ManagedObjectReference
		}
	}
	for _, ref := range tasks {
		if err := c.ended(ctx, d.pace, ref); err != nil {
			return err
		}
	}
	return nil
}

// ended waits for the end of a task, whatever it is.
func (c *center) ended(ctx context.Context, pace wait.Pace, ref reference) error {
	return wait.Until(ctx, pace, "the end of "+ref.Value, func(ctx context.Context) (bool, error) {
		p, err := c.properties(ctx, ref, "info.state")
		if gone(err) {
			return true, nil
		}
		state, _ := p["info.state"].(types.TaskInfoState)
		return state != types.TaskInfoStateQueued && state != types.TaskInfoStateRunning, err
	})
}

// named returns the virtual machine of the machine's name in its folder if it
// has the token in its notes or parameters, as it may have no other mark yet.
func (d *driver) named(ctx context.Context, c *center) (reference, error) {
	st := &d.state.Value
	what := "look for virtual machine " + st.Name
	ref, err := c.child(ctx, parseRef(st.Folder), st.Name)
	if err != nil && !gone(err) {
		return reference{}, c.explain(ctx, what, err)
	}
	if ref.Type != machineType {
		return reference{}, nil
	}
	p, err := c.properties(ctx, ref, "config.annotation", "config.extraConfig")
	if err != nil {
		if gone(err) {
			return reference{}, nil
		}
		return reference{}, c.explain(ctx, what, err)
	}
	list, _ := p["config.extraConfig"].(types.ArrayOfOptionValue)
	if strings.HasPrefix(p.text("config.annotation"), annotationPrefix+st.Token) || parameters(list.OptionValue)[markToken] == st.Token {
		return ref, nil
	}
	return reference{}, nil
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
		Err:    fmt.Errorf("make virtual machine %s: %s/%s exists (%s): %w", d.env.Machine, folder.path, d.env.Machine, refText(&ref), drivers.ErrConflict),
		Advice: "choose another name or another --vmwarevsphere-folder; if it is an orphan of this store, machine gc removes it",
	}
}

// found returns the machine's virtual machine or an error that wraps ErrNotFound.
func (d *driver) found(ctx context.Context) (*center, reference, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, reference{}, err
	}
	if d.state.Value.Token == "" {
		return nil, reference{}, fmt.Errorf("find virtual machine %s: it was not made: %w", d.env.Machine, drivers.ErrNotFound)
	}
	c, err := d.connect(ctx)
	if err != nil {
		return nil, reference{}, err
	}
	ctx, cancel := within(ctx, callLimit, "look for virtual machine "+d.state.Value.Name)
	defer cancel()
	ref, err := d.locate(ctx, c)
	if err == nil && ref.Value == "" {
		err = fmt.Errorf("find virtual machine %s (%s): %w", d.state.Value.Name, d.state.Value.Token, drivers.ErrNotFound)
	}
	return c, ref, err
}
