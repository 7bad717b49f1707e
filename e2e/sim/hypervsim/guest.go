package hypervsim

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// guest is what an image learns of itself when it boots.
type guest struct {
	hostname string
	userData []byte
	address  netip.Addr
}

// ethernet is an interface of a network configuration of version 2.
type ethernet struct {
	Match     map[string]string `json:"match"`
	DHCP      bool              `json:"dhcp4"`
	Addresses []netip.Prefix    `json:"addresses"`
}

// guest reads the seed of a machine that has one. Its address is static, or one of a
// DHCP server.
func (c *call) guest(m *machine) (guest, error) {
	g := guest{hostname: m.Name}
	dhcp := true // as without any configuration
	files, err := readISO(m.DVD, "meta-data", "user-data", "network-config")
	if err != nil {
		files = nil // it is no seed
	}
	var meta struct {
		Hostname string `json:"local-hostname"`
	}
	if json.Unmarshal(files["meta-data"], &meta) == nil && meta.Hostname != "" {
		g.hostname = meta.Hostname
	}
	g.userData = files["user-data"]
	if text := files["network-config"]; text != nil {
		var config struct {
			Ethernets map[string]ethernet `json:"ethernets"`
		}
		if err := json.Unmarshal(text, &config); err != nil {
			return g, fmt.Errorf("read the network configuration of %s: %w", m.Name, err)
		}
		dhcp = false
		for _, e := range config.Ethernets {
			if !strings.EqualFold(strings.ReplaceAll(e.Match["macaddress"], ":", ""), m.MAC) {
				continue
			}
			dhcp = e.DHCP
			if len(e.Addresses) > 0 {
				g.address = e.Addresses[0].Addr()
			}
		}
	}
	if dhcp && !g.address.IsValid() {
		g.address = c.state.lease(m, c.pool())
	}
	return g, nil
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
	if g.address.IsValid() {
		m.Address = g.address.String()
	}
	hosts := c.box.cfg.Hosts
	switch {
	case hosts == nil:
		return nil
	case m.Launched:
		return hosts.Start(c.ctx, m.ID)
	}
	if err := hosts.Launch(c.ctx, host.Spec{ID: m.ID, Hostname: g.hostname, Private: g.address, User: "debian", UserData: g.userData}); err != nil {
		return fmt.Errorf("launch the host of %s: %w", m.Name, err)
	}
	m.Launched = true
	return nil
}

// halt has the guest stop, at once if hard.
func (c *call) halt(m *machine, hard bool) error {
	if c.box.cfg.Hosts == nil || !m.Launched {
		return nil
	}
	return c.box.cfg.Hosts.Stop(c.ctx, m.ID, hard)
}

// readISO returns files of an ISO 9660 image, those that are there.
func readISO(image string, names ...string) (map[string][]byte, error) {
	back, err := file.OpenFromPath(image, true)
	if err != nil {
		return nil, err
	}
	defer back.Close()
	iso, err := iso9660.Read(back, 0, 0, 2048)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range names {
		if text, err := iso.ReadFile(path.Join(".", name)); err == nil {
			files[name] = text
		}
	}
	return files, nil
}
