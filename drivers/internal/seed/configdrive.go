package seed

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/drivers/internal/cloudinit"
)

// configDrive is what Flatcar's coreos-cloudinit reads of a disk with the label
// config-2, on any hypervisor and at each boot. Of a cloud-config it knows
// hostname, users, ssh_authorized_keys, write_files and its own coreos:
// https://github.com/flatcar/coreos-cloudinit/blob/master/Documentation/cloud-config.md
func (s Seed) configDrive() (map[string][]byte, error) {
	if err := s.host().Check(); err != nil {
		return nil, err
	}
	config, err := s.coreos()
	if err != nil {
		return nil, err
	}
	user, err := cloudinit.Archive(config, s.UserData)
	if err != nil {
		return nil, err
	}
	keys := map[string]string{}
	if s.User == "" || s.User == core {
		for i, key := range s.Keys {
			keys[fmt.Sprintf("key-%d", i)] = key
		}
	}
	meta, err := encode(map[string]any{"uuid": s.Instance, "name": s.Hostname, "hostname": s.Hostname, "public_keys": keys})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"openstack/latest/meta_data.json": meta, "openstack/latest/user_data": user}, nil
}

const core = "core" // the user that such an image has

// coreos is our cloud-config.
func (s Seed) coreos() ([]byte, error) {
	config := map[string]any{}
	if s.Hostname != "" {
		config["hostname"] = s.Hostname
	}
	if s.User != "" && s.User != core {
		config["users"] = []any{map[string]any{"name": s.User, "groups": []string{"sudo", "docker"}, "shell": "/bin/bash", "ssh_authorized_keys": s.Keys}}
	}
	if s.HostKey != nil {
		public, kind, err := cloudinit.PublicKey(s.HostKey)
		if err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		path := "/etc/ssh/ssh_host_" + kind + "_key"
		config["write_files"] = []any{
			map[string]string{"path": path, "permissions": "0600", "owner": "root:root", "content": string(bytes.TrimSpace(s.HostKey)) + "\n"},
			map[string]string{"path": path + ".pub", "permissions": "0644", "owner": "root:root", "content": public + "\n"},
		}
	}
	var units []any
	for n, i := range s.Network {
		units = append(units, map[string]any{"name": fmt.Sprintf("05-nic%d.network", n), "runtime": true, "content": i.networkd()})
	}
	if units != nil {
		config["coreos"] = map[string]any{"units": units}
	}
	data, err := encode(config)
	return append([]byte("#cloud-config\n"), data...), err
}

// networkd is a unit of systemd-networkd.
func (i Interface) networkd() string {
	var unit strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&unit, format+"\n", args...) }
	line("[Match]\nMACAddress=%s\n\n[Network]", strings.ToLower(i.MAC))
	if i.DHCP {
		line("DHCP=ipv4")
	}
	for _, a := range i.Addresses {
		line("Address=%s", a)
	}
	if i.Gateway.IsValid() {
		line("Gateway=%s", i.Gateway)
	}
	for _, a := range i.DNS {
		line("DNS=%s", a)
	}
	if i.DHCP && i.NoRoute {
		line("\n[DHCPv4]\nUseRoutes=false\nUseDNS=false")
	}
	return unit.String()
}
