package vmwarevsphere

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers/internal/wait"
)

// finish waits for a task and returns its result. The error is the vCenter's own.
func (c *center) finish(ctx context.Context, pace wait.Pace, ref reference, what string) (result any, err error) {
	err = wait.Until(ctx, pace, what, func(ctx context.Context) (bool, error) {
		p, err := c.properties(ctx, ref, "info")
		if err != nil {
			return false, err
		}
		info, ok := p["info"].(types.TaskInfo)
		if !ok {
			return false, fmt.Errorf("task %s tells nothing of itself", ref.Value)
		}
		result = info.Result
		switch info.State {
		case types.TaskInfoStateSuccess:
			return true, nil
		case types.TaskInfoStateError:
			return true, task.Error{LocalizedMethodFault: info.Error, Description: info.Description}
		}
		return false, nil
	})
	return result, err
}

// do starts a task and waits for it.
func (c *center) do(ctx context.Context, pace wait.Pace, what string, start func(context.Context) (reference, error)) error {
	ref, err := start(ctx)
	if err == nil {
		_, err = c.finish(ctx, pace, ref, what)
	}
	return err
}
