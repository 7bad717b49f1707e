// Package cloudimage knows the disk images that distributions publish for virtual
// machines, and keeps the ones that were asked for: downloaded once, verified,
// unpacked and shared by all machines of a store. It knows nothing of hypervisors.
package cloudimage

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Errors that callers decide on.
var (
	ErrChecksum = errors.New("checksum does not match")
	ErrFetch    = errors.New("image cannot be fetched")
	ErrFormat   = errors.New("not a usable disk image")
)

// NoChecksum as a checksum says that the user wants an image unverified.
const NoChecksum = "none"

// Image is one published file: one of the catalogue, or one that a user named.
type Image struct {
	Name     string   `json:"name,omitempty"`     // such as debian-12; empty: not of the catalogue
	Summary  string   `json:"summary,omitempty"`  // for a list
	Arch     string   `json:"arch"`               // amd64 or arm64
	Format   string   `json:"format,omitempty"`   // qcow2, raw, vmdk, vdi, vhd, vhdx or iso, once unpacked; empty: Get finds out
	Packed   string   `json:"packed,omitempty"`   // xz, gz, bz2 or zip; empty: not packed
	URL      string   `json:"url"`                // http, https or file
	Sums     string   `json:"sums,omitempty"`     // URL of the published checksums
	Checksum string   `json:"checksum,omitempty"` // "sha256:HEX" or "sha512:HEX" of the published file, or NoChecksum; empty: see Sums
	User     string   `json:"user,omitempty"`     // the login user that the image has by itself; empty: unknown
	Busybox  bool     `json:"busybox,omitempty"`  // it has no bash and no PAM, as Alpine: for seed.Seed.Busybox
	Firmware []string `json:"firmware,omitempty"` // "bios" and "uefi" as it boots with; empty: unknown
	Seed     string   `json:"seed,omitempty"`     // "nocloud" or "configdrive": the disk that tells it who it is
}

//go:embed catalogue.json
var catalogue []byte

// Catalogue returns the images that are known by name, by name, architecture and
// preference of the format.
func Catalogue() []Image {
	var all []Image
	if err := json.Unmarshal(catalogue, &all); err != nil {
		panic(err) // a test reads it
	}
	return all
}

// Find returns the image of a name in the first of formats that it is published
// in. Without formats any will do. firmware is what the machine boots with, "bios"
// or "uefi"; none given: any.
func Find(name, arch string, formats []string, firmware ...string) (Image, error) {
	all := Catalogue()
	for _, format := range append(slices.Clone(formats), "") {
		for _, img := range all {
			if img.Name == name && img.Arch == arch && (format == img.Format || format == "" && len(formats) == 0) {
				return img, nil
			}
		}
	}
	return Image{}, fmt.Errorf("%w: no image %q for %s", drivers.ErrOption, name, arch)
}

// Parse returns the image that value stands for: a NAME of the catalogue, a URL or
// a PATH. checksum is that of the published file, with or without "sha256:" or
// "sha512:", or NoChecksum; empty for an image of the catalogue and for a user's
// own that is taken as it is.
func Parse(value, checksum, arch string, formats []string, firmware ...string) (Image, error) {
	if strings.Contains(value, "://") {
		u, err := url.Parse(value)
		if err != nil {
			return Image{}, fmt.Errorf("%w: image: %w", drivers.ErrOption, err)
		}
		return own(u, checksum, arch), nil
	}
	if strings.ContainsAny(value, `/\`) {
		abs, err := filepath.Abs(value)
		if err != nil {
			return Image{}, fmt.Errorf("%w: image: %w", drivers.ErrOption, err)
		}
		return own(&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}, checksum, arch), nil
	}
	return Find(value, arch, formats)
}

func own(u *url.URL, checksum, arch string) Image {
	img := Image{Arch: arch, URL: u.String(), Checksum: checksum, Seed: "nocloud"}
	img.Format = strings.TrimPrefix(path.Ext(u.Path), ".")
	return img
}
