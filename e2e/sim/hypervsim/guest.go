package hypervsim

import (
	"net/netip"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

// guest reads the seed of a machine that has one.
func (c *call) guest(m *machine) (computer.Guest, error) {
	g, err := computer.ReadSeed(m.DVD, m.Name, m.MAC)
	if err == nil && g.DHCP && !g.Address.IsValid() {
		g.Address = c.state.lease(m, c.pool())
	}
	return g, err
}

// pool is the range that DHCP servers give addresses of.
func (c *call) pool() netip.Prefix {
	if c.box.cfg.Hosts != nil {
		private, _ := c.box.cfg.Hosts.Networks()
		return private
	}
	return netip.MustParsePrefix("172.20.16.0/20")
}

// boot has the guest run: it reads its seed and takes its address.
func (c *call) boot(m *machine) error {
	g, err := c.guest(m)
	if err != nil {
		return err
	}
	m.Address = ""
	if g.Address.IsValid() {
		m.Address = g.Address.String()
	}
	return c.box.hosts().Boot(c.ctx, m.ID, &m.Launched, g)
}
