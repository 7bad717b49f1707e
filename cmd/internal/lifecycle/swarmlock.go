package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// UnlockKey opens locked managers; nothing prints it.
type UnlockKey = swarmboot.UnlockKey

// How long managers may take to write a change of their key down, and to be in their swarm again once they are unlocked.
const (
	nodeKeyDeadline = 30 * time.Second
	unlockDeadline  = 2 * time.Minute
)

// AutolockRequest asks for managers that need a key when their engines start, or need none.
type AutolockRequest struct {
	Swarm   string // or a member; empty: the only one
	On      bool
	DryRun  bool
	Deliver func(ctx context.Context, swarm string, key UnlockKey) error // where the key goes; required with On
}

// UnlockKeyRequest asks for the key of a swarm whose managers lock.
type UnlockKeyRequest struct {
	Swarm   string // or a member; empty: the only one
	Rotate  bool   // make another one first
	DryRun  bool
	Deliver func(ctx context.Context, swarm string, key UnlockKey) error // where the key goes; required
}

// Autolock is a swarm whose managers lock or do not.
type Autolock struct {
	Swarm    string   `json:"swarm"`
	Autolock bool     `json:"autolock"`
	Rotated  bool     `json:"rotated,omitempty"` // there is another key
	Behind   []string `json:"behind,omitempty"`  // managers that were not seen to have taken it over
}

// SwarmAutolock has the managers of a swarm lock, or not lock any more. The key goes to the request's Deliver and nowhere
// else; it can be had again with SwarmUnlockKey, as long as a manager is not locked.
func (m *Manager) SwarmAutolock(ctx context.Context, req AutolockRequest) (Autolock, []Planned, error) {
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return Autolock{}, nil, err
	}
	eng, via, err := m.aManager(ctx, c, "")
	if err != nil {
		return Autolock{}, nil, err
	}
	defer eng.close()
	out := Autolock{Swarm: c.Name, Autolock: req.On}
	if req.DryRun {
		is, err := swarmboot.Autolocked(ctx, eng)
		return out, []Planned{{Machine: via.rec.Name, Steps: autolockSteps(is, req.On)}}, err
	}
	what := "have the managers need no key any more"
	if req.On {
		what = "have the managers need a key when their engines start"
	}
	err = m.changeLock(ctx, c.Name, what, func(ctx context.Context) error { return swarmboot.SetAutolock(ctx, eng, req.On) })
	if err != nil {
		return out, nil, err
	}
	if req.On {
		if err := m.deliver(ctx, eng, c.Name, req.Deliver); err != nil {
			return out, nil, err
		}
	}
	out.Behind = m.awaitNodeKeys(ctx, c, func(_ string, k nodeKey) bool { return k.locked == req.On })
	return out, nil, nil
}

func autolockSteps(is, want bool) []string {
	switch {
	case is == want && want:
		return []string{"hand out the unlock key: the managers lock already"}
	case is == want:
		return nil
	case want:
		return []string{"have the managers need a key when their engines start", "hand out the key", "wait until all managers have taken it over"}
	default:
		return []string{"have the managers need no key any more", "wait until all managers have taken that over"}
	}
}

// SwarmUnlockKey hands out the key of a swarm whose managers lock, or another one that it makes first.
func (m *Manager) SwarmUnlockKey(ctx context.Context, req UnlockKeyRequest) (Autolock, []Planned, error) {
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return Autolock{}, nil, err
	}
	eng, via, err := m.aManager(ctx, c, "")
	if err != nil {
		return Autolock{}, nil, err
	}
	defer eng.close()
	out := Autolock{Swarm: c.Name, Autolock: true, Rotated: req.Rotate}
	if is, err := swarmboot.Autolocked(ctx, eng); err != nil || !is {
		if err == nil {
			err = fmt.Errorf("unlock key of swarm %q: %w", c.Name, swarmboot.ErrNotLocking)
		}
		return out, nil, err
	}
	if req.DryRun {
		steps := []string{"hand out the unlock key"}
		if req.Rotate {
			steps = []string{"have the managers make another unlock key", "hand it out", "wait until all managers have taken it over"}
		}
		return out, []Planned{{Machine: via.rec.Name, Steps: steps}}, nil
	}
	if !req.Rotate {
		return out, nil, m.deliver(ctx, eng, c.Name, req.Deliver)
	}
	before := m.nodeKeys(ctx, c)
	err = m.changeLock(ctx, c.Name, "have the managers make another unlock key", func(ctx context.Context) error { return swarmboot.RotateUnlockKey(ctx, eng) })
	if err != nil {
		return out, nil, err
	}
	if err := m.deliver(ctx, eng, c.Name, req.Deliver); err != nil {
		return out, nil, err
	}
	out.Behind = m.awaitNodeKeys(ctx, c, func(name string, k nodeKey) bool { return k.locked && k.version != before[name].version })
	return out, nil, nil
}

// changeLock changes a swarm under its lock, unless other work on it has not ended: that counts on its managers to come back
// as they were.
func (m *Manager) changeLock(ctx context.Context, swarm, what string, fn func(context.Context) error) (err error) {
	txn, cluster, err := m.lockCluster(ctx, swarm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if cluster.Operation != nil {
		return operationError(cluster)
	}
	return m.Step(ctx, what, fn)
}

func (m *Manager) deliver(ctx context.Context, eng *engine, swarm string, to func(context.Context, string, UnlockKey) error) error {
	key, err := swarmboot.UnlockKeyOf(ctx, eng)
	if err == nil {
		err = to(ctx, swarm, key)
	}
	if err != nil {
		return &swarmboot.HintError{
			Err:    fmt.Errorf("hand out the unlock key of swarm %q: %w", swarm, err),
			Advice: "machine swarm unlock-key " + swarm + " hands it out again, as long as a manager is not locked",
		}
	}
	return nil
}

// nodeKey is how a manager's host keeps the key of its node, as far as anybody may see.
type nodeKey struct {
	locked  bool
	version string // of what it is locked with
}

const nodeKeyScript = `f=%s/swarm/certificates/swarm-node.key
if [ "$(id -u)" = 0 ]; then s=; else s='sudo -n'; fi
$s grep -e '^-----BEGIN' -e '^kek-version' "$f"`

// nodeKey looks at the host over SSH until ok: the engine does not tell whether it has taken over what the swarm was told.
func (x *machine) nodeKey(ctx context.Context, ok func(nodeKey) bool) (k nodeKey, err error) {
	if err := x.managed("ask how the node's key is kept"); err != nil {
		return k, err
	}
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return k, err
	}
	defer eng.close()
	var info struct{ DockerRootDir string }
	if err := eng.Do(ctx, "GET", "/info", nil, &info); err != nil {
		return k, err
	}
	conn, err := x.dial(ctx)
	if err != nil {
		return k, err
	}
	defer conn.Close()
	script := fmt.Sprintf(nodeKeyScript, "'"+strings.ReplaceAll(info.DockerRootDir, "'", `'\''`)+"'")
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		var out strings.Builder
		if err := conn.Run(ctx, "sh", strings.NewReader(script), &out); err != nil {
			return false, err
		}
		k = readNodeKey(out.String())
		return ok(k), nil
	})
	return k, err
}

func readNodeKey(text string) nodeKey {
	k := nodeKey{locked: strings.Contains(text, "BEGIN ENCRYPTED")}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "kek-version:"); ok {
			k.version = strings.TrimSpace(v)
		}
	}
	return k
}

// managersOf are the machines that are recorded as managers, in order.
func managersOf(c store.Cluster) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Members)), func(name string) bool {
		return c.Members[name].Role != string(swarmboot.Manager)
	})
}

// nodeKeys asks all managers; those that do not answer are left out.
func (m *Manager) nodeKeys(ctx context.Context, c store.Cluster) map[string]nodeKey {
	var mu sync.Mutex
	keys := map[string]nodeKey{}
	_ = m.each(ctx, managersOf(c), func(ctx context.Context, name string) error {
		x, err := m.view(name)
		if err != nil {
			return nil
		}
		ctx, cancel := within(ctx, 0, nodeKeyDeadline, "ask how the node's key is kept")
		defer cancel()
		if k, err := x.nodeKey(ctx, func(nodeKey) bool { return true }); err == nil {
			mu.Lock()
			defer mu.Unlock()
			keys[name] = k
		}
		return nil
	})
	return keys
}

// awaitNodeKeys waits until each manager has taken a change over, and returns those that were not seen to, noting why. Such
// a one takes it over when it is in its swarm again; until then it starts with the key that it had.
func (m *Manager) awaitNodeKeys(ctx context.Context, c store.Cluster, ok func(name string, k nodeKey) bool) (behind []string) {
	var mu sync.Mutex
	_ = m.Step(ctx, "wait until all managers have taken it over", func(ctx context.Context) error {
		return m.each(ctx, managersOf(c), func(ctx context.Context, name string) error {
			err := m.awaitNodeKey(ctx, name, ok)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				behind = append(behind, name)
				m.Note(ctx, "warning: not seen to have taken it over; until it has, it starts with the key that it had, or without: "+err.Error())
			}
			return nil
		})
	})
	slices.Sort(behind)
	return behind
}

func (m *Manager) awaitNodeKey(ctx context.Context, name string, ok func(name string, k nodeKey) bool) error {
	x, err := m.view(name)
	if err != nil {
		return err
	}
	ctx, cancel := x.within(ctx, m.Wait.Swarm, nodeKeyDeadline, "wait until the manager has taken over what it starts with")
	defer cancel()
	_, err = x.nodeKey(ctx, func(k nodeKey) bool { return ok(name, k) })
	return err
}
