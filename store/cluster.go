package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cluster is the record of a swarm. It never holds a join token.
type Cluster struct {
	Name    string
	ID      string // of the swarm, given by the engine
	Created time.Time
	Members map[string]Member // by machine name

	DataPathPort int    `json:",omitempty"` // UDP port of traffic between containers, for good; 0: not known
	Rotations    uint64 `json:",omitempty"` // how often another authority was asked for, which an engine alone does not tell

	Upgrade   json.RawMessage `json:",omitempty"` // what drained nodes get back: their former availability
	Operation *Operation      `json:",omitempty"` // work on the whole swarm that is under way, or was left half done

	Stacks map[string]Stack `json:",omitempty"` // that were deployed for a cluster file, by name
}

// Stack is a stack that was deployed for a cluster file.
type Stack struct {
	Project string
	Digest  string // of what it was deployed of; never what that is, which may hold secrets
}

// Operation is how far a long piece of work on a swarm has come. It never holds a secret.
type Operation struct {
	Kind   string    // such as upgrade or recover
	Begun  time.Time // when the first command began it
	Resume string    // arguments of the command that goes on with it, for people: "swarm upgrade prod"
	State  json.RawMessage
}

// Member is a machine in a swarm.
type Member struct {
	Role   string // manager or worker
	NodeID string
}

// clusterVersion is the schema of a swarm's record.
const clusterVersion = 1

// storedCluster is a Cluster as it stands on disk.
type storedCluster struct {
	ConfigVersion int
	Cluster
}

const clusterExt = ".json"

const clustersDir = "swarms"

func (s *Store) swarmsDir() string { return filepath.Join(s.root, clustersDir) }

// Clusters returns the records of all swarms in natural order of their names. Those
// that cannot be read are left out, and the error is theirs, joined.
func (s *Store) Clusters() ([]Cluster, error) {
	if err := s.backend.Refresh(clustersDir, 0); err != nil {
		return nil, fmt.Errorf("list swarms: %w", err)
	}
	entries, err := os.ReadDir(s.swarmsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list swarms: %w", err)
	}
	var (
		clusters []Cluster
		errs     []error
	)
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), clusterExt)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		switch c, err := s.cluster(name); {
		case err == nil:
			clusters = append(clusters, c)
		case !errors.Is(err, ErrNoCluster): // removed meanwhile
			errs = append(errs, err)
		}
	}
	slices.SortFunc(clusters, func(a, b Cluster) int { return naturally(a.Name, b.Name) })
	return clusters, errors.Join(errs...)
}

// Cluster returns the record of a swarm; the error wraps ErrNoCluster, ErrCorrupt,
// ErrFuture or ErrName.
func (s *Store) Cluster(name string) (Cluster, error) {
	if err := usableName(name); err != nil {
		return Cluster{}, err
	}
	if err := s.backend.Refresh(path.Join(clustersDir, name+clusterExt), 0); err != nil {
		return Cluster{}, fmt.Errorf("read record of swarm %q: %w", name, err)
	}
	return s.cluster(name)
}

// cluster reads the record from the folder as it is.
func (s *Store) cluster(name string) (Cluster, error) {
	if err := usableName(name); err != nil {
		return Cluster{}, err
	}
	data, err := readBounded(filepath.Join(s.swarmsDir(), name+clusterExt))
	if errors.Is(err, fs.ErrNotExist) {
		return Cluster{}, fmt.Errorf("%w: %q", ErrNoCluster, name)
	}
	if err != nil {
		return Cluster{}, fmt.Errorf("read record of swarm %q: %w: %w", name, ErrCorrupt, err)
	}
	c, err := decodeCluster(data)
	if err != nil {
		return Cluster{}, fmt.Errorf("read record of swarm %q: %w", name, err)
	}
	c.Name = name
	return c, nil
}

func decodeCluster(data []byte) (Cluster, error) {
	var stored storedCluster
	err := json.Unmarshal(data, &stored)
	if err != nil || stored.ConfigVersion != clusterVersion {
		version, verr := versionOf(data)
		switch {
		case verr != nil:
			return Cluster{}, corrupt(data, verr)
		case version > clusterVersion:
			return Cluster{}, future(version, clusterVersion)
		case err != nil:
			return Cluster{}, corrupt(data, err)
		default:
			return Cluster{}, corrupt(data, errors.New("ConfigVersion is missing"))
		}
	}
	stored.Upgrade = compact(stored.Upgrade)
	if stored.Operation != nil {
		stored.Operation.State = compact(stored.Operation.State)
	}
	return stored.Cluster, nil
}

// ClusterTxn is the right to write a swarm's record. Used after Close, the methods
// return ErrClosed. They may be called concurrently.
type ClusterTxn struct {
	Name string

	grip
	store *Store
}

// LockCluster takes the lock of a swarm, which need not be recorded, waiting until
// ctx ends; then the error is a *LockedError with ctx's cause. A name that differs
// only by case from that of another swarm is refused with ErrExist.
func (s *Store) LockCluster(ctx context.Context, name, command string) (*ClusterTxn, error) {
	if err := ValidName(name); err != nil {
		return nil, err
	}
	lock, err := s.backend.Acquire(ctx, "swarm-"+fold(name), command, true)
	if err != nil {
		return nil, err
	}
	t := &ClusterTxn{Name: name, grip: grip{lock: lock}, store: s}
	if err := s.prepareCluster(t.file()); err != nil {
		_ = t.Close()
		return nil, err
	}
	lock.Sweep(clustersDir, t.file())
	return t, nil
}

func (s *Store) prepareCluster(file string) error {
	if err := makeDir(s.swarmsDir()); err != nil {
		return writeError("make the folder of swarms", err)
	}
	if err := s.backend.Refresh(clustersDir, 0); err != nil {
		return fmt.Errorf("list swarms: %w", err)
	}
	return onlyCase(s.swarmsDir(), file)
}

func (t *ClusterTxn) file() string { return t.Name + clusterExt }

// Get returns the record as it is on disk now; ErrNoCluster if there is none.
// Otherwise as Store.Cluster.
func (t *ClusterTxn) Get() (c Cluster, err error) {
	err = t.do(func() error {
		c, err = t.store.Cluster(t.Name)
		return err
	})
	return c, err
}

// Put makes the record durable. Name is set here.
func (t *ClusterTxn) Put(c Cluster) error {
	c.Name = t.Name
	data, err := encode(storedCluster{ConfigVersion: clusterVersion, Cluster: c})
	if err != nil {
		return fmt.Errorf("encode record of swarm %q: %w", t.Name, err)
	}
	return t.do(func() error {
		if _, err := t.store.Cluster(t.Name); errors.Is(err, ErrFuture) {
			return err
		}
		return writeError("write record of swarm "+t.Name, t.lock.Replace(path.Join(clustersDir, t.file()), data))
	})
}

// Delete removes the record; absent is no error.
func (t *ClusterTxn) Delete() error {
	return t.do(func() error {
		return writeError("remove record of swarm "+t.Name, t.lock.Remove(path.Join(clustersDir, t.file())))
	})
}

// Close releases the lock. It may be called twice.
func (t *ClusterTxn) Close() error {
	t.close(func() bool {
		_, err := os.Stat(filepath.Join(t.store.swarmsDir(), t.file()))
		return errors.Is(err, fs.ErrNotExist)
	})
	return nil
}
