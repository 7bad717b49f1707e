// Package localvm is what drivers of hypervisors on this computer do alike: they
// name virtual machines, mark them as a store's, and make their disks.
package localvm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// NewUUID returns a random UUID, of version 4.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// NewMAC returns a random MAC address of a vendor's range, such as 080027AABBCC for
// 080027.
func NewMAC(vendor string) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%s%X", vendor, b[:])
}

// Colons writes 080027AABBCC as 08:00:27:aa:bb:cc.
func Colons(mac string) string {
	var parts []string
	for i := 0; i+1 < len(mac); i += 2 {
		parts = append(parts, strings.ToLower(mac[i:i+2]))
	}
	return strings.Join(parts, ":")
}

// LastOf returns the last address of an IPv4 network, which is its broadcast address.
func LastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// UserData returns the user's own user data: the file that the driver's option names,
// else what the request has.
func UserData(env drivers.Env, option, path string, requested []byte) ([]byte, error) {
	if path == "" {
		return requested, nil
	}
	if requested != nil {
		return nil, &drivers.OptionError{Option: option, Err: errors.New("user data is given twice"), Advice: "leave it or --userdata out"}
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(env.Getenv("HOME"), rest)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &drivers.OptionError{Option: option, Err: err}
	}
	return data, nil
}
