package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gofrs/flock"

	"github.com/hostsmith/machine/drivers"
)

// The kinds of resources that the provider has.
const (
	KindDisk    = "disk"
	KindHost    = "host"
	KindNetwork = "network"
)

// Resource is something that the provider holds.
type Resource struct {
	ID     string
	Kind   string
	Name   string            // unique among the resources of a kind
	Token  string            // chosen by who made it: asking again with the same one makes no second
	Labels map[string]string // who made it and for which machine; empty: somebody else did
	State  drivers.State     `json:",omitempty"` // of a host
	Place  string            `json:",omitempty"` // where it is

	// What a host was born with, for a test's SSH server.
	AuthorizedKey string         `json:",omitempty"`
	HostKey       string         `json:",omitempty"`
	UserData      string         `json:",omitempty"`
	OpenPorts     []drivers.Port `json:",omitempty"`
	DataPathPort  int            `json:",omitempty"`
	Disk          string         `json:",omitempty"` // the disk that a host holds; it cannot be deleted while it does
	Network       string         `json:",omitempty"` // the network that a host is in; likewise
}

// Provider is where the resources live: in memory, or in a folder that several
// processes share. Its methods may be called concurrently.
type Provider struct {
	dir string

	mu     sync.Mutex
	memory ledger
	calls  int
	hook   func(n int, done bool) error
}

type ledger struct {
	Last      int // number of the last id given
	Resources []Resource
}

// Memory returns an empty provider that lives as long as the process.
func Memory() *Provider { return &Provider{} }

// Folder returns the provider whose resources are in dir, which need not exist.
func Folder(dir string) *Provider { return &Provider{dir: dir} }

// Observe has hook called before and after each call of a driver, which are
// counted from 1 again. If it returns an error before the call, the call has no
// effect; after it, the effect stays. The driver sees the error in both cases.
func (p *Provider) Observe(hook func(n int, done bool) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.hook = 0, hook
}

// Resources returns all that the provider holds, in the order of creation. It
// is for tests and is not observed.
func (p *Provider) Resources(ctx context.Context) ([]Resource, error) {
	var all []Resource
	err := p.transact(ctx, func(l *ledger) (bool, error) {
		all = slices.Clone(l.Resources)
		return false, nil
	})
	return all, err
}

// Plant puts a resource there that no driver made. It is for tests and is not
// observed.
func (p *Provider) Plant(ctx context.Context, r Resource) error {
	return p.transact(ctx, func(l *ledger) (bool, error) {
		l.add(r)
		return true, nil
	})
}

// Vanish deletes a resource behind the drivers' backs, whatever depends on it.
// It is for tests and is not observed.
func (p *Provider) Vanish(ctx context.Context, id string) error {
	return p.transact(ctx, func(l *ledger) (bool, error) {
		l.Resources = slices.DeleteFunc(l.Resources, func(r Resource) bool { return r.ID == id })
		return true, nil
	})
}

// ShutDown stops a host as somebody on it would. It is for tests and is not observed.
func (p *Provider) ShutDown(ctx context.Context, name string) error {
	return p.transact(ctx, func(l *ledger) (bool, error) {
		for i, r := range l.Resources {
			if r.Kind == KindHost && r.Name == name {
				l.Resources[i].State = drivers.Stopped
			}
		}
		return true, nil
	})
}

// allocate makes r, or returns what was made with the same kind and token.
func (p *Provider) allocate(ctx context.Context, r Resource) (made Resource, err error) {
	err = p.call(ctx, func(l *ledger) (bool, error) {
		for _, have := range l.Resources {
			switch {
			case have.Kind != r.Kind:
			case have.Token == r.Token:
				made = have
				return false, nil
			case have.Name == r.Name:
				return false, fmt.Errorf("%s %q: %w", r.Kind, r.Name, drivers.ErrConflict)
			}
		}
		made = l.add(r)
		return true, nil
	})
	return made, err
}

// find returns the resource of a kind with an id or, if that is empty, a token.
// The error wraps ErrNotFound if there is none.
func (p *Provider) find(ctx context.Context, kind, id, token string) (found Resource, err error) {
	err = p.call(ctx, func(l *ledger) (bool, error) {
		for _, r := range l.Resources {
			if r.Kind == kind && (r.ID == id || id == "" && r.Token == token) {
				found = r
				return false, nil
			}
		}
		return false, fmt.Errorf("%s: %w", kind, drivers.ErrNotFound)
	})
	return found, err
}

// setState brings a host into a state.
func (p *Provider) setState(ctx context.Context, id string, s drivers.State) error {
	return p.call(ctx, func(l *ledger) (bool, error) {
		for i, r := range l.Resources {
			if r.ID == id {
				l.Resources[i].State = s
				return true, nil
			}
		}
		return false, fmt.Errorf("host %s: %w", id, drivers.ErrNotFound)
	})
}

// delete deletes a resource. The error wraps ErrNotFound if it is gone.
func (p *Provider) delete(ctx context.Context, id string) error {
	return p.call(ctx, func(l *ledger) (bool, error) {
		for _, r := range l.Resources {
			if r.Kind == KindHost && id != "" && (r.Disk == id || r.Network == id) {
				return false, fmt.Errorf("%s: %w: by host %s", id, drivers.ErrInUse, r.ID)
			}
		}
		i := slices.IndexFunc(l.Resources, func(r Resource) bool { return r.ID == id })
		if i < 0 {
			return false, fmt.Errorf("%s: %w", id, drivers.ErrNotFound)
		}
		l.Resources = slices.Delete(l.Resources, i, i+1)
		return true, nil
	})
}

func (l *ledger) add(r Resource) Resource {
	l.Last++
	r.ID = fmt.Sprintf("%s-%d", r.Kind, l.Last)
	l.Resources = append(l.Resources, r)
	return r
}

// call is transact as a driver does it.
func (p *Provider) call(ctx context.Context, fn func(*ledger) (changed bool, err error)) error {
	p.mu.Lock()
	p.calls++
	n, hook := p.calls, p.hook
	p.mu.Unlock()
	if hook == nil {
		return p.transact(ctx, fn)
	}
	if err := hook(n, false); err != nil {
		return err
	}
	err := p.transact(ctx, fn)
	if lost := hook(n, true); lost != nil {
		return lost
	}
	return err
}

// transact runs fn on the ledger, which nobody else reads or writes meanwhile.
func (p *Provider) transact(ctx context.Context, fn func(*ledger) (changed bool, err error)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == "" {
		_, err := fn(&p.memory)
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", drivers.ErrUnreachable, err)
	}
	lock := flock.New(filepath.Join(p.dir, "lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("%w: %w", drivers.ErrUnreachable, err)
	}
	defer func() { _ = lock.Unlock() }()
	l, err := p.read()
	if err != nil {
		return err
	}
	changed, err := fn(&l)
	if err != nil || !changed {
		return err
	}
	return p.write(l)
}

func (p *Provider) path() string { return filepath.Join(p.dir, "resources.json") }

func (p *Provider) read() (l ledger, err error) {
	raw, err := os.ReadFile(p.path())
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	} else if err != nil {
		return l, fmt.Errorf("%w: %w", drivers.ErrUnreachable, err)
	}
	return l, json.Unmarshal(raw, &l)
}

func (p *Provider) write(l ledger) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	next := p.path() + ".new"
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(next, p.path())
}
