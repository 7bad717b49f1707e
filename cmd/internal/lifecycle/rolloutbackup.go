package lifecycle

import (
	"context"
	"fmt"
	"os"

	"github.com/hostsmith/machine/swarmboot"
)

// backup makes the backup that was asked for, once in an upgrade. The engine of a manager is stopped for it, so that this
// node is drained first as it is for its upgrade, and activated again.
func (r *rolling) backup(ctx context.Context) error {
	if r.req.Backup == nil {
		return nil
	}
	if r.op.State.Saved {
		r.m.Note(ctx, "the swarm is backed up already, in "+r.op.State.Saving)
		return nil
	}
	req := r.backupRequest()
	name, _, err := r.backupSource(ctx, req)
	if err != nil {
		return err
	}
	r.op.State.Saving = req.File
	if err := r.op.save(); err != nil {
		return err
	}
	if err := r.backupDrained(OnMachine(ctx, name), r.machines[name], req); err != nil {
		return nameError(name, 2, err)
	}
	r.op.State.Saved = true
	clear(r.before)
	return r.saveRunning()
}

// backupRequest is what was asked for. The file of a backup that was interrupted is this command's own to overwrite.
func (r *rolling) backupRequest() BackupRequest {
	req := *r.req.Backup
	req.Name = r.cluster.Name
	req.Force = req.Force || r.op != nil && r.op.State.Saving == req.File
	return req
}

// backupSource is the manager whose data would be copied, and how. What would be refused is refused.
func (r *rolling) backupSource(ctx context.Context, req BackupRequest) (string, []string, error) {
	if !req.Force {
		if _, err := os.Lstat(req.File); err == nil {
			return "", nil, fmt.Errorf("back up swarm %q: %w: %s", r.cluster.Name, ErrFileExists, req.File)
		}
	}
	req.DryRun = true
	_, plan, err := r.m.backup(ctx, *r.cluster, req)
	if err != nil {
		return "", nil, err
	}
	return plan[0].Machine, plan[0].Steps, nil
}

func (r *rolling) backupDrained(ctx context.Context, x *machine, req BackupRequest) error {
	eng, err := r.guided(ctx, x.rec.Name)
	if err != nil {
		return err
	}
	defer eng.close()
	if err := r.vacate(ctx, x, eng); err != nil {
		return err
	}
	res, _, err := r.m.backup(ctx, *r.cluster, req)
	if err != nil {
		return err
	}
	r.backedUp = &res
	r.m.Note(ctx, "the swarm is backed up in "+res.File)
	wait, cancel := x.within(ctx, r.m.Wait.Swarm, engineGone, "wait for the node to be ready in its swarm")
	defer cancel()
	if err := swarmboot.WaitReady(wait, eng, x.rec.Swarm.NodeID); err != nil {
		return err
	}
	if err := r.activate(ctx, x, eng); err != nil {
		return err
	}
	return r.settled(ctx, eng)
}

// planBackup is the backup as a dry run shows it.
func (r *rolling) planBackup(ctx context.Context) ([]Planned, error) {
	if r.req.Backup == nil || r.op != nil && r.op.State.Saved {
		return nil, nil
	}
	name, steps, err := r.backupSource(ctx, r.backupRequest())
	if err != nil {
		return nil, err
	}
	steps = append([]string{"drain the node until its tasks run elsewhere"}, steps...)
	return []Planned{{Machine: name, Steps: append(steps, "set it to what it was")}}, nil
}
