// Package seed makes the small disk that tells a cloud image, at its first boot,
// who it is.
package seed

import (
	"net/netip"
)

// The kinds of disks that images read.
const (
	KindNoCloud     = "nocloud"     // cloud-init's own
	KindConfigDrive = "configdrive" // OpenStack's, read by images such as Flatcar
)

// Seed is what a host gets at birth.
type Seed struct {
	Instance string      // identifies the host's life: with another one, the image takes itself for new
	Hostname string      // without a domain
	User     string      // the login user with sudo rights
	Keys     []string    // authorized_keys lines that may log in as User
	HostKey  []byte      // the SSH host key to present, an OpenSSH private key in PEM; nil: the host makes its own
	UserData []byte      // the owner's own; nil: none
	Busybox  bool        // the image has no bash, no sudo and no PAM, as Alpine
	Network  []Interface // empty: as the image does by itself, which is DHCP
}

// Interface is a network interface of the host, known by its MAC address.
type Interface struct {
	Name      string         // what the host shall call it; empty: eth and its place in the list
	MAC       string         // such as 52:54:00:12:34:56
	DHCP      bool           // IPv4 by DHCP
	Addresses []netip.Prefix // static ones, besides or instead of DHCP
	Gateway   netip.Addr     // of the default route; invalid: none
	DNS       []netip.Addr   // resolvers
	NoRoute   bool           // the route and the resolvers that DHCP offers are not taken
}

// Write makes the disk at path, an ISO 9660 image, in one step: what was there is
// replaced when all is written. kind is the image's. The same seed gives the same
// bytes. Work in progress is in path's folder, and left there by a process that is
// killed until the next Write.
func Write(path, kind string, s Seed) error {
	files, label, err := s.files(kind)
	if err != nil {
		return err
	}
	return writeISO(path, label, files)
}
