package lifecycle

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// firstContactDeadline bounds what is done to know the host key of a machine before somebody logs in.
const firstContactDeadline = 30 * time.Second

// firstContact pins the host key of a machine that docker-machine made, which knew of none, so that whoever logs in
// verifies it from now on. The record stays as it is: only known_hosts is written, and docker-machine can go on. What
// goes wrong is for the login itself to say.
func (m *Manager) firstContact(ctx context.Context, x *machine) {
	if x.rec.Creator != store.Migrated || x.rec.SSH.HostKey != "" || m.hasKnownHost(x.rec.Name) {
		return
	}
	ctx, cancel := within(ctx, 0, firstContactDeadline, "pin the host key of "+x.rec.Name)
	defer cancel()
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		txn, err := m.locks().machine(ctx, x.rec.Name)
		if errors.Is(err, store.ErrLocked) {
			return m.hasKnownHost(x.rec.Name), nil // another command logs in, and pins it
		}
		if err != nil {
			return false, err
		}
		return true, errors.Join(m.learnHostKey(ctx, x, txn), txn.Close())
	})
	if err != nil {
		m.Log.Warn("host key not pinned", "machine", x.rec.Name, "err", err)
	}
}

func (m *Manager) hasKnownHost(name string) bool {
	info, err := os.Stat(filepath.Join(m.Store.MachineDir(name), knownHostsFile))
	return err == nil && info.Size() > 0
}

// learnHostKey connects once and stores the key that the host shows.
func (m *Manager) learnHostKey(ctx context.Context, x *machine, txn machineTxn) error {
	if _, err := txn.ReadFile(knownHostsFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t := x.target()
	t.Pin = true
	t.OnPin = func(line, fingerprint string) error {
		if err := txn.WriteFile(knownHostsFile, []byte(strings.TrimSpace(line)+"\n")); err != nil {
			return err
		}
		m.Note(ctx, "pinned the host key on first contact: "+fingerprint)
		return nil
	}
	conn, err := ssh.Dial(ctx, t)
	if err != nil {
		return err
	}
	return conn.Close()
}
