package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/store"
)

// completionPatience is how long the completion of a command line waits for a shared store.
const completionPatience = time.Second

// store returns the store that the command is about.
func (a *app) store() *store.Store {
	if a.shared != nil {
		return a.shared.Store
	}
	return store.Open(a.globals.root)
}

// openShared makes the store a shared one. Nothing is asked of it yet.
func (a *app) openShared(ctx context.Context, inv *invocation) error {
	if inv.command().Name == "__complete" {
		a.globals.shared.Patience = completionPatience
	}
	s, err := a.sharedAt(ctx, a.globals.location)
	if err != nil {
		return err
	}
	a.shared, a.globals.root = s, s.Root()
	return nil
}

// sharedAt opens the shared store at a location.
func (a *app) sharedAt(ctx context.Context, location string) (*lifecycle.SharedStore, error) {
	c := a.globals.shared
	c.Lost = a.lost
	home := a.home()
	if home == "" {
		return nil, usagef("the folder of a shared store's copy is not known: HOME is not set").hint("set HOME")
	}
	if c.Identity == "" {
		c.Identity = filepath.Join(a.configDir(home), "age-identity.txt")
	}
	if file := a.globals.passwordFile; file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the password for etcd: %w", err)
		}
		c.EtcdPassword = strings.TrimRight(string(data), "\r\n")
	}
	s, err := lifecycle.OpenShared(ctx, location, filepath.Join(home, ".docker", "machine", "etcd"), c)
	if err == nil {
		a.opened = append(a.opened, s)
	}
	return s, err
}

// storeAt opens the store at a location, which may be a folder.
func (a *app) storeAt(ctx context.Context, location string) (*store.Store, error) {
	if lifecycle.IsShared(location) {
		s, err := a.sharedAt(ctx, location)
		if err != nil {
			return nil, err
		}
		return s.Store, nil
	}
	root, err := a.storeRoot(location)
	if err != nil {
		return nil, err
	}
	return store.Open(root), nil
}

// endedByLoss says why a command did not finish that was ended because it had lost a lock: what it answers itself
// may be no more than that it was ended.
func endedByLoss(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || !errors.Is(cause, store.ErrLockLost) || errors.Is(err, store.ErrLockLost) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

func (a *app) closeStores() {
	for _, s := range a.opened {
		_ = s.Close()
	}
}

// configDir is where the user keeps what programs are told.
func (a *app) configDir(home string) string {
	dir := a.Getenv("XDG_CONFIG_HOME")
	if runtime.GOOS == "windows" {
		dir = a.Getenv("APPDATA")
	}
	if dir == "" {
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "machine")
}

// userName is the user of this computer.
func (a *app) userName() string {
	for _, k := range []string{"USER", "USERNAME", "LOGNAME"} {
		if v := a.Getenv(k); v != "" {
			return v
		}
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "somebody"
}
