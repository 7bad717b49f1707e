package azure

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
)

// size is what is known of a size of virtual machines in a location.
type size struct {
	name        string
	arch        string
	gen2        bool
	trusted     bool // trusted launch is not excluded
	accelerated bool // networking can be
	unspot      bool // not to be had as spare capacity
	cpus        int
	zones       []string // that have it
	refused     string   // why it is not to be had in the location; empty: it is
}

// sizes returns the sizes of a location by lower-case name.
func (a *account) sizes(ctx context.Context, location string) (map[string]size, error) {
	return a.known.sizes.Get(ctx, location, func(ctx context.Context) (map[string]size, error) { return a.askSizes(ctx, location) })
}

func (a *account) askSizes(ctx context.Context, location string) (map[string]size, error) {
	filter := fmt.Sprintf("location eq '%s'", location)
	all := map[string]size{}
	pager := a.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: &filter})
	for pager.More() {
		page, err := pager.NextPage(a.curious(ctx))
		if err = a.fault(ctx, "list sizes of "+location, err); spared(err) || errors.Is(err, drivers.ErrNotFound) {
			return nil, nil // no catalogue: Azure says at the create what it does not have
		}
		if err != nil {
			return nil, err
		}
		for _, s := range page.Value {
			if s != nil && s.Name != nil && s.ResourceType != nil && same(*s.ResourceType, "virtualMachines") && covers(s.Locations, location) {
				all[strings.ToLower(*s.Name)] = readSize(s, location)
			}
		}
	}
	return all, nil
}

func readSize(s *armcompute.ResourceSKU, location string) size {
	z := size{name: *s.Name, arch: guessArch(*s.Name), gen2: true, trusted: true}
	for _, c := range s.Capabilities {
		if c == nil || c.Name == nil || c.Value == nil {
			continue
		}
		switch *c.Name {
		case "CpuArchitectureType":
			z.arch = *c.Value
		case "HyperVGenerations":
			z.gen2 = strings.Contains(*c.Value, "V2")
		case "TrustedLaunchDisabled":
			z.trusted = !same(*c.Value, "True")
		case "AcceleratedNetworkingEnabled":
			z.accelerated = same(*c.Value, "True")
		case "LowPriorityCapable":
			z.unspot = same(*c.Value, "False")
		case "vCPUs":
			z.cpus, _ = strconv.Atoi(*c.Value)
		}
	}
	for _, l := range s.LocationInfo {
		if l != nil && l.Location != nil && same(normal(*l.Location), location) {
			z.zones = append(z.zones, values(l.Zones)...)
		}
	}
	for _, r := range s.Restrictions {
		if r == nil || r.Type == nil {
			continue
		}
		reason := ""
		if r.ReasonCode != nil {
			reason = string(*r.ReasonCode)
		}
		if r.RestrictionInfo != nil && !covers(r.RestrictionInfo.Locations, location) {
			continue
		}
		switch *r.Type {
		case armcompute.ResourceSKURestrictionsTypeLocation:
			z.refused = reason
		case armcompute.ResourceSKURestrictionsTypeZone:
			if r.RestrictionInfo != nil {
				z.zones = slices.DeleteFunc(z.zones, func(zone string) bool { return slices.Contains(values(r.RestrictionInfo.Zones), zone) })
			}
		}
	}
	return z
}

// covers tells whether locations have one among them; none at all are any.
func covers(locations []*string, location string) bool {
	all := values(locations)
	return len(all) == 0 || slices.ContainsFunc(all, func(l string) bool { return same(normal(l), location) })
}

func values(all []*string) (list []string) {
	for _, s := range all {
		if s != nil {
			list = append(list, *s)
		}
	}
	return list
}

// armSize matches the sizes whose additive features have a p, for ARM processors.
var armSize = regexp.MustCompile(`(?i)^Standard_[A-Z]+\d+(-\d+)?[a-z]*p[a-z]*_`)

func guessArch(name string) string {
	if armSize.MatchString(name) {
		return arm64
	}
	return x64
}

// cpuCount is the number of processors in a size's name.
var cpuCount = regexp.MustCompile(`(?i)^Standard_[A-Z]+(\d+)`)

func guessCPUs(name string) int {
	found := cpuCount.FindStringSubmatch(name)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// size returns what is known of a size, and refuses one that is not to be had.
func (a *account) size(ctx context.Context, location, name, zone string) (size, error) {
	all, err := a.sizes(ctx, location)
	if err != nil {
		return size{}, err
	}
	if len(all) == 0 {
		return size{name: name, arch: guessArch(name), gen2: true, trusted: true}, nil
	}
	z, ok := all[strings.ToLower(name)]
	kind, problem := drivers.ErrCapacity, ""
	switch {
	case !ok:
		kind, problem = drivers.ErrNotFound, "there is none of the name there"
		z = size{arch: guessArch(name), cpus: guessCPUs(name)}
	case z.refused != "":
		problem = "it is not for this subscription there (" + z.refused + ")"
	case zone != "" && !slices.Contains(z.zones, zone):
		problem = "it is not in zone " + zone
		if len(z.zones) > 0 {
			problem += ", but in " + strings.Join(z.zones, ", ")
		}
	default:
		return z, nil
	}
	return size{}, &drivers.HintError{
		Err:    fmt.Errorf("use size %s in %s: %w: %s", name, location, kind, problem),
		Advice: offer(all, z, zone),
	}
}

// offer names sizes that are to be had instead: of the same processor and as
// many of them, small ones first.
func offer(all map[string]size, instead size, zone string) string {
	var fit []size
	for _, z := range all {
		if z.refused == "" && z.gen2 && (instead.arch == "" || z.arch == instead.arch) && (zone == "" || slices.Contains(z.zones, zone)) &&
			z.name != instead.name && z.cpus >= max(instead.cpus, 1) {
			fit = append(fit, z)
		}
	}
	slices.SortFunc(fit, func(x, y size) int {
		if x.cpus != y.cpus {
			return x.cpus - y.cpus
		}
		return strings.Compare(x.name, y.name)
	})
	if len(fit) == 0 {
		return "try another --azure-location or --azure-zone"
	}
	names := make([]string, 0, 5)
	for _, z := range fit[:min(len(fit), 5)] {
		names = append(names, z.name)
	}
	return "such sizes are to be had there: " + strings.Join(names, ", ") + "; az vm list-skus shows all"
}
