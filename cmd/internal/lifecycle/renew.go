package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// RegenerateCerts renews certificates. Members of one swarm go one after another, because
// each engine restarts once.
func (m *Manager) RegenerateCerts(ctx context.Context, req CertsRequest) error {
	if req.RotateCA {
		return m.rotateCA(ctx, req)
	}
	if err := m.exist(req.Names); err != nil {
		return err
	}
	if req.ClientCerts {
		if err := m.renewClient(ctx); err != nil {
			return err
		}
	}
	return m.eachInTurn(ctx, req.Names, func(ctx context.Context, name string) error {
		return m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			err := x.reprovision(ctx, refit{renew: true}, req.Drain)
			if err == nil {
				m.refreshContext(ctx, x)
			}
			return err
		})
	})
}

// renewClient replaces the client pair by a new one of the same authority, for all machines.
func (m *Manager) renewClient(ctx context.Context) error {
	if _, err := m.ensureAuthority(ctx); err != nil {
		return err
	}
	var a authority
	err := m.shared(ctx, func(txn sharedTxn) (err error) {
		// Read under the lock: the authority may have changed a moment ago.
		if a, err = m.loadAuthority(txn.ReadCert); err != nil {
			return fmt.Errorf("read authority: %w", err)
		}
		if a.ca == nil {
			return fmt.Errorf("issue client certificate: %w", errNoCAKey(m.Store.CertsDir()))
		}
		if a.client, err = a.ca.Client(m.organisation(), m.Now()); err != nil {
			return fmt.Errorf("issue client certificate: %w", err)
		}
		return writePair(txn, certFile, keyFile, a.client)
	})
	if err != nil {
		return err
	}
	m.handOutAll(ctx, a)
	return nil
}

func (m *Manager) shared(ctx context.Context, fn func(sharedTxn) error) error {
	txn, err := m.locks().shared(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(txn), txn.Close())
}

// rotateCA replaces the authority in three moves, so that at each moment every machine and its
// client trust each other:
//
//  1. The next authority is made; every engine and every client trusts both.
//  2. The next authority becomes the authority and signs the client pair.
//  3. Every engine gets a server certificate of it and trusts it alone, then its client does.
//
// A machine that cannot be reached stops the rotation before move 2, or is left for the next
// call in move 3. Calling again continues. An authority that has expired protects nobody any
// more: then there is no move 1, and the machines are brought back over SSH.
func (m *Manager) rotateCA(ctx context.Context, req CertsRequest) error {
	names := req.Names
	if err := m.exist(names); err != nil {
		return err
	}
	all, err := m.Store.Names()
	if err != nil {
		return err
	}
	if len(names) > 0 && len(names) < len(all) {
		return fmt.Errorf("%w: all machines share one authority: --rotate-ca takes no names", ErrUsage)
	}
	a, err := m.readAuthority()
	// A client that is let in nowhere, and cannot be renewed, has as little to lose.
	ended := a.cert != nil && (m.ended(a) || a.ca == nil && m.usable(a) != nil)
	if err != nil && a.cert == nil {
		if a, err = m.ensureAuthority(ctx); err != nil {
			return err
		}
	}
	if m.hasCert(nextFile) || !m.hasCert(oldFile) {
		if err := m.shared(ctx, func(txn sharedTxn) error { return m.makeNext(txn) }); err != nil {
			return err
		}
		if !ended {
			if err := m.rotateEach(ctx, req.Drain, func(authority) refit { return refit{} }); err != nil {
				return fmt.Errorf("rotate authority: both are trusted where that was possible, nothing is locked out: %w", err)
			}
		}
		if err := m.shared(ctx, func(txn sharedTxn) error { return m.promote(txn) }); err != nil {
			return err
		}
		m.Note(ctx, "the new authority signs from now on")
	}
	if err := m.rotateEach(ctx, req.Drain, func(a authority) refit { return refit{trust: a.cert} }); err != nil {
		return fmt.Errorf("rotate authority: the new one signs, and machines that were not reached still trust both: %w", err)
	}
	return m.shared(ctx, func(txn sharedTxn) error {
		return errors.Join(txn.RemoveCert(nextKeyFile), txn.RemoveCert(oldFile)) // the first after a promotion that was killed
	})
}

// rotateEach provisions all machines with the authority as it is now, also those that another
// command makes meanwhile.
func (m *Manager) rotateEach(ctx context.Context, drain bool, how func(authority) refit) error {
	a, err := m.ensureAuthority(ctx) // not as it is on disk: half of a client pair must not be handed out
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for {
		all, err := m.Store.Names()
		if err != nil {
			return err
		}
		names := slices.DeleteFunc(m.provisioned(all), func(name string) bool { return done[name] || m.isForeign(name, a) })
		if len(names) == 0 {
			return nil
		}
		err = m.eachInTurn(ctx, names, func(ctx context.Context, name string) error {
			return m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
				if err := x.fail(m.refit(ctx, x, a, how(a), drain)); err != nil {
					return err
				}
				m.refreshContext(ctx, x)
				return nil
			})
		})
		if err != nil {
			return err
		}
		for _, name := range names {
			done[name] = true
		}
	}
}

// provisioned leaves out machines that have no engine of ours.
func (m *Manager) provisioned(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		x, err := m.view(name)
		if err != nil {
			return false // it stops the rotation with its own error
		}
		_, unmanaged := x.drv.(drivers.Unmanaged)
		return unmanaged || x.rec.OverSSH || x.rec.Phase == store.Pending || x.rec.Phase == store.Removing
	})
}

// isForeign tells whether a machine's engine trusts another store's authority, which a change of this one is no matter of.
func (m *Manager) isForeign(name string, a authority) bool {
	x, err := m.view(name)
	return err == nil && x.foreign(a)
}

func (m *Manager) hasCert(name string) bool {
	_, err := os.Stat(filepath.Join(m.Store.CertsDir(), name))
	return err == nil
}

func (m *Manager) makeNext(txn certFolder) error {
	if _, err := txn.ReadCert(nextFile); !errors.Is(err, fs.ErrNotExist) {
		return err // a rotation is under way, or the error
	}
	ca, err := certs.NewCA(m.organisation(), m.Now())
	if err != nil {
		return fmt.Errorf("make authority: %w", err)
	}
	return writePair(txn, nextFile, nextKeyFile, ca.Pair())
}

// promote makes the next authority the authority. The order of writes keeps the store readable
// after a crash at any of them, and whoever was trusted before trusted after: ca.pem holds both
// authorities while the key changes, and the next one's file goes last, which is how a later
// call knows that this one ended.
func (m *Manager) promote(txn certFolder) error {
	next, err := readNext(txn)
	if err != nil {
		return err
	}
	ca, err := certs.ParseCA(next.Cert, next.Key)
	if err != nil {
		return fmt.Errorf("read next authority: %w", err)
	}
	old, err := txn.ReadCert(oldFile) // an earlier call that did not end
	if errors.Is(err, fs.ErrNotExist) {
		old, err = txn.ReadCert(caFile)
	}
	if err != nil {
		return err
	}
	client, err := ca.Client(m.organisation(), m.Now())
	if err != nil {
		return fmt.Errorf("issue client certificate: %w", err)
	}
	for _, step := range []func() error{
		func() error { return txn.WriteCert(oldFile, old) },
		func() error { return txn.WriteCert(caFile, certs.Bundle(old, next.Cert)) },
		func() error { return txn.WriteCert(caKeyFile, next.Key) },
		func() error { return writePair(txn, certFile, keyFile, client) },
		func() error { return txn.WriteCert(caFile, next.Cert) },
		func() error { return txn.RemoveCert(nextFile) },
		func() error { return txn.RemoveCert(nextKeyFile) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func readNext(txn certFolder) (p certs.Pair, err error) {
	if p.Cert, err = txn.ReadCert(nextFile); err != nil {
		return p, err
	}
	p.Key, err = txn.ReadCert(nextKeyFile)
	return p, err
}
