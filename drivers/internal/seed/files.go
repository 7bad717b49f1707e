package seed

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/cloudinit"
)

// files returns the content of the disk by path, and its label.
func (s Seed) files(kind string) (files map[string][]byte, label string, err error) {
	if err := s.check(); err != nil {
		return nil, "", fmt.Errorf("seed: %w", err)
	}
	switch kind {
	case KindNoCloud:
		files, err = s.noCloud()
		return files, "cidata", err
	case KindConfigDrive:
		files, err = s.configDrive()
		return files, "config-2", err
	}
	return nil, "", fmt.Errorf("%w: no seed of kind %q is known", drivers.ErrUnsupported, kind)
}

var interfaceName = regexp.MustCompile(`^[a-z][a-z0-9]{0,14}$`)

func (s Seed) check() error {
	if s.Instance == "" {
		return errors.New("no instance id")
	}
	names := map[string]bool{}
	for n, i := range s.Network {
		name := i.name(n)
		if names[name] {
			return fmt.Errorf("two interfaces are called %s", name)
		}
		names[name] = true
		if mac, err := net.ParseMAC(i.MAC); err != nil || len(mac) != 6 {
			return fmt.Errorf("%q is no MAC address", i.MAC)
		}
		if i.Name != "" && !interfaceName.MatchString(i.Name) {
			return fmt.Errorf("%q is no name for an interface", i.Name)
		}
		for _, a := range i.Addresses {
			if !a.IsValid() {
				return fmt.Errorf("interface %s: an address is not valid", i.MAC)
			}
		}
	}
	return nil
}

func (s Seed) host() cloudinit.Seed {
	return cloudinit.Seed{Hostname: s.Hostname, User: s.User, Keys: s.Keys, HostKey: s.HostKey, Busybox: s.Busybox}
}

// vendorData is what cloud-init takes for granted unless the owner says otherwise.
const vendorData = `#cloud-config
{"growpart": {"mode": "auto", "devices": ["/"]}, "resize_rootfs": true}
`

// noCloud is what cloud-init reads of a disk with the label cidata:
// https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html
func (s Seed) noCloud() (map[string][]byte, error) {
	user, err := cloudinit.UserData(s.host(), s.UserData)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"user-data": user, "vendor-data": []byte(vendorData)}
	if files["meta-data"], err = encode(map[string]string{"instance-id": s.Instance, "local-hostname": s.Hostname}); err != nil {
		return nil, err
	}
	if len(s.Network) > 0 {
		if files["network-config"], err = encode(network(s.Network)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// network is a network configuration of version 2:
// https://docs.cloud-init.io/en/latest/reference/network-config-format-v2.html
func network(all []Interface) map[string]any {
	ethernets := map[string]any{}
	for n, i := range all {
		// All but netplan take the key for the interface's name if there is no set-name.
		name := i.name(n)
		e := map[string]any{"match": map[string]string{"macaddress": strings.ToLower(i.MAC)}, "set-name": name, "dhcp4": i.DHCP}
		if i.DHCP && i.NoRoute {
			e["dhcp4-overrides"] = map[string]bool{"use-routes": false, "use-dns": false}
		}
		if len(i.Addresses) > 0 {
			e["addresses"] = i.Addresses
		}
		if i.Gateway.IsValid() {
			to := "0.0.0.0/0"
			if i.Gateway.Is6() {
				to = "::/0"
			}
			e["routes"] = []map[string]string{{"to": to, "via": i.Gateway.String()}}
		}
		if len(i.DNS) > 0 {
			e["nameservers"] = map[string]any{"addresses": i.DNS}
		}
		ethernets[name] = e
	}
	return map[string]any{"version": 2, "ethernets": ethernets}
}

// name is what the nth interface shall be called.
func (i Interface) name(n int) string { return cmp.Or(i.Name, fmt.Sprintf("eth%d", n)) }

// encode writes JSON, which is YAML in which nothing can be injected.
func encode(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write seed: %w", err)
	}
	return append(data, '\n'), nil
}
