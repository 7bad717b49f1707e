package azure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
)

// Architectures, as the SDK calls them.
const (
	x64   = "x64"
	arm64 = "Arm64"
)

// latest is the version that Azure chooses.
const latest = "latest"

// urn is an image of the marketplace, or an image by its id.
type urn struct {
	publisher, offer, sku, version string
	id                             string
	alias                          bool
}

func (u urn) String() string {
	if u.id != "" {
		return u.id
	}
	return strings.Join([]string{u.publisher, u.offer, u.sku, u.version}, ":")
}

// aliases returns the images that have a short name, by architecture. All are of
// generation 2.
func aliases() map[string]map[string]string {
	return map[string]map[string]string{
		"ubuntu-24.04": {x64: "Canonical:ubuntu-24_04-lts:server", arm64: "Canonical:ubuntu-24_04-lts:server-arm64"},
		"ubuntu-22.04": {x64: "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2", arm64: "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-arm64"},
		"debian-13":    {x64: "Debian:debian-13:13-gen2", arm64: "Debian:debian-13:13-arm64"},
		"debian-12":    {x64: "Debian:debian-12:12-gen2", arm64: "Debian:debian-12:12-arm64"},
		"almalinux-9":  {x64: "almalinux:almalinux-x86_64:9-gen2", arm64: "almalinux:almalinux-arm:9-arm-gen2"},
		"rocky-9":      {x64: "resf:rockylinux-x86_64:9-base", arm64: "resf:rockylinux-aarch64:rockylinux-aarch64-9"},
	}
}

func imageAdvice() string {
	return "one of " + strings.Join(slices.Sorted(maps.Keys(aliases())), ", ") + ", or PUBLISHER:OFFER:SKU:VERSION, or the id of an image"
}

// parseImage reads an image; an alias is the one for x64 until the size is known.
func parseImage(s string) (urn, error) {
	if strings.HasPrefix(s, "/") {
		return urn{id: s}, nil
	}
	if byArch, ok := aliases()[strings.ToLower(s)]; ok {
		u, err := parseImage(byArch[x64])
		u.alias = true
		return u, err
	}
	w := strings.Split(s, ":")
	if len(w) == 3 {
		w = append(w, latest)
	}
	if len(w) != 4 || slices.Contains(w, "") {
		return urn{}, fmt.Errorf("%q is no image", s)
	}
	return urn{publisher: w[0], offer: w[1], sku: w[2], version: w[3]}, nil
}

// parsePlan reads PUBLISHER:PRODUCT:NAME.
func parsePlan(s string) (*armcompute.Plan, error) {
	if s == "" {
		return nil, nil
	}
	w := strings.Split(s, ":")
	if len(w) != 3 || slices.Contains(w, "") {
		return nil, fmt.Errorf("%q is not PUBLISHER:PRODUCT:NAME", s)
	}
	return &armcompute.Plan{Publisher: &w[0], Product: &w[1], Name: &w[2]}, nil
}

// image is what is known of an image.
type image struct {
	urn     urn // with the exact version
	arch    string
	gen2    bool
	trusted bool // trusted launch is known to work
	plan    *armcompute.Plan
}

// image resolves an image for an architecture.
func (a *account) image(ctx context.Context, location, name, arch string) (image, error) {
	u, err := parseImage(name)
	if err != nil {
		return image{}, fmt.Errorf("%w: %w", drivers.ErrOption, err)
	}
	if u.id != "" {
		return image{urn: u, arch: arch}, nil
	}
	if byArch, ok := aliases()[strings.ToLower(name)]; ok {
		if u, err = parseImage(byArch[arch]); err != nil {
			return image{}, err
		}
		u.alias = true
	}
	return a.known.images.Get(ctx, location+" "+arch+" "+u.String(), func(ctx context.Context) (image, error) { return a.askImage(ctx, location, u, arch) })
}

func (a *account) askImage(ctx context.Context, location string, u urn, arch string) (image, error) {
	what := "look for image " + u.String() + " in " + location
	if u.version == latest {
		found, err := call(a.curious(ctx), a, what, func(ctx context.Context) (armcompute.VirtualMachineImagesClientListResponse, error) {
			return a.images.List(ctx, location, u.publisher, u.offer, u.sku, nil)
		})
		if spared(err) {
			return unknown(u, arch), nil
		}
		if err != nil {
			return image{}, err
		}
		var versions []string
		for _, v := range found.VirtualMachineImageResourceArray {
			if v != nil && v.Name != nil {
				versions = append(versions, *v.Name)
			}
		}
		if len(versions) == 0 {
			return image{}, &drivers.HintError{Err: fmt.Errorf("%s: %w: it has no versions there", what, drivers.ErrNotFound), Advice: imageAdvice()}
		}
		u.version = slices.MaxFunc(versions, compareVersions)
	}
	got, err := call(a.curious(ctx), a, what, func(ctx context.Context) (armcompute.VirtualMachineImagesClientGetResponse, error) {
		return a.images.Get(ctx, location, u.publisher, u.offer, u.sku, u.version, nil)
	})
	if spared(err) {
		return unknown(u, arch), nil
	}
	if err != nil {
		return image{}, err
	}
	return describe(u, got.Properties, arch), nil
}

// unknown is an image whose catalogue cannot be read: Azure says at the create
// what does not fit.
func unknown(u urn, arch string) image { return image{urn: u, arch: arch} }

// describe reads what the catalogue says of an image.
func describe(u urn, p *armcompute.VirtualMachineImageProperties, arch string) image {
	i := image{urn: u, arch: arch}
	if p == nil {
		return i
	}
	if p.Architecture != nil {
		i.arch = string(*p.Architecture)
	}
	i.gen2 = p.HyperVGeneration != nil && *p.HyperVGeneration == armcompute.HyperVGenerationTypesV2
	i.trusted = i.gen2 && u.alias && len(p.Features) == 0 && i.arch == x64
	for _, f := range p.Features {
		if f != nil && f.Name != nil && f.Value != nil && *f.Name == "SecurityType" && strings.Contains(*f.Value, "TrustedLaunch") {
			i.trusted = i.gen2
		}
	}
	if p.Plan != nil {
		i.plan = &armcompute.Plan{Publisher: p.Plan.Publisher, Product: p.Plan.Product, Name: p.Plan.Name}
	}
	return i
}

// compareVersions compares the numbers between the dots.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		m, errX := strconv.ParseUint(x, 10, 64)
		n, errY := strconv.ParseUint(y, 10, 64)
		if errX != nil || errY != nil {
			return strings.Compare(x, y)
		}
		if m < n {
			return -1
		}
		if m > n {
			return 1
		}
		return 0
	})
}

// reference returns the image in the SDK's words.
func (u urn) reference() *armcompute.ImageReference {
	lower := strings.ToLower(u.id)
	switch {
	case strings.HasPrefix(lower, "/communitygalleries/"):
		return &armcompute.ImageReference{CommunityGalleryImageID: &u.id}
	case strings.HasPrefix(lower, "/sharedgalleries/"):
		return &armcompute.ImageReference{SharedGalleryImageID: &u.id}
	case u.id != "":
		return &armcompute.ImageReference{ID: &u.id}
	}
	return &armcompute.ImageReference{Publisher: &u.publisher, Offer: &u.offer, SKU: &u.sku, Version: &u.version}
}
