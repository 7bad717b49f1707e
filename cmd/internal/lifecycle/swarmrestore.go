package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/cmd/internal/swarmfile"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// RestoreRequest asks to make a swarm of a backup.
type RestoreRequest struct {
	Open       func() (io.ReadCloser, error) // the file; it is read twice
	Identity   string                        // text of age identity files; secret
	Passphrase string                        // instead of an identity; secret
	Machine    string                        // a machine that is in no swarm
	Swarm      string                        // another name for it than it had
	Force      bool                          // with an older engine than the backup's
	Prune      bool                          // remove nodes that do not come back from the list
	Join       []string                      // machines that join it again
	DryRun     bool
}

// BackupInfo is what a backup says of itself.
type BackupInfo = swarmfile.Manifest

// restoring is how far a restore came.
type restoring struct {
	Machine string
	Taken   time.Time
	Placed  bool            // the data are on the host, which knows nothing of it yet
	Forced  bool            // the machine leads the swarm
	Nodes   map[string]node `json:",omitempty"` // what machines that join were before, by name
}

// SwarmCheckBackup reads a backup to its end, and touches nothing.
func (m *Manager) SwarmCheckBackup(req RestoreRequest) (BackupInfo, error) {
	b, err := openBackup(req, swarmfile.Verify)
	if err != nil {
		return BackupInfo{}, err
	}
	return b.Manifest, nil
}

func openBackup(req RestoreRequest, read func(io.Reader, swarmfile.Identities) (*swarmfile.Backup, error)) (b *swarmfile.Backup, err error) {
	file, err := req.Open()
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was read
	if b, err = read(file, swarmfile.Identities{Text: req.Identity, Passphrase: req.Passphrase}); err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	return b, nil
}

// SwarmRestore makes a machine the only manager of a swarm as it was when its backup was taken, whatever address the machine
// has. It is recorded as a swarm of the store. A command that ended half-way is gone on with by the same one.
func (m *Manager) SwarmRestore(ctx context.Context, req RestoreRequest) (plan []Planned, err error) {
	b, err := openBackup(req, swarmfile.Verify)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(req.Swarm, b.Manifest.Swarm)
	if err := store.ValidName(name); err != nil {
		return nil, err
	}
	machines, err := m.lockForRestore(ctx, name, req)
	defer func() {
		for _, x := range machines {
			err = errors.Join(err, x.close())
		}
	}()
	if err != nil {
		return nil, err
	}
	txn, cluster, err := m.lockCluster(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	r := &restore{m: m, req: req, x: machines[req.Machine], machines: machines, txn: txn, cluster: &cluster, backup: b}
	defer r.close()
	if err := r.look(ctx); err != nil {
		return nil, fmt.Errorf("restore swarm %q: %w", name, err)
	}
	if req.DryRun {
		return []Planned{{Machine: req.Machine, Steps: r.steps()}}, nil
	}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("restore swarm %q: %w", name, err)
	}
	return nil, nil
}

// lockForRestore takes the locks of all machines that a restore may change: the manager to be, those that join, and those that
// are recorded as managers and will be none.
func (m *Manager) lockForRestore(ctx context.Context, swarm string, req RestoreRequest) (map[string]*machine, error) {
	machines := map[string]*machine{}
	needed := append([]string{req.Machine}, req.Join...)
	names := slices.Clone(needed)
	if c, err := m.Store.Cluster(swarm); err == nil {
		for name, member := range c.Members {
			if member.Role == string(swarmboot.Manager) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		x, err := m.lock(ctx, name)
		if errors.Is(err, store.ErrNotExist) && !slices.Contains(needed, name) {
			continue
		}
		if err != nil {
			return machines, nameError(name, len(names), err)
		}
		machines[name] = x
	}
	return machines, nil
}

// restore is one restore at work.
type restore struct {
	m        *Manager
	req      RestoreRequest
	x        *machine
	machines map[string]*machine
	txn      clusterTxn
	cluster  *store.Cluster
	backup   *swarmfile.Backup
	eng      *engine
	root     string
	self     swarmboot.Node
	op       *operation[restoring]
}

func (r *restore) close() {
	if r.eng != nil {
		r.eng.close()
	}
}

// look finds out whether the machine can take the swarm over. Nothing is changed.
func (r *restore) look(ctx context.Context) (err error) {
	man := r.backup.Manifest
	if r.cluster.ID != "" && r.cluster.ID != man.ID {
		return &swarmboot.HintError{Err: fmt.Errorf("%w: the store has another swarm of this name, %s", swarmboot.ErrForeign, r.cluster.ID), Advice: "give it another name: --name NAME"}
	}
	if o := r.cluster.Operation; o != nil && o.Kind != restoreOperation {
		return operationError(*r.cluster)
	}
	if err := r.x.managed("restore a swarm"); err != nil {
		return err
	}
	if r.eng, err = r.x.engine(ctx, nil); err != nil {
		return err
	}
	name := r.x.rec.Name
	seen := inspectAll(ctx, map[string]swarmboot.Engine{name: r.eng})[name]
	begun := r.cluster.Operation != nil
	of := r.x.rec.Swarm
	free := of.Name == "" || of.Name == r.cluster.Name && of.NodeID == "" // as a command leaves it that had hardly begun
	switch {
	case !seen.Reachable && !begun:
		return fmt.Errorf("%w: %s: %s", swarmboot.ErrNode, name, seen.Err)
	case !begun && (seen.State != "inactive" || !free):
		return &swarmboot.HintError{Err: fmt.Errorf("%w: %s is in a swarm (%s)", swarmboot.ErrForeign, name, seen.State), Advice: "machine swarm leave " + name + ", or restore on another machine"}
	case !begun && older(seen.Version, man.Engine) && !r.req.Force:
		return &swarmboot.HintError{Err: fmt.Errorf("%w: %s has engine %s, and the backup was taken of %s: an older engine may not read its data", swarmboot.ErrState, name, seen.Version, man.Engine),
			Advice: "machine upgrade " + name + " first; --force goes on all the same"}
	}
	r.root = cmp.Or(seen.Root, engineRoot)
	o := r.x.rec.HostOptions.SwarmOptions
	o.Labels, o.Availability = nil, ""
	r.self, err = r.m.node(joining{machine: r.x, role: swarmboot.Manager}, o)
	return err
}

// older compares the first two numbers of engine versions; one that is not understood is not older.
func older(a, b string) bool {
	number := func(v string, i int) int {
		parts := strings.Split(v, ".")
		if i >= len(parts) {
			return -1
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return -1
		}
		return n
	}
	for i := range 2 {
		x, y := number(a, i), number(b, i)
		if x < 0 || y < 0 || x != y {
			return x >= 0 && x < y
		}
	}
	return false
}

func (r *restore) steps() []string {
	man := r.backup.Manifest
	steps := []string{fmt.Sprintf("stop the engine, and put the swarm's data of %s into %s/swarm; what is there is kept beside it", man.Taken.Format("2006-01-02 15:04"), r.root)}
	if man.Autolock {
		steps = append(steps, "decrypt the manager's key with the unlock key of the backup; the manager encrypts it again once it leads")
	}
	steps = append(steps,
		fmt.Sprintf("start the engine, and make a swarm of one manager of it (force new cluster), at %s; the backup's manager was at %s", withPort(r.self.Advertise, swarmPort), man.Advertise),
		fmt.Sprintf("record it as swarm %s (%s)", r.cluster.Name, man.ID))
	if r.req.Prune {
		steps = append(steps, "remove nodes from its list that do not come back")
	}
	for _, name := range r.req.Join {
		steps = append(steps, fmt.Sprintf("have %s leave what it is in by force, and join as %s", name, r.role(name)))
	}
	return steps
}

// role is what a machine was when the backup was taken, else a worker.
func (r *restore) role(name string) swarmboot.Role {
	if r.backup.Manifest.Members[name] == string(swarmboot.Manager) {
		return swarmboot.Manager
	}
	return swarmboot.Worker
}

func (r *restore) run(ctx context.Context) (err error) {
	man := r.backup.Manifest
	first := restoring{Machine: r.x.rec.Name, Taken: man.Taken}
	if r.cluster.Operation == nil { // the machine knows first: a machine of a swarm is taken out before it is removed
		r.x.rec.Swarm = store.Swarm{Name: r.cluster.Name, Role: string(swarmboot.Manager)}
		if err := r.x.put(); err != nil {
			return err
		}
		r.cluster.ID, r.cluster.DataPathPort, r.cluster.Rotations = man.ID, man.DataPathPort, man.Rotations
	}
	if err := r.forgetGone(ctx); err != nil {
		return err
	}
	resume := fmt.Sprintf("swarm restore FILE %s", r.x.rec.Name)
	if r.op, err = begin(r.m, r.txn, r.cluster, restoreOperation, resume, first); err != nil {
		return err
	}
	if s := r.op.State; s.Machine != first.Machine || !s.Taken.Equal(first.Taken) {
		return &swarmboot.HintError{Err: fmt.Errorf("%w: a restore on %s of the backup of %s", ErrOperation, s.Machine, s.Taken.Format(time.RFC3339)), Advice: "go on with that one first"}
	}
	if r.op.Resumed {
		r.m.Note(ctx, "going on with the restore that was begun")
	}
	if err := r.lead(OnMachine(ctx, r.x.rec.Name)); err != nil {
		return fmt.Errorf("%s: %w", r.x.rec.Name, err)
	}
	if err := r.others(ctx); err != nil {
		return err
	}
	return r.op.end()
}

// forgetGone gives up a restore on a machine that was removed since.
func (r *restore) forgetGone(ctx context.Context) error {
	if r.cluster.Operation == nil {
		return nil
	}
	shadow := *r.cluster
	op, err := begin(r.m, r.txn, &shadow, restoreOperation, "", restoring{})
	if err != nil {
		return err
	}
	if _, err := r.m.Store.Get(op.State.Machine); errors.Is(err, store.ErrNotExist) {
		r.m.Note(ctx, "the restore that was begun on "+op.State.Machine+" is given up: there is no such machine any more")
		r.cluster.Operation = nil
		r.x.rec.Swarm = store.Swarm{Name: r.cluster.Name, Role: string(swarmboot.Manager)}
		return r.x.put()
	}
	return nil
}

// lead makes the machine the manager of the swarm.
func (r *restore) lead(ctx context.Context) error {
	if r.op.State.Forced {
		return nil
	}
	if !swarmboot.LeadsAlone(ctx, r.eng) {
		if err := r.place(ctx); err != nil {
			return err
		}
	}
	man := r.backup.Manifest
	ctx, cancel := r.x.within(ctx, r.m.Wait.Swarm, engineGone, "wait for the swarm")
	defer cancel()
	if err := swarmboot.ForceNewCluster(ctx, r.eng, r.self, swarmboot.Kept{DataPathPort: man.DataPathPort, Autolock: man.Autolock, Rotations: man.Rotations}, r.m.Step); err != nil {
		return err
	}
	seen := swarmboot.Inspect(ctx, r.eng)
	if seen.ClusterID != man.ID {
		return fmt.Errorf("%w: the engine made swarm %s and not %s", swarmboot.ErrForeign, seen.ClusterID, man.ID)
	}
	for name, member := range r.cluster.Members {
		if member.Role == string(swarmboot.Manager) && name != r.x.rec.Name {
			if err := r.dismiss(name); err != nil { // one manager there is now
				return err
			}
		}
	}
	r.x.rec.Swarm.NodeID = seen.NodeID
	if err := r.x.put(); err != nil {
		return err
	}
	r.cluster.Members[r.x.rec.Name] = store.Member{Role: string(swarmboot.Manager), NodeID: seen.NodeID}
	r.op.State.Forced = true
	return r.op.save()
}

// dismiss takes a former manager off the records; one that joins again is recorded then.
func (r *restore) dismiss(name string) error {
	delete(r.cluster.Members, name)
	x := r.machines[name]
	if x == nil {
		return nil
	}
	x.rec.Swarm = store.Swarm{}
	x.rec.HostOptions.SwarmOptions = SwarmOptions{}
	return x.put()
}
