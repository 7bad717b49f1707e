package ec2sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Owners of public images.
const (
	canonical = "099720109477"
	debian    = "136693071363"
	amazon    = "137112412989"
	stranger  = "210987654321" // has public images with others' names
)

type image struct {
	thing
	name, description, owner, arch string
	user                           string // the image's default user
	root                           string // device
	size                           int    // of the root volume's snapshot, GiB
	snapshot                       string
	made                           time.Time
	alias                          string // of the owner
	parameter                      string // of SSM, that names it
	boot                           string
}

// edition is a public image as its vendor describes it; %s is the architecture.
type edition struct {
	owner, user, root, name, parameter string
	size                               int
	arches                             [2]string // in names: amd64, arm64
	dates                              []string  // in names and of making, the newest last
}

func editions() []edition {
	deb, rpm := [2]string{"amd64", "arm64"}, [2]string{"x86_64", "arm64"}
	ubuntu := "ubuntu/images/hvm-ssd"
	ssm := "/aws/service/canonical/ubuntu/server/"
	return []edition{
		{canonical, "ubuntu", "/dev/sda1", ubuntu + "-gp3/ubuntu-noble-24.04-%s-server-", ssm + "24.04/stable/current/%s/hvm/ebs-gp3/ami-id", 8, deb, []string{"20250115", "20250610", "20250821"}},
		{canonical, "ubuntu", "/dev/sda1", ubuntu + "/ubuntu-jammy-22.04-%s-server-", ssm + "22.04/stable/current/%s/hvm/ebs-gp2/ami-id", 8, deb, []string{"20250305", "20250822"}},
		{canonical, "ubuntu", "/dev/sda1", ubuntu + "/ubuntu-focal-20.04-%s-server-", ssm + "20.04/stable/current/%s/hvm/ebs-gp2/ami-id", 8, deb, []string{"20250430"}},
		{debian, "admin", "/dev/xvda", "debian-12-%s-", "/aws/service/debian/release/12/latest/%s", 8, deb, []string{"20250316-2053", "20250814-2204"}},
		{debian, "admin", "/dev/xvda", "debian-13-%s-", "/aws/service/debian/release/13/latest/%s", 8, deb, []string{"20250814-2204", "20250924-2245"}},
		{amazon, "ec2-user", "/dev/xvda", "al2023-ami-2023.8.%s-kernel-6.1-", "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-%s", 8, rpm, []string{"20250721.2", "20250818.0"}},
		{stranger, "root", "/dev/sda1", ubuntu + "-gp3/ubuntu-noble-24.04-%s-server-", "", 8, deb, []string{"20261231"}},
		{stranger, "root", "/dev/xvda", "debian-13-%s-", "", 8, deb, []string{"20261231-9999"}},
	}
}

func publicImages(region string, now time.Time) []*image {
	var all []*image
	for _, e := range editions() {
		for i, arch := range e.arches {
			for n, date := range e.dates {
				im := e.image(arch, date)
				im.arch = [2]string{"x86_64", "arm64"}[i]
				if n < len(e.dates)-1 {
					im.parameter = ""
				}
				sum := stable(region + im.owner + im.name)
				im.thing = thing{fmt.Sprintf("ami-%017x", sum), now.Add(-24 * time.Hour), nil}
				im.snapshot = fmt.Sprintf("snap-%017x", sum/3)
				all = append(all, im)
			}
		}
	}
	return all
}

func (e edition) image(arch, date string) *image {
	im := &image{owner: e.owner, user: e.user, root: e.root, size: e.size, boot: "uefi-preferred"}
	im.made, _ = time.Parse("20060102", date[:8])
	im.name = fmt.Sprintf(e.name, arch) + date
	if e.owner == amazon {
		im.name = fmt.Sprintf(e.name, date) + arch
		im.alias = "amazon"
	}
	im.description = "Image " + im.name
	if arch == "arm64" {
		im.boot = "uefi"
	}
	if e.parameter != "" {
		im.parameter = fmt.Sprintf(e.parameter, arch)
	}
	return im
}

func (im *image) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "image-id":
		return []string{im.id}, true
	case "name":
		return []string{im.name}, true
	case "description":
		return []string{im.description}, true
	case "architecture":
		return []string{im.arch}, true
	case "owner-id":
		return []string{im.owner}, true
	case "owner-alias":
		return []string{im.alias}, true
	case "state":
		return []string{"available"}, true
	case "virtualization-type":
		return []string{"hvm"}, true
	case "root-device-type":
		return []string{"ebs"}, true
	case "root-device-name":
		return []string{im.root}, true
	case "image-type":
		return []string{"machine"}, true
	case "is-public":
		return []string{fmt.Sprint(im.owner != Account)}, true
	case "hypervisor":
		return []string{"xen"}, true
	case "ena-support":
		return []string{"true"}, true
	case "creation-date":
		return []string{im.made.Format("2006-01-02T15:04:05.000Z")}, true
	case "block-device-mapping.volume-type":
		return []string{"gp3"}, true
	}
	return nil, false
}

func (im *image) ownedBy(owners []string) bool {
	return len(owners) == 0 || slices.ContainsFunc(owners, func(o string) bool {
		return o == im.owner || o == im.alias && o != "" || o == "self" && im.owner == Account
	})
}

func describeImages(k *call) (m, error) {
	owners := k.p.strs("Owners")
	k.p.flag("IncludeDeprecated", false) // none is deprecated
	all := k.r.images
	if len(k.p.list("ImageIds")) == 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(im *image) bool { return !im.ownedBy(owners) })
	}
	found, next, err := describe(k, all, imageListing())
	if err != nil {
		return nil, err
	}
	var images []m
	for _, im := range found {
		if im.ownedBy(owners) {
			images = append(images, im.told())
		}
	}
	return m{"Images": images, "NextToken": next}, nil
}

func imageListing() listing {
	return listing{"ImageIds", "ami", "image id", "InvalidAMIID", "1000", 1}
}

func (im *image) told() m {
	owner := im.alias
	if owner == "" {
		owner = im.owner
	}
	return m{
		"ImageId": im.id, "Name": im.name, "Description": im.description, "Architecture": im.arch, "OwnerId": im.owner,
		"ImageOwnerAlias": orNil(im.alias), "ImageLocation": owner + "/" + im.name, "ImageType": "machine", "State": "available",
		"Public": im.owner != Account, "Hypervisor": "xen", "VirtualizationType": "hvm", "EnaSupport": true, "SriovNetSupport": "simple",
		"RootDeviceType": "ebs", "RootDeviceName": im.root, "BootMode": im.boot, "PlatformDetails": "Linux/UNIX",
		"UsageOperation": "RunInstances", "CreationDate": im.made.Format("2006-01-02T15:04:05.000Z"), "Tags": tagSet(im.tags),
		"BlockDeviceMappings": []m{{"DeviceName": im.root, "Ebs": m{
			"SnapshotId": im.snapshot, "VolumeSize": im.size, "VolumeType": "gp3", "DeleteOnTermination": true, "Encrypted": false,
		}}},
	}
}

// parameter returns a public parameter of SSM.
func (r *region) parameter(name string) (*image, bool) {
	for _, im := range r.images {
		if im.parameter == "" {
			continue
		}
		aliases := []string{im.parameter}
		if strings.Contains(im.parameter, "al2023-ami-kernel-6.1") {
			aliases = append(aliases, strings.Replace(im.parameter, "6.1", "default", 1))
		}
		for version, name := range map[string]string{"24.04": "noble", "22.04": "jammy", "20.04": "focal"} {
			aliases = append(aliases, strings.Replace(im.parameter, "/server/"+version+"/", "/server/"+name+"/", 1))
		}
		if slices.Contains(aliases, name) {
			return im, true
		}
	}
	return nil, false
}
