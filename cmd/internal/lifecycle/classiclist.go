package lifecycle

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// unwritten returns the errors of lists that are the machine's own. The others are said: their masters get
// the list later.
func (x *machine) unwritten(ctx context.Context, errored []error, say bool) (own []error) {
	for _, err := range errored {
		var of *MachineError
		switch {
		case !errors.As(err, &of) || of.Machine == x.rec.Name:
			own = append(own, err)
		case say:
			x.m.Note(ctx, "the list of members there is not what it should be: "+err.Error()+": machine provision "+of.Machine)
		}
	}
	return own
}

// syncList writes the list of members of a swarm on all its masters, if machine keeps it. It is made of the
// records alone, so whichever command is the last makes it right. without is a machine that is about to leave.
func (m *Manager) syncList(ctx context.Context, discovery string, conns map[string]*ssh.Client, without string) (written int, errs []error) {
	file, ok := swarmboot.OwnList(discovery)
	if !ok {
		return 0, nil
	}
	txn, err := m.waitCluster(ctx, path.Base(file), lockDeadline)
	if err != nil {
		return 0, []error{err}
	}
	defer func() { _ = txn.Close() }() // nothing is written by it
	swarms, err := m.classicSwarms()
	if err != nil {
		return 0, []error{err}
	}
	i := slices.IndexFunc(swarms, func(s classicSwarm) bool { return s.discovery == discovery })
	if i < 0 {
		return 0, nil
	}
	members := m.listed(swarms[i], without)
	for _, rec := range swarms[i].masters {
		if rec.Name == without || rec.Phase == store.Pending || rec.Phase == store.Created {
			continue
		}
		if err := m.writeList(OnMachine(ctx, rec.Name), rec.Name, conns[rec.Name], file, members); err != nil {
			errs = append(errs, &MachineError{rec.Name, err})
			continue
		}
		written++
	}
	return written, errs
}

// listed are the members of a swarm whose engines were seen to be well.
func (m *Manager) listed(s classicSwarm, without string) []swarmboot.ClassicMember {
	var members []swarmboot.ClassicMember
	for _, rec := range s.agents {
		well := rec.Phase == store.Ready || rec.Phase == store.Provisioned && rec.Problem == nil
		if rec.Name == without || !well {
			continue
		}
		x := &machine{m: m, rec: rec}
		if err := x.open(); err != nil {
			m.Log.Warn("member of the swarm cannot be opened", "machine", rec.Name, "err", err)
			continue
		}
		members = append(members, swarmboot.ClassicMember{Name: rec.Name, Addr: swarmboot.MemberAddr(x.classicAddr(), x.enginePort())})
	}
	return members
}

func (m *Manager) writeList(ctx context.Context, name string, conn *ssh.Client, file string, members []swarmboot.ClassicMember) error {
	return m.Step(ctx, "write the list of members", func(ctx context.Context) error {
		if conn == nil {
			own, err := m.Dial(ctx, name)
			if err != nil {
				return err
			}
			defer own.Close()
			conn = own
		}
		return swarmboot.WriteList(ctx, conn, file, members)
	})
}

// unlist takes a machine that goes off the lists of the masters. One that is not reached shows it as a node that
// does not answer until the list there is written again.
func (m *Manager) unlist(ctx context.Context, x *machine) {
	_, errored := m.syncList(ctx, x.rec.HostOptions.SwarmOptions.Discovery, nil, x.rec.Name)
	for _, err := range errored {
		m.Note(ctx, "a list of members still has the machine: "+err.Error())
	}
}
