package azure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Tags of all that the driver makes.
const (
	tagStore   = "machine-store"
	tagMachine = "machine-name"
	tagCreator = "machine-creator"
	tagPrefix  = "machine-" // users' own tags do not begin with it
)

// Ends of the names of a machine's parts.
const (
	endNIC      = "-nic"
	endFirewall = "-nsg"
	endIP       = "-ip"
	endIP6      = "-ip6"
	endDisk     = "-disk"
)

// Types of resources.
const (
	typeVM       = "Microsoft.Compute/virtualMachines"
	typeDisk     = "Microsoft.Compute/disks"
	typeSet      = "Microsoft.Compute/availabilitySets"
	typeNIC      = "Microsoft.Network/networkInterfaces"
	typeIP       = "Microsoft.Network/publicIPAddresses"
	typeFirewall = "Microsoft.Network/networkSecurityGroups"
	typeMembers  = "Microsoft.Network/applicationSecurityGroups"
	typeNetwork  = "Microsoft.Network/virtualNetworks"
	typeGroup    = "Microsoft.Resources/resourceGroups"
)

// longestName is Azure's limit for virtual machines.
const longestName = 64

// store is the beginning of the store's id, in names.
func (d *driver) store() string { return fmt.Sprintf("%.8s", d.env.StoreID) }

// name is what the machine's virtual machine is called, and what the names of its parts begin with.
func (d *driver) name() string {
	if name := d.state.Value.Legacy; name != "" {
		return name
	}
	name := d.env.Machine
	if room := longestName - 1 - len(d.store()); len(name) > room {
		sum := sha256.Sum256([]byte(name))
		name = name[:room-9] + "-" + hex.EncodeToString(sum[:4])
	}
	return name + "-" + d.store()
}

// hostname is the machine's name as a host may be called.
func (d *driver) hostname() string {
	name := strings.NewReplacer("_", "-", ".", "-").Replace(d.env.Machine)
	return strings.Trim(fmt.Sprintf("%.63s", name), "-")
}

// group is the resource group of the machine.
func (d *driver) group() string {
	if g := d.state.Value.Group; g != "" {
		return g
	}
	if d.cfg.Group != "" {
		return d.cfg.Group
	}
	return d.defaultGroup()
}

func (d *driver) defaultGroup() string { return "docker-machine-" + d.store() }

// networkName is the resource group and the name of the virtual network.
func (d *driver) networkName() (group, name string) {
	if d.cfg.VNet == "" {
		return d.group(), fmt.Sprintf("docker-machine-%s-%s", d.store(), d.cfg.Location)
	}
	group, name = splitName(d.cfg.VNet)
	if group == "" {
		group = d.group()
	}
	return group, name
}

// id returns the id of a resource in a resource group.
func id(subscription, group, kind, name string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/%s/%s", subscription, group, kind, name)
}

func groupID(subscription, group string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s", subscription, group)
}

// part is a resource taken from its id.
type part struct{ subscription, group, kind, name, child string }

// parseID takes an id apart; a resource group has no kind and no name.
func parseID(id string) (part, error) {
	w := strings.Split(strings.TrimPrefix(id, "/"), "/")
	if len(w) < 4 || !same(w[0], "subscriptions") || !same(w[2], "resourceGroups") {
		return part{}, fmt.Errorf("%q is no id of a resource", id)
	}
	p := part{subscription: w[1], group: w[3]}
	switch {
	case len(w) == 4:
	case len(w) >= 8 && same(w[4], "providers"):
		p.kind, p.name = w[5]+"/"+w[6], w[7]
		if len(w) == 10 {
			p.child = w[9]
		}
	default:
		return part{}, fmt.Errorf("%q is no id of a resource", id)
	}
	return p, nil
}

// tags returns the tags of what is made for the machine.
func (d *driver) tags() map[string]*string {
	tags := d.sharedTags()
	tags[tagMachine] = &d.env.Machine
	return tags
}

// sharedTags returns the tags of what the machines of the store share.
func (d *driver) sharedTags() map[string]*string {
	tags, _ := parseTags(d.cfg.Tags) // validated
	if tags == nil {
		tags = map[string]*string{}
	}
	tags[tagStore], tags[tagCreator] = &d.env.StoreID, &d.env.Creator
	return tags
}

// parseTags reads NAME=VALUE.
func parseTags(words []string) (map[string]*string, error) {
	tags := map[string]*string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("%q is not NAME=VALUE", w)
		case strings.HasPrefix(strings.ToLower(name), tagPrefix):
			return nil, fmt.Errorf("names that begin with %s are the program's own: %q", tagPrefix, w)
		case strings.ContainsAny(name, `<>%&\?/`):
			return nil, fmt.Errorf("%q: a name has none of < > %% & \\ ? /", w)
		case len(name) > 512 || len(value) > 256:
			return nil, fmt.Errorf("%.40q is too long: 512 characters for the name and 256 for the value at most", w)
		}
		tags[name] = &value
	}
	return tags, nil
}

// ours tells whether tags are those of this store.
func (d *driver) ours(tags map[string]*string) bool {
	if d.state.Value.Legacy != "" { // docker-machine set none
		return tag(tags, tagStore) == ""
	}
	return tag(tags, tagStore) == d.env.StoreID
}

// mine tells whether tags are those of this machine.
func (d *driver) mine(tags map[string]*string) bool {
	return d.ours(tags) && (d.forAll || d.state.Value.Legacy != "" || tag(tags, tagMachine) == d.env.Machine)
}

// named tells whether a resource is called as the store's machines are and their parts.
func (d *driver) named(name string) bool {
	for _, end := range []string{"", endNIC, endIP, endIP6, endDisk, endFirewall} {
		if strings.HasSuffix(name, "-"+d.store()+end) {
			return true
		}
	}
	return false
}

// tag returns the value of a tag. Names of tags are the same in any case.
func tag(tags map[string]*string, name string) string {
	for n, v := range tags {
		if v != nil && same(n, name) {
			return *v
		}
	}
	return ""
}
