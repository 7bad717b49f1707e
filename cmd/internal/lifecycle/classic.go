package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// The defaults of classic Swarm are docker-machine's.
const (
	classicImage    = "swarm:latest"
	classicHost     = "tcp://0.0.0.0:3376"
	classicStrategy = "spread"
)

// isClassic tells whether options are of a classic standalone swarm. Which one, its discovery URL says: that
// is all that docker-machine's records have.
func isClassic(o SwarmOptions) bool { return o.Discovery != "" && (o.IsSwarm || o.Master || o.Agent) }

func classicMaster(o SwarmOptions) bool { return isClassic(o) && o.Master }

// classicAgent: the first versions of docker-machine had no word for it.
func classicAgent(o SwarmOptions) bool { return isClassic(o) && (o.Agent || !o.Master) }

func (x *machine) classic() bool { return isClassic(x.rec.HostOptions.SwarmOptions) }

// classicWish is what the machine's engine shall run.
func (x *machine) classicWish() swarmboot.Classic {
	o := x.rec.HostOptions.SwarmOptions
	return swarmboot.Classic{
		Master: classicMaster(o), Agent: classicAgent(o),
		Image: or(o.Image, classicImage), Discovery: o.Discovery, Host: or(o.Host, classicHost), Strategy: or(o.Strategy, classicStrategy),
		Advertise: x.classicAddr(), EnginePort: x.enginePort(),
		Options: o.ArbitraryFlags, JoinOptions: o.ArbitraryJoinFlags, Experimental: o.IsExperimental,
		Env: x.rec.HostOptions.EngineOptions.Env, DockerDir: x.dockerDir(), TLS: x.shownTLS(),
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// classicAddr is where other machines reach this one.
func (x *machine) classicAddr() string {
	return or(x.rec.HostOptions.SwarmOptions.Address, or(x.rec.Address.Peer, x.rec.Address.Host))
}

// dockerDir is where provisioning puts the TLS files on the host.
func (x *machine) dockerDir() string {
	if strings.HasPrefix(x.rec.Installed.OS, "Boot2Docker") {
		return "/var/lib/boot2docker"
	}
	return "/etc/docker"
}

// shownTLS tells the TLS files that the host has now from others.
func (x *machine) shownTLS() string {
	sum := sha256.New()
	for _, name := range []string{caFile, serverFile} {
		data, err := os.ReadFile(x.path(name))
		if err != nil {
			return ""
		}
		_, _ = sum.Write(data) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// classicPort is where clients reach the manager of a master.
func (x *machine) classicPort() int {
	port, _ := swarmboot.ClassicPort(or(x.rec.HostOptions.SwarmOptions.Host, classicHost))
	return port
}

// fitting is a machine whose engine is about to get its containers.
type fitting struct {
	x     *machine
	eng   *engine
	steps []swarmboot.ClassicStep
}

// fit asks the engine and plans; nothing is changed.
func (x *machine) fit(ctx context.Context, conn *ssh.Client, wish swarmboot.Classic) (*fitting, error) {
	eng, err := x.engine(ctx, x.dialer(conn))
	if err != nil {
		return nil, err
	}
	f := &fitting{x: x, eng: eng}
	seen, err := swarmboot.InspectClassic(ctx, eng, wish.Image)
	if err == nil {
		f.steps, err = swarmboot.PlanClassic(wish, seen)
	}
	if err != nil {
		eng.close()
		return nil, err
	}
	return f, nil
}

// apply does what was planned, unless something failed that comes before.
func (f *fitting) apply(ctx context.Context, failed []error) error {
	defer f.eng.close()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	ctx, cancel := f.x.within(ctx, 0, hostDeadline, "make the containers of the swarm")
	defer cancel()
	return swarmboot.ApplyClassic(ctx, f.eng, f.steps, f.x.m.Step)
}

func (f *fitting) lines() []string {
	lines := make([]string, len(f.steps))
	for i, s := range f.steps {
		lines[i] = s.String()
	}
	return lines
}

// makeClassic makes the machines that are ready so far members of a classic swarm. The list of members comes
// first: a new manager finds it when it starts.
func (m *Manager) makeClassic(ctx context.Context, s *spec, works []*making, errs []error, note func(int, error)) {
	fits := make([]*fitting, len(works))
	at := map[string]int{}
	conns := map[string]*ssh.Client{}
	for i, name := range s.names {
		at[name] = i
		conns[name] = works[i].conn
	}
	all := func(fn func(ctx context.Context, i int, x *making) error) {
		_ = m.each(ctx, s.names, func(ctx context.Context, name string) error {
			if i := at[name]; errs[i] == nil {
				note(i, works[i].fail(fn(ctx, i, works[i])))
			}
			return nil
		})
	}
	all(func(ctx context.Context, i int, x *making) (err error) {
		if x.classicByOthers() {
			m.Note(ctx, "is recorded as one of the swarm; its engine is not touched")
			return nil
		}
		if fits[i], err = x.fit(ctx, x.conn, x.classicWish()); err != nil {
			return err
		}
		x.rec.Problem = nil // it is to be on the list of members
		return x.put()
	})
	if !slices.ContainsFunc(fits, func(f *fitting) bool { return f != nil }) {
		return
	}
	written, errored := m.syncList(ctx, s.options.SwarmOptions.Discovery, conns, "")
	all(func(ctx context.Context, i int, x *making) error {
		failed := errored
		if written > 0 { // a master that is away does not keep others from joining
			failed = x.unwritten(ctx, errored, i == 0)
		}
		if fits[i] == nil {
			return nil // recorded only
		}
		err := fits[i].apply(ctx, failed)
		x.timed("swarm")
		x.out.Swarm, x.out.Role = m.classicName(x.rec), "agent"
		if classicMaster(x.rec.HostOptions.SwarmOptions) {
			x.out.Role = "master"
		}
		return err
	})
	m.warnMasters(ctx, s.options.SwarmOptions.Discovery)
}

// warnMasters tells what several managers are good for that do not elect one of them.
func (m *Manager) warnMasters(ctx context.Context, discovery string) {
	s, _ := m.classicOf(discovery)
	alone := func(rec store.Record) bool {
		return !slices.ContainsFunc(rec.HostOptions.SwarmOptions.ArbitraryFlags, func(o string) bool { return strings.HasPrefix(strings.TrimLeft(o, "-"), "replication") })
	}
	if len(s.masters) > 1 && slices.ContainsFunc(s.masters, alone) {
		m.Note(ctx, "the masters know nothing of each other: to have one manage and the others stand by, give --swarm-opt replication and a discovery of consul://, etcd:// or zk://")
	}
}

// classicAgain brings the containers of a machine, whose engine was just seen to be well, to what they should be.
// Masters that are not reached get the list of members later.
func (x *machine) classicAgain(ctx context.Context, conn *ssh.Client, changed *bool) error {
	if !x.classic() || x.rec.Phase == store.Pending || x.rec.Phase == store.Created || x.rec.Phase == store.Removing {
		return nil
	}
	f, err := x.fit(ctx, conn, x.classicWish())
	if err != nil {
		return err
	}
	x.rec.Problem = nil
	if err := x.put(); err != nil {
		return err
	}
	_, errored := x.m.syncList(ctx, x.rec.HostOptions.SwarmOptions.Discovery, map[string]*ssh.Client{x.rec.Name: conn}, "")
	if changed != nil && len(f.steps) > 0 {
		*changed = true
	}
	return f.apply(ctx, x.unwritten(ctx, errored, true))
}

// planLeaveClassic tells what leaveClassic would do; false: the machine is in no classic swarm.
func (m *Manager) planLeaveClassic(name string) (Planned, bool) {
	rec, err := m.Store.Get(name)
	if err != nil || !isClassic(rec.HostOptions.SwarmOptions) {
		return Planned{}, false
	}
	p := Planned{Machine: name}
	if file, ok := swarmboot.OwnList(rec.HostOptions.SwarmOptions.Discovery); ok {
		p.Steps = append(p.Steps, "take it off the list of members "+file+" on the masters")
	}
	p.Steps = append(p.Steps, fmt.Sprintf("remove its containers of classic swarm %s", m.classicName(rec)))
	return p, true
}

// leaveClassic takes a machine out of its classic swarm: off the list, then its containers.
func (m *Manager) leaveClassic(ctx context.Context, x *machine, force bool) error {
	o := x.rec.HostOptions.SwarmOptions
	m.unlist(ctx, x)
	if err := x.clearClassic(ctx); err != nil {
		if !force || context.Cause(ctx) != nil {
			return fmt.Errorf("leave swarm %q: %w", m.classicName(x.rec), err)
		}
		m.Note(ctx, "left the swarm by force, its containers may still run: "+err.Error())
	}
	if o.Master {
		m.Note(ctx, "its certificate is that of a master still: machine regenerate-certs "+x.rec.Name)
	}
	x.rec.HostOptions.SwarmOptions = SwarmOptions{}
	return x.put()
}

// clearClassic takes away from the host what made it a member.
func (x *machine) clearClassic(ctx context.Context) error {
	conn, err := x.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	f, err := x.fit(ctx, conn, swarmboot.Classic{})
	if err != nil {
		return err
	}
	if err := f.apply(ctx, nil); err != nil {
		return err
	}
	o := x.rec.HostOptions.SwarmOptions
	if file, ok := swarmboot.OwnList(o.Discovery); ok && o.Master {
		return swarmboot.RemoveList(ctx, conn, file)
	}
	return nil
}

// classicByOthers tells whether a machine is one of a classic swarm by its record alone: its engine is somebody
// else's, and so is the list of members.
func (x *machine) classicByOthers() bool {
	_, unmanaged := x.drv.(drivers.Unmanaged)
	discovery := x.rec.HostOptions.SwarmOptions.Discovery
	_, own := swarmboot.OwnList(discovery)
	return unmanaged && discovery != "" && !own
}

// takesClassic returns why a machine cannot be in a classic swarm at all.
func (x *machine) takesClassic() error {
	if _, ok := x.drv.(drivers.Unmanaged); ok {
		return fmt.Errorf("make %q a member of a classic swarm: %w: driver %s has no SSH", x.rec.Name, drivers.ErrUnsupported, x.rec.DriverName)
	}
	return nil
}
