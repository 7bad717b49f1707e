package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers/internal/lockfile"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// portTries is how often ports are chosen anew because others were quicker.
const portTries = 5

// run sees to it that the machine runs.
func (d *driver) run(ctx context.Context, binary string) error {
	lock, err := lockfile.Acquire(ctx, d.path(lockFile), "start machine "+d.env.Machine, nil)
	if err != nil {
		return fmt.Errorf("start machine %s: %w", d.env.Machine, err)
	}
	defer lock.Release()
	now, err := d.look(ctx)
	switch {
	case err != nil:
		return err
	case now.pid != 0 || now.status != "":
		return d.resume(ctx, now)
	}
	if pids, _, err := d.pids(ctx); err != nil {
		return err
	} else if len(pids) > 0 { // it has not written its pid yet
		return d.await(ctx, child{pid: pids[0]})
	}
	st := &d.state.Value
	if st.Accel, err = d.accelerator(ctx, binary); err != nil {
		return err
	}
	if err := d.enter(ctx); err != nil { // the folder may be another one
		return err
	}
	return d.env.Step(ctx, "start QEMU", func(ctx context.Context) error { return d.launch(ctx, binary) })
}

// launch starts QEMU, on other ports if somebody else has one.
func (d *driver) launch(ctx context.Context, binary string) error {
	for try := 1; ; try++ {
		if err := d.choosePorts(); err != nil {
			return err
		}
		p, err := d.plan()
		if err != nil {
			return err
		}
		args := p.args()
		d.env.Log.DebugContext(ctx, "start", "path", binary, "args", args, "dir", d.env.Dir)
		c, err := d.world.spawn(ctx, d.env.Dir, binary, args)
		if err != nil {
			return fmt.Errorf("start QEMU: %w", ended(ctx, err))
		}
		err = d.await(ctx, c)
		if err == nil || try == portTries || !d.lostPort(err) {
			return err
		}
		d.env.Log.DebugContext(ctx, "a port was taken meanwhile", "error", err)
	}
}

// lostPort tells whether QEMU could not have a port that we chose, and forgets it.
func (d *driver) lostPort(err error) bool {
	st := &d.state.Value
	said := text(err)
	if !strings.Contains(said, "Could not set up host forwarding rule") {
		return false
	}
	lost := false
	for _, port := range []*int{&st.SSHPort, &st.EnginePort} {
		if strings.Contains(said, "tcp:127.0.0.1:"+strconv.Itoa(*port)+"-") {
			*port, lost = 0, true
		}
	}
	return lost
}

// choosePorts sees to it that the machine has ports of this computer. It keeps those
// that it had, unless somebody else has them now.
func (d *driver) choosePorts() error {
	st := &d.state.Value
	for _, port := range []*int{&st.SSHPort, &st.EnginePort} {
		if *port != 0 && d.world.free(net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)), false) {
			continue
		}
		for *port = 0; *port == 0 || st.SSHPort == st.EnginePort; {
			n, err := d.world.pick()
			if err != nil {
				return err
			}
			*port = n
		}
	}
	return d.state.Save()
}

func (d *driver) plan() (plan, error) {
	st := d.state.Value
	nat, err := parseSubnet(d.cfg.NATSubnet)
	if err != nil {
		return plan{}, err
	}
	p := plan{
		Name: d.env.Machine, UUID: st.UUID, Arch: st.Arch, Accel: st.Accel, CPU: d.cfg.CPU, Machine: d.cfg.Machine,
		CPUs: d.cpus(), Memory: d.cfg.Memory, Firmware: st.Firmware, Code: st.Code, Append: d.cfg.Append, Initrd: st.Initrd,
		NATMAC: st.NATMAC, LANMAC: st.LANMAC, NATSubnet: nat, SSHPort: st.SSHPort, EnginePort: st.EnginePort, EngineGuest: st.EngineGuest,
		Network: d.cfg.Network, LAN: st.LAN, Interface: d.cfg.iface(), Extra: d.cfg.ExtraArg,
	}
	for _, s := range d.cfg.Publish {
		x, err := parsePublish(s)
		if err != nil {
			return plan{}, err
		}
		p.Publish = append(p.Publish, x)
	}
	return p, nil
}

// iface is what of this computer the network between the machines hangs on.
func (c Config) iface() string {
	switch {
	case c.Network == netBridge:
		return c.Bridge
	case c.Interface != "":
		return c.Interface
	case c.Network == netVmnetBridged:
		return "en0"
	}
	return "tap0"
}

func (d *driver) cpus() int {
	st := d.state.Value
	switch {
	case d.cfg.CPUs > 0:
		return d.cfg.CPUs
	case st.Arch == "arm64" && st.Accel != "kvm":
		return min(d.world.cpus, 8) // the interrupt controller of virt takes no more
	}
	return d.world.cpus
}

// guestArch is the architecture of the guest.
func (d *driver) guestArch() string {
	switch {
	case d.state.Value.Arch != "":
		return d.state.Value.Arch
	case d.cfg.Arch != "":
		return d.cfg.Arch
	case d.world.arch == "arm64":
		return "arm64"
	}
	return "amd64"
}

// await waits until a QEMU that was started takes orders. If it ends instead, its
// own words are the error.
func (d *driver) await(ctx context.Context, c child) error {
	ctx, cancel := wait.Within(ctx, d.world.patience, "the start of QEMU")
	defer cancel()
	err := wait.Until(ctx, d.world.pace, "QEMU", func(ctx context.Context) (bool, error) {
		status, err := d.query(ctx)
		if err == nil {
			return status != "", nil
		}
		if context.Cause(ctx) != nil {
			return false, context.Cause(ctx)
		}
		if d.over(c) {
			return false, said("start QEMU", d.logged())
		}
		return false, nil
	})
	var late *wait.LateError
	if errors.As(err, &late) {
		return fmt.Errorf("start QEMU: process %d takes no orders: %w; it says: %s", c.pid, err, words(d.logged()))
	}
	return err
}

// over tells whether a process has ended.
func (d *driver) over(c child) bool {
	if c.done == nil {
		return !d.world.procs.is(c.pid, d.state.Value.UUID, time.Now())
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// logged is what QEMU printed since it was started.
func (d *driver) logged() string {
	data, err := tail(d.path(logFile), 8<<10)
	if err != nil {
		return ""
	}
	return string(data)
}
