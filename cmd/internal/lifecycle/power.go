package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// locked runs fn on each machine with its lock held, some at once. All names must exist before
// anything is begun.
func (m *Manager) locked(ctx context.Context, names []string, fn func(ctx context.Context, x *machine) error) error {
	if err := m.exist(names); err != nil {
		return err
	}
	return m.each(ctx, names, func(ctx context.Context, name string) error { return m.withLock(ctx, name, fn) })
}

func (m *Manager) withLock(ctx context.Context, name string, fn func(ctx context.Context, x *machine) error) (err error) {
	x, err := m.lock(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(x.advise(err), x.close()) }()
	return fn(ctx, x)
}

// Start starts machines; certificates are issued again where the address changed.
// A machine that runs already is an error wrapping ErrAlready ("already running").
func (m *Manager) Start(ctx context.Context, names []string) error {
	return m.locked(ctx, names, func(ctx context.Context, x *machine) error {
		st, err := x.drv.Status(ctx)
		if err == nil && st.State == drivers.Running {
			if x.moved(ctx, st) { // an earlier start ended half way, or somebody else started it
				return x.fail(x.back(ctx))
			}
			return &AlreadyError{Machine: x.rec.Name, State: "running"}
		}
		if err != nil && errors.Is(err, drivers.ErrNotFound) {
			return x.powerError("start", err)
		}
		if err := x.needsDriver("start"); err != nil {
			return err
		}
		err = m.Step(ctx, "start the host", func(ctx context.Context) error { return x.drv.Start(ctx) })
		if err != nil {
			return x.silent(ctx, x.powerError("start", err))
		}
		if err := x.fail(x.back(ctx)); err != nil {
			return err
		}
		if err := x.waitsForKey(ctx); err != nil {
			m.Note(ctx, err.Error()+": "+HintOf(err))
		}
		return nil
	})
}

// moved tells whether a machine that was ready is now where its record or its certificate does not say.
func (x *machine) moved(ctx context.Context, st drivers.Status) bool {
	if x.rec.Phase != store.Ready || len(x.rec.Installed.Hosts) == 0 {
		return false
	}
	if x.address(st) != x.rec.Address {
		return true
	}
	a, err := x.m.ensureAuthority(ctx)
	return err == nil && !x.covers(a)
}

// back brings a machine that has just been started to a verified engine. Its certificate
// is issued again if the address changed.
func (x *machine) back(ctx context.Context) error {
	if err := x.await(ctx); err != nil {
		return x.silent(ctx, err)
	}
	conn, err := x.dial(ctx)
	if err != nil {
		return x.silent(ctx, err)
	}
	defer conn.Close()
	a, err := x.m.ensureAuthority(ctx)
	if err != nil {
		return err
	}
	if x.covers(a) {
		err = x.verifyEngine(ctx, conn, x.wanted())
	} else {
		if len(x.rec.Installed.Hosts) > 0 {
			x.m.Note(ctx, "the address changed: the server certificate is issued again")
		}
		err = x.provision(ctx, conn, a, refit{})
	}
	if err != nil {
		return err
	}
	if err := x.classicAgain(ctx, conn, nil); err != nil {
		return err
	}
	return x.settled(ctx)
}

// settled records that the engine was seen to be well. A create that did not finish is finished by
// that, unless there is a swarm yet to join.
func (x *machine) settled(ctx context.Context) error {
	x.rec.Problem = nil
	if p := x.rec.Phase; (p == store.Created || p == store.Provisioned) && (!x.rec.HostOptions.SwarmOptions.IsSwarm || x.rec.Swarm.NodeID != "" || x.classic()) {
		x.m.refreshContext(ctx, x)
		if err := x.txn.RemoveFile(hostKeyFile); err != nil {
			return err
		}
		x.rec.Phase = store.Ready
	}
	return x.put()
}

// covers tells whether the engine's server certificate is good for where the machine is now. The one
// on disk is never newer than the engine's.
func (x *machine) covers(a authority) bool {
	pair, err := readPair(x.path(serverFile), x.path(serverKeyFile))
	if err != nil {
		return false
	}
	err = certs.Verify(pair, certs.Need{Roots: a.trust, Hosts: x.sans(""), Both: x.callsEngines(), Now: x.m.Now()})
	return err == nil || errors.Is(err, certs.ErrDue)
}

// powerError tells which command failed, unless it is one that hosts which are the user's own do not know: what
// their drivers say of it names it.
func (x *machine) powerError(verb string, err error) error {
	_, unmanaged := x.drv.(drivers.Unmanaged)
	if errors.Is(err, drivers.ErrUnsupported) && (unmanaged || x.own()) {
		return err
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// Stop stops machines. A stopped one is an error wrapping ErrAlready.
func (m *Manager) Stop(ctx context.Context, names []string) error {
	return m.locked(ctx, names, func(ctx context.Context, x *machine) error {
		if st, err := x.drv.Status(ctx); err == nil && st.State == drivers.Stopped {
			return &AlreadyError{Machine: x.rec.Name, State: "stopped"}
		} else if errors.Is(err, drivers.ErrNotFound) {
			return x.powerError("stop", err)
		}
		if err := x.needsDriver("stop"); err != nil {
			return err
		}
		if err := m.Step(ctx, "stop the host", func(ctx context.Context) error { return x.drv.Stop(ctx) }); err != nil {
			return x.powerError("stop", err)
		}
		return nil
	})
}

// Kill stops machines by force. A stopped one is an error wrapping ErrAlready.
func (m *Manager) Kill(ctx context.Context, names []string) error {
	return m.locked(ctx, names, func(ctx context.Context, x *machine) error {
		if err := x.needsDriver("kill"); err != nil {
			return err
		}
		if st, err := x.drv.Status(ctx); err == nil && st.State == drivers.Stopped {
			return &AlreadyError{Machine: x.rec.Name, State: "stopped"}
		}
		stop, what := x.drv.Stop, "stop the host"
		if k, ok := x.drv.(drivers.Killer); ok {
			stop, what = k.Kill, "kill the host"
		}
		if err := m.Step(ctx, what, func(ctx context.Context) error { return stop(ctx) }); err != nil {
			return x.powerError("kill", err)
		}
		return nil
	})
}

// Restart restarts machines, members of one swarm one after another.
func (m *Manager) Restart(ctx context.Context, names []string) error {
	if err := m.exist(names); err != nil {
		return err
	}
	return m.eachInTurn(ctx, names, func(ctx context.Context, name string) error {
		return m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			if err := x.needsDriver("restart"); err != nil {
				return err
			}
			return x.fail(x.restart(ctx))
		})
	})
}

func (x *machine) restart(ctx context.Context) error {
	reopen := x.keepKey(ctx)
	restart := x.powerCycle
	if x.own() {
		restart = x.reboot
	}
	if err := restart(ctx); err != nil {
		return err
	}
	return reopen(ctx)
}

// powerCycle restarts a host by its driver.
func (x *machine) powerCycle(ctx context.Context) error {
	err := x.m.Step(ctx, "restart the host", func(ctx context.Context) error {
		if r, ok := x.drv.(drivers.Restarter); ok {
			return r.Restart(ctx)
		}
		if err := x.drv.Stop(ctx); err != nil {
			return err
		}
		return x.drv.Start(ctx)
	})
	if err != nil {
		return x.powerError("restart", err)
	}
	return x.back(ctx)
}

// reboot restarts a host that only SSH reaches, and waits until it has really been away: its
// first process is another one.
func (x *machine) reboot(ctx context.Context) error {
	conn, err := x.dial(ctx)
	if err != nil {
		return err
	}
	before, err := bootID(ctx, conn)
	if err != nil {
		return errors.Join(x.powerError("restart", err), conn.Close())
	}
	err = x.m.Step(ctx, "restart the host", func(ctx context.Context) error {
		ctx, cancel := within(ctx, 0, bootPollDeadline, "wait for the host to come back")
		defer cancel()
		err := conn.Run(ctx, rebootScript, nil, nil)
		var exit *ssh.ExitError
		if errors.As(err, &exit) && exit.Code < 128 {
			return x.powerError("restart", err)
		}
		if cerr := conn.Close(); cerr != nil {
			x.m.Log.Debug("close connection to a host that restarts", "err", cerr)
		}
		return poll(ctx, func(ctx context.Context) (bool, error) {
			again, err := ssh.Dial(ctx, x.target())
			if err != nil {
				return false, lasting(err)
			}
			defer again.Close()
			now, err := bootID(ctx, again)
			return err == nil && now != before, nil
		})
	})
	if err != nil {
		return err
	}
	return x.back(ctx)
}

// lasting returns err if waiting does not heal it.
func lasting(err error) error {
	for _, permanent := range []error{ssh.ErrHostKey, ssh.ErrUnknownKey, ssh.ErrKeyFile} {
		if errors.Is(err, permanent) {
			return err
		}
	}
	return nil
}

const rebootScript = `set -e
if [ "$(id -u)" = 0 ]; then s=; else s='sudo -n'; fi
$s sh -c 'command -v systemctl >/dev/null 2>&1 && exec systemctl reboot; exec reboot'`

// bootID tells one run of a host from another, in containers too.
func bootID(ctx context.Context, conn *ssh.Client) (string, error) {
	var out strings.Builder
	err := conn.Run(ctx, `cat /proc/sys/kernel/random/boot_id; awk '{print $22}' /proc/1/stat`, nil, &out)
	return strings.TrimSpace(out.String()), err
}

// AlreadyError is a machine that is already as asked for. It wraps ErrAlready.
type AlreadyError struct {
	Machine string
	State   string // running or stopped
}

func (e *AlreadyError) Error() string {
	return fmt.Sprintf("machine %q is already %s", e.Machine, e.State)
}

func (e *AlreadyError) Unwrap() error { return ErrAlready }

// Provision installs and secures the engines again; nothing happens where nothing changed.
func (m *Manager) Provision(ctx context.Context, req ProvisionRequest) error {
	if err := m.exist(req.Names); err != nil {
		return err
	}
	return m.eachInTurn(ctx, req.Names, func(ctx context.Context, name string) error {
		return m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			changed := false
			err := x.reprovision(ctx, refit{changed: &changed}, req.Drain)
			if err == nil && !changed {
				m.Note(ctx, "nothing to do: the host is as it should be")
			}
			return err
		})
	})
}

// reprovision provisions a machine that exists and runs.
func (x *machine) reprovision(ctx context.Context, r refit, drain bool) error {
	what := "provision"
	if r.renew {
		what = "regenerate-certs"
	}
	if err := x.managed(what); err != nil {
		return err
	}
	if err := x.hasEngine(what); err != nil {
		return err
	}
	if err := x.secured(what); err != nil {
		return err
	}
	a, err := x.m.ensureAuthority(ctx)
	if err != nil {
		return err
	}
	return x.fail(x.m.refit(ctx, x, a, r, drain))
}

// hasEngine returns why nothing can be done with the engine of a machine that rancher-machine gave a script of the
// user's in the place of one.
func (x *machine) hasEngine(what string) error {
	if script := x.rec.HostOptions.CustomInstallScript; script != "" {
		return fmt.Errorf("%s: %w: rancher-machine ran the script %s on %s in the place of installing Docker", what, drivers.ErrUnsupported, script, x.rec.Name)
	}
	return nil
}

// managed returns why what is asked for cannot be done on a machine that is only a URL.
func (x *machine) managed(what string) error {
	if _, ok := x.drv.(drivers.Unmanaged); ok {
		return fmt.Errorf("%s: %w: driver %s has no SSH", what, drivers.ErrUnsupported, x.rec.DriverName)
	}
	return nil
}

func (x *machine) reprovisionWith(ctx context.Context, a authority, r refit) error {
	st, err := x.drv.Status(ctx)
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	// A host that is the user's own is judged by SSH, which says more than its state.
	if !x.own() && st.State != drivers.Running {
		return fmt.Errorf("provision: %w", ErrNotRunning)
	}
	if st.Host == "" {
		err = x.await(ctx) // it runs and gets its address in a moment
	} else {
		err = x.setAddress(x.address(st))
	}
	if err != nil {
		return err
	}
	conn, err := x.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	reopen := x.keepKey(ctx)
	if err := x.provision(ctx, conn, a, r); err != nil {
		return err
	}
	if err := reopen(ctx); err != nil {
		return err
	}
	if err := x.classicAgain(ctx, conn, r.changed); err != nil {
		return err
	}
	return x.settled(ctx)
}
