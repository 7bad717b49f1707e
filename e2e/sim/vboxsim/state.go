package vboxsim

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
)

// state is all that a VirtualBox home holds.
type state struct {
	Machines []*machine        `json:"machines"` // in the order of their making
	Media    []*medium         `json:"media"`
	Adapters []*adapter        `json:"adapters"`
	Nets     []*hostNet        `json:"nets"`
	DHCP     []*dhcp           `json:"dhcp"`
	Extra    map[string]string `json:"extra"`
	Serial   int               `json:"serial"`
}

type machine struct {
	UUID        string            `json:"uuid"`
	Name        string            `json:"name"`
	Config      string            `json:"config"`
	Arch        string            `json:"arch"` // x86 or ARM
	OSType      string            `json:"osType"`
	State       string            `json:"state"` // in the words of showvminfo --machinereadable
	Since       string            `json:"since"`
	Settings    map[string]string `json:"settings"` // by option of modifyvm
	NICs        map[int]*nic      `json:"nics"`
	Controllers []*controller     `json:"controllers"`
	Slots       map[string]*slot  `json:"slots"` // by CONTROLLER-PORT-DEVICE
	Shares      map[string]string `json:"shares"`
	Launched    bool              `json:"launched"` // there is a host behind it
	Leases      map[string]string `json:"leases"`   // address by MAC address
}

type nic struct {
	Kind    string   `json:"kind"` // none, nat, hostonly, hostonlynetwork, bridged
	Type    string   `json:"type"`
	MAC     string   `json:"mac"`
	Adapter string   `json:"adapter"`
	Promisc string   `json:"promisc"`
	Rules   []string `json:"rules"`
}

type controller struct {
	Name  string `json:"name"`
	Bus   string `json:"bus"`
	Kind  string `json:"kind"`
	Ports int    `json:"ports"`
}

type slot struct {
	Controller   string `json:"controller"`
	Port, Device int
	Kind         string `json:"kind"`   // hdd, dvddrive
	Medium       string `json:"medium"` // UUID; empty: a drive without one
}

type medium struct {
	UUID   string `json:"uuid"`
	Kind   string `json:"kind"` // disk or dvd
	Path   string `json:"path"`
	Format string `json:"format"`
}

type adapter struct {
	Name, GUID, IP, Mask string
}

type hostNet struct {
	Name, GUID, Mask, Lower, Upper string
	Disabled                       bool
}

type dhcp struct {
	Network, IP, Mask, Lower, Upper string
	Enabled                         bool
}

func (s *state) machine(id string) *machine {
	for _, m := range s.Machines {
		if m.UUID == id {
			return m
		}
	}
	for _, m := range s.Machines { // of several with one name, the first
		if m.Name == id {
			return m
		}
	}
	return nil
}

func (s *state) medium(id string) *medium {
	for _, m := range s.Media {
		if m.UUID == id || m.Path == id {
			return m
		}
	}
	return nil
}

func (s *state) adapter(name string) *adapter {
	for _, a := range s.Adapters {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func (s *state) server(network string) *dhcp {
	for _, d := range s.DHCP {
		if d.Network == network {
			return d
		}
	}
	return nil
}

// users returns the machines that a medium is attached to.
func (s *state) users(uuid string) []*machine {
	var all []*machine
	for _, m := range s.Machines {
		for _, slot := range m.Slots {
			if slot.Medium == uuid {
				all = append(all, m)
				break
			}
		}
	}
	return all
}

// lost tells whether a machine's settings cannot be read. Those of one that runs are
// in the memory of VirtualBox's server.
func (m *machine) lost() bool {
	if m.running() {
		return false
	}
	_, err := os.Stat(m.Config)
	return err != nil
}

func (m *machine) running() bool { return m.State == "running" || m.State == "paused" }

// refresh notes which guests have shut themselves down.
func (s *state) refresh(ctx context.Context, hosts computer.Hosts) error {
	for _, m := range s.Machines {
		if m.State != "running" {
			continue
		}
		down, err := hosts.Down(ctx, m.UUID, m.Launched)
		if err != nil {
			return err
		}
		if down {
			m.State = "poweroff"
		}
	}
	return nil
}

func (s *state) ledger() []sim.Resource {
	var all []sim.Resource
	for _, m := range s.Machines {
		all = append(all, sim.Resource{Kind: KindMachine, ID: m.UUID, Name: m.Name})
	}
	for _, m := range s.Media {
		all = append(all, sim.Resource{Kind: KindMedium, ID: m.UUID, Name: m.Path})
	}
	for _, a := range s.Adapters {
		all = append(all, sim.Resource{Kind: KindAdapter, ID: a.Name, Name: a.IP})
	}
	for _, n := range s.Nets {
		all = append(all, sim.Resource{Kind: KindNet, ID: n.Name})
	}
	for _, d := range s.DHCP {
		all = append(all, sim.Resource{Kind: KindDHCP, ID: d.Network})
	}
	return computer.Sorted(all)
}

func (s *state) vanish(ctx context.Context, hosts computer.Hosts, kind, id string) error {
	switch kind {
	case KindMachine:
		m := s.machine(id)
		if m == nil {
			return sim.ErrUnknown
		}
		return s.drop(ctx, hosts, m, false)
	case KindMedium:
		m := s.medium(id)
		if m == nil {
			return sim.ErrUnknown
		}
		for _, user := range s.users(m.UUID) {
			for key, slot := range user.Slots {
				if slot.Medium == m.UUID {
					delete(user.Slots, key)
				}
			}
		}
		s.Media = slices.DeleteFunc(s.Media, func(x *medium) bool { return x == m })
		return remove(m.Path)
	case KindAdapter:
		s.Adapters = slices.DeleteFunc(s.Adapters, func(a *adapter) bool { return a.Name == id })
	case KindNet:
		s.Nets = slices.DeleteFunc(s.Nets, func(n *hostNet) bool { return n.Name == id })
	case KindDHCP:
		s.DHCP = slices.DeleteFunc(s.DHCP, func(d *dhcp) bool { return d.Network == id })
	default:
		return sim.ErrUnknown
	}
	return nil
}

// drop unregisters a machine. With wipe its disks and settings are deleted; the
// media of its drives stay known in either case.
func (s *state) drop(ctx context.Context, hosts computer.Hosts, m *machine, wipe bool) error {
	if err := hosts.Drop(ctx, m.UUID, m.Launched); err != nil {
		return err
	}
	s.Machines = slices.DeleteFunc(s.Machines, func(x *machine) bool { return x == m })
	for _, slot := range m.Slots {
		if slot.Kind != "hdd" || slot.Medium == "" {
			continue
		}
		disk := s.medium(slot.Medium)
		if disk == nil || len(s.users(disk.UUID)) > 0 {
			continue
		}
		s.Media = slices.DeleteFunc(s.Media, func(x *medium) bool { return x == disk })
		if wipe {
			if err := remove(disk.Path); err != nil {
				return err
			}
		}
	}
	if err := remove(m.Config); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(m.Config)) // unless somebody else wrote there
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
