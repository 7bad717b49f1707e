package qemu

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	// pressEvery is how often the power button is pressed: early in its boot a
	// guest does not notice.
	pressEvery = 15 * time.Second
	// endLimit is how long a process may take to end that is made to.
	endLimit = 15 * time.Second
)

// sight is what can be seen of a machine.
type sight struct {
	status string // of QEMU, in its own words; empty: it does not answer
	pid    int    // of its process; 0: none is known
	disk   bool   // it is there
}

// look looks at the machine. The error wraps drivers.ErrNotFound if there is none.
func (d *driver) look(ctx context.Context) (sight, error) {
	if err := context.Cause(ctx); err != nil {
		return sight{}, err
	}
	if d.state.Value.UUID == "" {
		return sight{}, d.absent("look at")
	}
	var s sight
	var err error
	if s.status, err = d.query(ctx); context.Cause(ctx) != nil {
		return sight{}, context.Cause(ctx)
	}
	if err != nil {
		d.env.Log.DebugContext(ctx, "QEMU does not answer", "error", err)
		s.pid = d.pid()
	}
	s.disk = d.world.exists(d.path(diskFile))
	if s.status == "" && s.pid == 0 && !s.disk {
		return sight{}, d.absent("look at")
	}
	return s, nil
}

// pid is the machine's process, as QEMU recorded it; 0: there is none, or the number
// is another process's now.
func (d *driver) pid() int {
	pid, written := readPID(d.path(pidFile))
	if pid == 0 || !d.world.procs.is(pid, d.state.Value.UUID, written) {
		return 0
	}
	return pid
}

// query asks QEMU for the machine's status.
func (d *driver) query(ctx context.Context) (string, error) {
	var answer struct {
		Status string `json:"status"`
	}
	err := d.talk(ctx, func(ctx context.Context, m *monitor) error { return m.do(ctx, "query-status", nil, &answer) })
	if err == nil && answer.Status == "" {
		err = errProtocol
	}
	return answer.Status, err
}

// order has QEMU do something.
func (d *driver) order(ctx context.Context, command string) error {
	return d.talk(ctx, func(ctx context.Context, m *monitor) error { return m.do(ctx, command, nil, nil) })
}

// talk has a conversation with QEMU.
func (d *driver) talk(ctx context.Context, fn func(context.Context, *monitor) error) error {
	ctx, cancel := wait.Within(ctx, d.world.ask, "the answer of QEMU")
	defer cancel()
	conn, err := d.world.dial(ctx, d.path(socketFile))
	if err != nil {
		return fmt.Errorf("talk to QEMU: %w", ended(ctx, err))
	}
	m, err := converse(ctx, conn)
	if err != nil {
		return fmt.Errorf("talk to QEMU: %w", err)
	}
	defer m.close()
	return fn(ctx, m)
}

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	now, err := d.look(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	st := d.state.Value
	s := drivers.Status{State: now.state(), User: st.User}
	if st.SSHPort != 0 {
		s.Host, s.Peer = "127.0.0.1", d.peer()
		s.SSHPort, s.EnginePort = st.SSHPort, st.EnginePort
	}
	return s, nil
}

// state is a machine's in docker-machine's words. QEMU's are in its QAPI, RunState.
func (s sight) state() drivers.State {
	switch s.status {
	case "":
		if s.pid != 0 {
			return drivers.Timeout // it runs, and does not answer
		}
		return drivers.Stopped
	case "running", "debug", "colo":
		return drivers.Running
	case "paused", "suspended":
		return drivers.Paused
	case "prelaunch", "inmigrate", "restore-vm":
		return drivers.Starting
	case "save-vm", "postmigrate", "finish-migrate":
		return drivers.Saved
	case "shutdown":
		return drivers.Stopping
	}
	return drivers.Error // guest-panicked, internal-error, io-error, watchdog
}

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	now, err := d.look(ctx)
	if err != nil {
		return err
	}
	if now.status != "" {
		return d.resume(ctx, now)
	}
	if !now.disk {
		return d.absent("start")
	}
	binary, err := d.binary()
	if err != nil {
		return err
	}
	return d.run(ctx, binary)
}

// resume has a machine go on whose process runs.
func (d *driver) resume(ctx context.Context, now sight) error {
	switch now.status {
	case "":
		return d.await(ctx, child{pid: now.pid})
	case "suspended":
		return d.order(ctx, "system_wakeup")
	case "paused", "prelaunch", "postmigrate", "io-error":
		if err := d.order(ctx, "cont"); err != nil {
			return fmt.Errorf("go on with machine %s: %w", d.env.Machine, err)
		}
	case "guest-panicked", "internal-error", "shutdown", "watchdog":
		return &drivers.HintError{
			Err:    fmt.Errorf("start machine %s: QEMU says that it is in state %s", d.env.Machine, now.status),
			Advice: "machine kill " + d.env.Machine + ", then start it again",
		}
	}
	return nil
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	now, err := d.look(ctx)
	if err != nil {
		return err
	}
	if now.status == "" && now.pid == 0 || d.cfg.Grace == 0 {
		return d.end(ctx)
	}
	done, err := d.shutDown(ctx, time.Duration(d.cfg.Grace)*time.Second)
	if err != nil || done {
		return err
	}
	d.env.Note(ctx, fmt.Sprintf("machine %s did not shut down within %d s: its power is cut", d.env.Machine, d.cfg.Grace))
	return d.end(ctx)
}

// shutDown presses the power button until the guest has shut down. It reports false
// if that takes too long.
func (d *driver) shutDown(ctx context.Context, grace time.Duration) (bool, error) {
	limited, cancel := wait.Within(ctx, grace, "the shutdown")
	defer cancel()
	var pressed time.Time
	known := map[int]bool{}
	if pid := d.pid(); pid != 0 {
		known[pid] = true
	}
	err := wait.Until(limited, d.world.pace, "the shutdown", func(limited context.Context) (bool, error) {
		status, err := d.query(limited)
		if err != nil {
			if limited.Err() != nil {
				return false, context.Cause(limited)
			}
			return d.pid() == 0 && d.gone(known), nil
		}
		if status == "paused" || status == "suspended" { // what is frozen cannot shut down
			return false, d.resume(limited, sight{status: status})
		}
		if time.Since(pressed) < pressEvery {
			return false, nil
		}
		if err := d.order(limited, "system_powerdown"); err == nil {
			pressed = time.Now()
		}
		return false, nil
	})
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	}
	d.env.Log.DebugContext(ctx, "no shutdown", "error", err)
	return false, nil
}

// Kill implements drivers.Killer.
func (d *driver) Kill(ctx context.Context) error {
	if _, err := d.look(ctx); err != nil {
		return err
	}
	return d.end(ctx)
}

// end ends the machine's process, if there is one, in whatever way it takes.
func (d *driver) end(ctx context.Context) error { return d.endBy(ctx, true) }

// endAll ends the machine's processes without asking QEMU, which at the machine's
// socket may be another one.
func (d *driver) endAll(ctx context.Context) error { return d.endBy(ctx, false) }

func (d *driver) endBy(ctx context.Context, ask bool) error {
	ctx, cancel := wait.Within(ctx, endLimit, "the end of QEMU")
	defer cancel()
	begin, known := time.Now(), map[int]bool{}
	pids, _, err := d.pids(ctx)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		known[pid] = true
	}
	asked := ask && d.order(ctx, "quit") == nil
	return wait.Until(ctx, d.world.pace, "the end of QEMU", func(ctx context.Context) (bool, error) {
		pids, written, err := d.pids(ctx)
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			known[pid] = true
		}
		if len(pids) == 0 {
			return d.gone(known), nil
		}
		if asked && time.Since(begin) < d.world.ask {
			return false, nil
		}
		for _, pid := range pids {
			if err := d.world.procs.kill(pid, d.state.Value.UUID, written); err != nil {
				return false, fmt.Errorf("end process %d: %w", pid, err)
			}
		}
		return false, nil
	})
}

// pids are all processes of the machine that are to be found. written is when QEMU
// recorded its own.
func (d *driver) pids(ctx context.Context) (pids []int, written time.Time, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, written, err
	}
	if pids, err = d.world.procs.all(ctx, d.state.Value.UUID); err != nil {
		return nil, written, fmt.Errorf("look for the machine's process: %w", ended(ctx, err))
	}
	pid, written := readPID(d.path(pidFile))
	if pid != 0 && !slices.Contains(pids, pid) && d.world.procs.is(pid, d.state.Value.UUID, written) {
		pids = append(pids, pid)
	}
	return pids, written, nil
}

// gone tells whether processes that were the machine's are no more.
func (d *driver) gone(pids map[int]bool) bool {
	for pid := range pids {
		if !d.world.procs.gone(pid, d.state.Value.UUID) {
			return false
		}
	}
	return true
}
