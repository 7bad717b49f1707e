package hypervsim

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
)

// defaultSwitch is the id that Windows gives to its Default Switch.
const defaultSwitch = "c08cb7b8-9b3c-408e-8e30-5e16a3aeb444"

// state is all that a computer has.
type state struct {
	Machines []*machine `json:"machines"` // in the order of their making
	Switches []*vswitch `json:"switches"`
	Nats     []*nat     `json:"nats"`
	Serial   int        `json:"serial"`
}

type machine struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Path       string `json:"path"`
	Generation int    `json:"generation"`
	State      string `json:"state"`
	Notes      string `json:"notes"`
	Memory     int64  `json:"memory"`
	Processors int    `json:"processors"`
	MAC        string `json:"mac"`
	VLAN       int    `json:"vlan"`
	Switch     string `json:"switch"` // id
	Disk       string `json:"disk"`
	DVD        string `json:"dvd"`
	SecureBoot bool   `json:"secureBoot"`
	Address    string `json:"address"` // that the guest has
	Lease      string `json:"lease"`   // by DHCP, the last one
	Launched   bool   `json:"launched"`
}

type vswitch struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Notes     string   `json:"notes"`
	Addresses []string `json:"addresses"`
}

type nat struct {
	Name   string `json:"name"`
	Subnet string `json:"subnet"`
}

func (s *state) complete(cfg Config) {
	if s.Serial == 0 && !cfg.Server {
		s.Switches = append(s.Switches, &vswitch{ID: defaultSwitch, Name: "Default Switch", Type: "Internal", Addresses: []string{"172.20.16.1/20"}})
	}
	if s.Serial == 0 {
		s.Serial = 1
	}
}

func (s *state) machine(id string) *machine {
	for _, m := range s.Machines {
		if strings.EqualFold(m.ID, id) {
			return m
		}
	}
	return nil
}

func (s *state) vswitch(id string) *vswitch {
	for _, v := range s.Switches {
		if strings.EqualFold(v.ID, id) {
			return v
		}
	}
	return nil
}

// refresh notes which guests have shut themselves down.
func (s *state) refresh(ctx context.Context, hosts computer.Hosts) error {
	for _, m := range s.Machines {
		if m.State != "Running" {
			continue
		}
		down, err := hosts.Down(ctx, m.ID, m.Launched)
		if err != nil {
			return err
		}
		if down {
			m.State = "Off"
		}
	}
	return nil
}

func (s *state) ledger() []sim.Resource {
	var all []sim.Resource
	for _, m := range s.Machines {
		all = append(all, sim.Resource{Kind: KindMachine, ID: m.ID, Name: m.Name})
	}
	for _, v := range s.Switches {
		if v.ID != defaultSwitch {
			all = append(all, sim.Resource{Kind: KindSwitch, ID: v.ID, Name: v.Name})
		}
	}
	for _, n := range s.Nats {
		all = append(all, sim.Resource{Kind: KindNat, ID: n.Name, Name: n.Subnet})
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
		return s.drop(ctx, hosts, m)
	case KindSwitch:
		s.dropSwitch(id)
	case KindNat:
		s.Nats = slices.DeleteFunc(s.Nats, func(n *nat) bool { return n.Name == id })
	default:
		return sim.ErrUnknown
	}
	return nil
}

func (s *state) dropSwitch(id string) {
	s.Switches = slices.DeleteFunc(s.Switches, func(v *vswitch) bool { return v.ID == id })
	for _, m := range s.Machines {
		if m.Switch == id {
			m.Switch = ""
		}
	}
}

// drop removes a machine and its settings.
func (s *state) drop(ctx context.Context, hosts computer.Hosts, m *machine) error {
	if err := hosts.Drop(ctx, m.ID, m.Launched); err != nil {
		return err
	}
	s.Machines = slices.DeleteFunc(s.Machines, func(x *machine) bool { return x == m })
	_ = os.Remove(m.settings())
	_ = os.Remove(filepath.Dir(m.settings())) // unless somebody else wrote there
	_ = os.Remove(m.Path)
	return nil
}

// settings is the file that holds a machine's settings.
func (m *machine) settings() string {
	return filepath.Join(m.Path, "Virtual Machines", strings.ToUpper(m.ID)+".vmcx")
}

// lease gives a machine an address of the DHCP server on its switch, if there is one.
func (s *state) lease(m *machine, pool netip.Prefix) netip.Addr {
	v := s.vswitch(m.Switch)
	if v == nil || v.ID != defaultSwitch && v.Type != "External" {
		return netip.Addr{}
	}
	taken := map[string]bool{}
	for _, other := range s.Machines {
		taken[other.Address], taken[other.Lease] = true, true
	}
	if a, err := netip.ParseAddr(m.Lease); err == nil && pool.Contains(a) {
		return a
	}
	lower := pool.Masked().Addr()
	for range 20 {
		lower = lower.Next()
	}
	upper := lower
	for next := upper.Next(); pool.Contains(next); next = next.Next() {
		upper = next
	}
	a := computer.Address(lower, upper, taken)
	if a.IsValid() {
		m.Lease = a.String()
	}
	return a
}
