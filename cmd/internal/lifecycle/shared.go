package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/store/etcd"
)

// ErrNotShared is the error of a command that only a shared store has a use for.
var ErrNotShared = errors.New("the store is a folder of this computer")

type (
	// SharedConfig is how to reach a store that a team shares.
	SharedConfig = etcd.Config

	// Recipient is somebody who can read the secrets of a shared store.
	Recipient = etcd.Recipient
)

// SharedStore is a store that a team shares.
type SharedStore struct {
	*store.Store
	backend *etcd.Backend
}

// IsShared tells whether a location is that of a shared store rather than a folder.
func IsShared(location string) bool { return etcd.Is(location) }

// OpenShared opens the shared store at a location; copies says below which folder this computer's
// copies of such stores are. It asks nothing.
func OpenShared(ctx context.Context, location, copies string, c SharedConfig) (*SharedStore, error) {
	l, err := etcd.Parse(location)
	if err != nil {
		return nil, err
	}
	c.Location, c.Dir = l, etcd.DefaultDir(copies, l)
	b, err := etcd.New(ctx, c)
	if err != nil {
		return nil, err
	}
	return &SharedStore{Store: store.OpenBackend(b), backend: b}, nil
}

// Close ends the connection.
func (s *SharedStore) Close() error { return s.backend.Close() }

// Recipients are whom the secrets of a shared store are encrypted for.
type Recipients struct {
	Recipients []Recipient `json:"recipients"`
	Pending    bool        `json:"pending,omitempty"`   // a change of them did not come to its end
	Rewritten  int         `json:"rewritten,omitempty"` // files that were encrypted again
}

// Recipients returns whom secrets are encrypted for.
func (s *SharedStore) Recipients() (Recipients, error) {
	all, pending, err := s.backend.Recipients()
	return Recipients{Recipients: all, Pending: pending}, err
}

// AddRecipients has secrets encrypted for these too; without any, for the user, who gets an identity
// if there is none. Adding whom the list has already encrypts what a change left undone.
func (s *SharedStore) AddRecipients(ctx context.Context, command, user string, keys []string) (Recipients, error) {
	if len(keys) == 0 {
		own, err := s.backend.OwnRecipient(true)
		if err != nil {
			return Recipients{}, err
		}
		keys = []string{own + " " + user}
	}
	added := make([]Recipient, len(keys))
	for i, key := range keys {
		r, err := etcd.ParseRecipient(key)
		if err != nil {
			return Recipients{}, fmt.Errorf("add recipient %d: %w", i+1, err)
		}
		added[i] = r
	}
	return s.change(ctx, command, func(all []Recipient) ([]Recipient, error) {
		for _, r := range added {
			if !slices.ContainsFunc(all, func(o Recipient) bool { return o.Key == r.Key }) {
				all = append(all, r)
			}
		}
		return all, nil
	})
}

// RemoveRecipients has secrets no longer encrypted for these, named by key or by name.
func (s *SharedStore) RemoveRecipients(ctx context.Context, command string, whom []string) (Recipients, error) {
	return s.change(ctx, command, func(all []Recipient) ([]Recipient, error) {
		for _, one := range whom {
			is := func(r Recipient) bool { return r.Key == one || r.Name == one }
			if !slices.ContainsFunc(all, is) {
				return nil, &drivers.HintError{
					Err:    fmt.Errorf("remove recipient: %w: nobody is called %q, or has this key", ErrUsage, one),
					Advice: "machine store recipients ls",
				}
			}
			all = slices.DeleteFunc(all, is)
		}
		return all, nil
	})
}

func (s *SharedStore) change(ctx context.Context, command string, how func([]Recipient) ([]Recipient, error)) (Recipients, error) {
	ctx, cancel := within(ctx, 0, lockDeadline, "wait for the store's lock")
	defer cancel()
	n, err := s.backend.SetRecipients(ctx, command, how)
	if err != nil {
		return Recipients{}, err
	}
	all, err := s.Recipients()
	all.Rewritten = n
	return all, err
}
