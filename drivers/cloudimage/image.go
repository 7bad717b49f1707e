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
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Errors that callers decide on.
var (
	ErrFetch    = errors.New("image cannot be fetched")
	ErrChecksum = errors.New("checksum does not match")
	ErrFormat   = errors.New("not a usable disk image")
	ErrFull     = errors.New("no space left for images")
)

// NoChecksum in place of a checksum says that the user wants an image unverified.
const NoChecksum = "none"

// Image is one published file: one of the catalogue, or one that a user named.
type Image struct {
	Name     string   `json:"name,omitempty"`     // such as debian-12; empty: not of the catalogue
	Summary  string   `json:"summary,omitempty"`  // for a list
	Arch     string   `json:"arch,omitempty"`     // amd64 or arm64
	Format   string   `json:"format,omitempty"`   // qcow2, raw, vmdk, vdi, vhd, vhdx or iso, once unpacked; empty: Get finds out
	Packed   string   `json:"packed,omitempty"`   // xz, gz, bz2, zip, tar.xz, tar.gz or tar.bz2; for a list: Get looks at the file
	URL      string   `json:"url"`                // http, https or file
	Sums     string   `json:"sums,omitempty"`     // URL of the published checksums
	Checksum string   `json:"checksum,omitempty"` // "sha256:HEX" or "sha512:HEX" of the published file, or NoChecksum; empty: see Sums
	User     string   `json:"user,omitempty"`     // the login user that the image has by itself; empty: unknown
	Busybox  bool     `json:"busybox,omitempty"`  // it has no bash, no sudo and no PAM, as Alpine: for seed.Seed.Busybox
	Firmware []string `json:"firmware,omitempty"` // "bios" and "uefi" as it boots with; empty: unknown
	Seed     string   `json:"seed,omitempty"`     // "nocloud" or "configdrive": the disk that tells it who it is
}

// String is what a person calls the image.
func (i Image) String() string {
	if i.Name != "" {
		return i.Name
	}
	return i.base()
}

// base is the name of the published file.
func (i Image) base() string {
	u, err := url.Parse(i.URL)
	if err != nil || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
		return i.URL
	}
	return path.Base(u.Path)
}

//go:embed catalogue.json
var catalogue []byte

// Catalogue returns the images that are known by name, by name, architecture and
// preference of the format.
func Catalogue() []Image {
	var all []Image
	if err := json.Unmarshal(catalogue, &all); err != nil {
		panic(fmt.Sprintf("the catalogue of images: %v", err)) // it is part of the program
	}
	return all
}

// Find returns the image of a name in the first of formats that it is published
// in. Without formats any will do. firmware is what the machine boots with, "bios"
// or "uefi"; none given: any.
func Find(name, arch string, formats []string, firmware ...string) (Image, error) {
	var named, fit []Image
	for _, img := range Catalogue() {
		if img.Name != name {
			continue
		}
		named = append(named, img)
		if img.Arch == arch && img.boots(firmware) {
			fit = append(fit, img)
		}
	}
	if len(formats) == 0 && len(fit) > 0 {
		return fit[0], nil
	}
	for _, format := range formats {
		if i := slices.IndexFunc(fit, func(img Image) bool { return img.Format == format }); i >= 0 {
			return fit[i], nil
		}
	}
	return Image{}, notFound(name, arch, formats, firmware, named)
}

func (i Image) boots(firmware []string) bool {
	return len(firmware) == 0 || len(i.Firmware) == 0 ||
		slices.ContainsFunc(firmware, func(f string) bool { return slices.Contains(i.Firmware, f) })
}

// notFound says why Find has nothing. named are the images of the name.
func notFound(name, arch string, formats, firmware []string, named []Image) error {
	if len(named) == 0 {
		names := Names()
		advice := "the images are " + strings.Join(names, ", ") + "; anything else by its URL, or its path with a slash in it"
		if near := drivers.Nearest(name, names); near != "" {
			advice = "did you mean " + near + "? " + advice
		}
		return &drivers.HintError{Err: fmt.Errorf("%w: there is no image %q", drivers.ErrOption, name), Advice: advice}
	}
	what := name + " for " + arch
	if len(formats) > 0 {
		what += " as " + strings.Join(formats, " or ")
	}
	if len(firmware) > 0 {
		what += " that boots with " + strings.Join(firmware, " or ")
	}
	var there []string
	for _, img := range named {
		there = append(there, fmt.Sprintf("%s %s (%s)", img.Arch, img.Format, strings.Join(img.Firmware, ", ")))
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("%w: there is no image %s", drivers.ErrOption, what),
		Advice: "published are: " + strings.Join(there, "; "),
	}
}

// Names returns the names of the catalogue.
func Names() []string {
	var names []string
	for _, img := range Catalogue() {
		names = append(names, img.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
