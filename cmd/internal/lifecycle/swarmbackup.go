package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/cmd/internal/swarmfile"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// BackupRequest asks for a backup of a swarm.
type BackupRequest struct {
	Name       string // of the swarm or of a member; empty: the only swarm
	File       string // where to; "-": Out
	Out        io.Writer
	Recipients []string // age public keys
	Passphrase string   // instead of recipients; secret
	Force      bool     // overwrite File, and stop a manager although the quorum is lost meanwhile
	DryRun     bool
}

// BackupResult is a backup that was made.
type BackupResult struct {
	Swarm    string    `json:"swarm"`
	Machine  string    `json:"machine"` // the manager it was taken of
	File     string    `json:"file"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256"`
	Taken    time.Time `json:"taken"`
	Autolock bool      `json:"autolock"` // the unlock key is in it
}

// SwarmBackup copies the data of a manager that does not lead, whose engine is stopped meanwhile, into an encrypted file.
func (m *Manager) SwarmBackup(ctx context.Context, req BackupRequest) (res BackupResult, plan []Planned, err error) {
	c, err := m.findCluster(req.Name)
	if err != nil {
		return res, nil, err
	}
	txn, cluster, err := m.lockCluster(ctx, c.Name)
	if err != nil {
		return res, nil, err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if cluster.Operation != nil {
		return res, nil, operationError(cluster)
	}
	return m.backup(ctx, cluster, req)
}

// backup is SwarmBackup for one who holds the swarm's lock.
func (m *Manager) backup(ctx context.Context, cluster store.Cluster, req BackupRequest) (res BackupResult, plan []Planned, err error) {
	b := &backingUp{m: m, req: req, cluster: cluster}
	defer b.close()
	to := swarmfile.Recipients{Keys: req.Recipients, Passphrase: req.Passphrase}
	if err := to.Check(); err != nil {
		return res, nil, fmt.Errorf("back up swarm %q: %w", cluster.Name, err)
	}
	if err := b.choose(ctx); err != nil {
		return res, nil, fmt.Errorf("back up swarm %q: %w", cluster.Name, err)
	}
	if req.DryRun {
		return res, []Planned{{Machine: b.x.rec.Name, Steps: b.steps()}}, nil
	}
	out, err := newOutFile(req.File, req.Out, req.Force)
	if err != nil {
		return res, nil, fmt.Errorf("back up swarm %q: %w", cluster.Name, err)
	}
	defer func() { err = errors.Join(err, out.discard()) }()
	ctx = OnMachine(ctx, b.x.rec.Name)
	if err := b.take(ctx, out, to); err != nil {
		return res, nil, fmt.Errorf("back up swarm %q: %s: %w", cluster.Name, b.x.rec.Name, err)
	}
	res = BackupResult{Swarm: cluster.Name, Machine: b.x.rec.Name, File: req.File, Taken: b.manifest.Taken, Autolock: b.manifest.Autolock}
	if res.Bytes, res.SHA256, err = out.finish(); err != nil {
		return res, nil, fmt.Errorf("back up swarm %q: %w", cluster.Name, err)
	}
	return res, nil, nil
}

// backingUp is one backup at work.
type backingUp struct {
	m        *Manager
	req      BackupRequest
	cluster  store.Cluster
	asked    *engine  // a manager that takes orders
	x        *machine // whose data are copied
	eng      *engine  // its
	only     bool     // no other manager leads while it is stopped
	root     string
	key      swarmboot.UnlockKey
	manifest swarmfile.Manifest
}

func (b *backingUp) close() {
	for _, e := range []*engine{b.asked, b.eng} {
		if e != nil {
			e.close()
		}
	}
}

// choose takes a manager that does not lead, if there is one, and asks all that the manifest says.
func (b *backingUp) choose(ctx context.Context) (err error) {
	m := b.m
	var via *machine
	if b.asked, via, err = m.aManager(ctx, b.cluster, ""); err != nil {
		return err
	}
	members, err := swarmboot.Members(ctx, b.asked)
	if err != nil {
		return err
	}
	node, name := b.candidate(members)
	if name == "" {
		return fmt.Errorf("%w: none of its managers is a machine of this store", swarmboot.ErrNoManager)
	}
	q := swarmboot.CountQuorum(members)
	b.only = q.Managers == 1
	if !b.only && q.Lost() < 1 {
		err := fmt.Errorf("%w: while the engine of %s is stopped, %d of %d managers would be reachable, %d needed", swarmboot.ErrQuorum, name, q.Reachable-1, q.Managers, q.Needed)
		if !b.req.Force {
			return &swarmboot.HintError{Err: err, Advice: "have three managers or more; --force goes on all the same: services run on, and nothing can be changed meanwhile"}
		}
		m.Note(ctx, err.Error())
		b.only = true
	}
	if b.x, err = m.view(name); err != nil {
		return err
	}
	if err := b.x.managed("back up its swarm's data"); err != nil {
		return err
	}
	if b.eng, err = b.x.engine(ctx, nil); err != nil {
		return err
	}
	if b.key, err = swarmboot.UnlockKeyOf(ctx, b.asked); err != nil {
		return err
	}
	seen := inspectAll(ctx, map[string]swarmboot.Engine{name: b.eng})[name]
	if !seen.Reachable {
		return fmt.Errorf("%w: %s: %s", swarmboot.ErrNode, name, seen.Err)
	}
	b.root = cmp.Or(seen.Root, engineRoot)
	port, err := swarmboot.DataPathPortOf(ctx, b.asked)
	if err != nil {
		return err
	}
	authority, err := swarmboot.AuthorityOf(ctx, b.asked)
	if err != nil {
		return err
	}
	m.Log.Info("backup", "of", name, "asked", via.rec.Name, "only", b.only)
	b.manifest = swarmfile.Manifest{
		Program: "machine " + m.Version, Swarm: b.cluster.Name, ID: b.cluster.ID, Taken: m.Now().UTC().Truncate(time.Second),
		Machine: name, NodeID: node.ID, Engine: seen.Version, Advertise: advertised(seen), DataPathPort: port,
		Autolock: b.key != "", Rotations: authority.Rotations, Members: map[string]string{},
	}
	for member, is := range b.cluster.Members {
		b.manifest.Members[member] = is.Role
	}
	told := make(chan string, 1)
	told <- b.root
	b.manifest.CertExpires = b.x.readNodeCert(ctx, told).Until
	return nil
}

// candidate is the manager to stop: a machine of ours that is reachable and, if possible, does not lead.
func (b *backingUp) candidate(members []swarmboot.Member) (node swarmboot.Member, name string) {
	for _, machine := range slices.Sorted(maps.Keys(b.cluster.Members)) {
		for _, n := range members {
			if n.ID != b.cluster.Members[machine].NodeID || n.Reachability != "reachable" || n.State != "ready" {
				continue
			}
			if name == "" || node.Leader && !n.Leader {
				node, name = n, machine
			}
		}
	}
	return node, name
}

// advertised is where a manager tells others to reach it, with the port if it is known.
func advertised(s swarmboot.Seen) string {
	for _, addr := range s.Managers {
		if h, _, err := net.SplitHostPort(addr); err == nil && h == s.NodeAddr {
			return addr
		}
	}
	return withPort(s.NodeAddr, swarmPort)
}

func (b *backingUp) steps() []string {
	stop := "stop its engine; the other managers go on meanwhile, its tasks end and start again"
	if b.only {
		stop = "stop its engine; services on other nodes run on, and nothing in the swarm can be changed meanwhile"
	}
	key := ""
	if b.key != "" {
		key = " and the unlock key"
	}
	return []string{
		stop,
		fmt.Sprintf("copy %s/swarm%s into %s, encrypted", b.root, key, b.req.File),
		"start the engine again, also if the copy fails or this command is killed, and wait until the manager is reachable",
	}
}

// copyScript stops the engine, copies the folder and starts the engine again whatever happens: the copy has no reader any
// more when the connection breaks, and a timer of the host's does it where even the shell is killed.
const copyScript = `
root=$1
test -d "$root/swarm/raft"
rescue=machine-engine-rescue
systemctl stop "$rescue.timer" >/dev/null 2>&1 || true
systemctl reset-failed "$rescue.service" "$rescue.timer" >/dev/null 2>&1 || true
if command -v systemd-run >/dev/null 2>&1; then
	systemd-run --quiet --unit="$rescue" --on-active="$2" systemctl start docker.service >/dev/null 2>&1 || true
fi
back() {
	trap - EXIT
	trap '' HUP INT TERM PIPE
	engine_start >/dev/null 2>&1 || true
	systemctl stop "$rescue.timer" >/dev/null 2>&1 || true
}
trap back EXIT
trap 'exit 1' HUP INT TERM PIPE
engine_stop >/dev/null
tar -C "$root" --exclude='*.tmp' -czf - swarm
`

// copyLimit is how long a manager may be stopped. The host starts its engine again then.
const copyLimit = 10 * time.Minute

// take copies the folder into out, and waits until the manager is back, whether or not the copy went well.
func (b *backingUp) take(ctx context.Context, out io.Writer, to swarmfile.Recipients) error {
	conn, err := b.x.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the script has ended
	if b.only {
		b.m.Note(ctx, "nothing in the swarm can be changed while the engine is stopped")
	}
	err = b.m.Step(ctx, "stop the engine, and copy the swarm's data", func(ctx context.Context) error {
		ctx, cancel := within(ctx, 0, copyLimit-30*time.Second, "copy the swarm's data")
		defer cancel()
		pr, pw := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			script := rootScript(copyScript, b.root, fmt.Sprintf("%ds", int(copyLimit.Seconds())))
			err := conn.Run(ctx, rootShell, strings.NewReader(script), pw)
			_ = pw.CloseWithError(err) // always nil
			ended <- err
		}()
		err := swarmfile.Write(out, to, b.manifest, string(b.key), pr)
		_ = pr.CloseWithError(err) // always nil; ends the copy that has no reader
		if copied := <-ended; err == nil {
			err = copied
		}
		return err
	})
	return errors.Join(err, b.back(ctx))
}

// back waits until the manager takes part in its swarm again.
func (b *backingUp) back(ctx context.Context) error {
	ctx, cancel := b.x.within(context.WithoutCancel(ctx), b.m.Wait.Swarm, engineGone, "wait for the manager to be back in its swarm")
	defer cancel()
	return b.m.Step(ctx, "wait for the manager to be back", func(ctx context.Context) error {
		err := poll(ctx, func(ctx context.Context) (bool, error) {
			asking, cancel := within(ctx, 0, 5*time.Second, "ask the engine")
			defer cancel()
			seen := swarmboot.Inspect(asking, b.eng)
			if seen.Locked() {
				return true, swarmboot.Unlock(ctx, b.eng, b.key)
			}
			return seen.Reachable && seen.State == "active", nil
		})
		if err != nil {
			return err
		}
		manager := swarmboot.Engine(b.asked)
		if b.asked.name == b.eng.name || b.only {
			manager = b.eng
		}
		return swarmboot.WaitReady(ctx, manager, b.manifest.NodeID)
	})
}
