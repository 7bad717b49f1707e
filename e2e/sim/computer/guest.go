package computer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// Guest is what an image learns of itself when it boots.
type Guest struct {
	Hostname string
	UserData []byte
	Address  netip.Addr // of the adapter that was asked for; not valid: none is given to it
	DHCP     bool       // that adapter asks for an address
}

// ethernet is an interface of a network configuration of version 2.
type ethernet struct {
	Match     map[string]string `json:"match"`
	DHCP      bool              `json:"dhcp4"`
	Addresses []netip.Prefix    `json:"addresses"`
}

// ReadSeed returns what a machine learns from the disc in its drive, if that is a
// seed. Its name is that of the machine otherwise, and it asks for an address.
func ReadSeed(image, name, mac string) (Guest, error) {
	g := Guest{Hostname: name, DHCP: true}
	files, err := readISO(image, "meta-data", "user-data", "network-config")
	if err != nil {
		return g, nil // it is no seed
	}
	var meta struct {
		Hostname string `json:"local-hostname"`
	}
	if json.Unmarshal(files["meta-data"], &meta) == nil && meta.Hostname != "" {
		g.Hostname = meta.Hostname
	}
	g.UserData = files["user-data"]
	text := files["network-config"]
	if text == nil {
		return g, nil
	}
	var config struct {
		Ethernets map[string]ethernet `json:"ethernets"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return g, fmt.Errorf("read the network configuration of %s: %w", name, err)
	}
	g.DHCP = false
	for _, e := range config.Ethernets {
		if !strings.EqualFold(strings.ReplaceAll(e.Match["macaddress"], ":", ""), mac) {
			continue
		}
		g.DHCP = e.DHCP
		if len(e.Addresses) > 0 {
			g.Address = e.Addresses[0].Addr()
		}
	}
	return g, nil
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

// Hosts are the machines behind virtual machines. Without any of them all run in
// name only.
type Hosts struct{ host.Hosts }

// Boot boots the machine behind a virtual machine, which is launched when it was
// not before.
func (h Hosts) Boot(ctx context.Context, id string, launched *bool, g Guest) error {
	switch {
	case h.Hosts == nil:
		return nil
	case *launched:
		return h.Start(ctx, id)
	}
	s := host.Spec{ID: id, Hostname: g.Hostname, Private: g.Address, User: "debian", UserData: g.UserData}
	if err := h.Launch(ctx, s); err != nil {
		return fmt.Errorf("launch the host of %s: %w", g.Hostname, err)
	}
	*launched = true
	return nil
}

// Cut takes a machine's power.
func (h Hosts) Cut(ctx context.Context, id string, launched bool) error {
	if h.Hosts == nil || !launched {
		return nil
	}
	return h.Stop(ctx, id, true)
}

// Drop removes the machine behind a virtual machine.
func (h Hosts) Drop(ctx context.Context, id string, launched bool) error {
	if h.Hosts == nil || !launched {
		return nil
	}
	if err := h.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove the host of %s: %w", id, err)
	}
	return nil
}

// Down tells whether a machine that should run has shut itself down.
func (h Hosts) Down(ctx context.Context, id string, launched bool) (bool, error) {
	if h.Hosts == nil || !launched {
		return false, nil
	}
	running, err := h.Running(ctx, id)
	if err != nil {
		return false, fmt.Errorf("host of %s: %w", id, err)
	}
	return !running, nil
}

// Address returns the first address from lower to upper that is not taken.
func Address(lower, upper netip.Addr, taken map[string]bool) netip.Addr {
	for a := lower; a.Compare(upper) <= 0; a = a.Next() {
		if !taken[a.String()] {
			return a
		}
	}
	return netip.Addr{}
}
