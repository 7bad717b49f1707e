package ec2sim

import (
	"encoding/base64"
	"fmt"
	"net/netip"
)

func encoded(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

type volume struct {
	thing
	device
	zone     string
	instance *instance
}

func (v *volume) state() string {
	if v.instance != nil {
		return "in-use"
	}
	return "available"
}

func (v *volume) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "volume-id":
		return []string{v.id}, true
	case "status":
		return []string{v.state()}, true
	case "availability-zone":
		return []string{v.zone}, true
	case "size":
		return []string{fmt.Sprint(v.size)}, true
	case "volume-type":
		return []string{v.kind}, true
	case "encrypted":
		return []string{fmt.Sprint(v.encrypted)}, true
	case "attachment.instance-id":
		if v.instance != nil {
			return []string{v.instance.id}, true
		}
		return nil, true
	case "attachment.device":
		return []string{v.name}, true
	}
	return nil, false
}

func volumeListing() listing {
	return listing{"VolumeIds", "vol", "volume", "InvalidVolume", "1000", 5}
}

func describeVolumes(k *call) (m, error) {
	found, next, err := describe(k, k.r.volumes, volumeListing())
	if err != nil {
		return nil, err
	}
	var all []m
	for _, v := range found {
		entry := m{
			"VolumeId": v.id, "Size": v.size, "VolumeType": v.kind, "State": v.state(), "AvailabilityZone": v.zone, "CreateTime": v.born,
			"Encrypted": v.encrypted, "KmsKeyId": orNil(v.kms), "SnapshotId": v.snapshot, "Tags": tagSet(v.tags), "MultiAttachEnabled": false,
		}
		if v.iops > 0 {
			entry["Iops"] = v.iops
		}
		if v.rate > 0 {
			entry["Throughput"] = v.rate
		}
		if v.instance != nil {
			entry["Attachments"] = []m{{
				"VolumeId": v.id, "InstanceId": v.instance.id, "Device": v.name, "State": "attached", "AttachTime": v.born, "DeleteOnTermination": !v.keep,
			}}
		}
		all = append(all, entry)
	}
	return m{"Volumes": all, "NextToken": next}, nil
}

func deleteVolume(k *call) (m, error) {
	id := k.p.str("VolumeId")
	if err := k.check(); err != nil {
		return nil, err
	}
	found, err := byIDs(k, k.r.volumes, []string{id}, volumeListing())
	if err != nil {
		return nil, err
	}
	return nil, k.r.removeVolume(found[0])
}

func (r *region) removeVolume(v *volume) error {
	if v.instance != nil {
		return fault("VolumeInUse", "Volume %s is currently attached to %s", v.id, v.instance.id)
	}
	r.volumes = without(r.volumes, v)
	return nil
}

// nic is a network interface.
type nic struct {
	thing
	instance   *instance
	subnet     *subnet
	groups     []*group
	private    netip.Addr
	six        []netip.Addr
	keep       bool // after the instance
	attachment string
	mac        string
}

func mac48(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("0a:ff:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

func (n *nic) status() string {
	if n.instance != nil {
		return "in-use"
	}
	return "available"
}

func (n *nic) values(k *call, filter string) ([]string, bool) {
	var ids []string
	for _, g := range n.groups {
		ids = append(ids, g.id)
	}
	switch filter {
	case "network-interface-id":
		return []string{n.id}, true
	case "group-id":
		return ids, true
	case "status":
		return []string{n.status()}, true
	case "subnet-id":
		return []string{n.subnet.id}, true
	case "vpc-id":
		return []string{n.subnet.vpc.id}, true
	case "availability-zone":
		return []string{n.subnet.zone}, true
	case "private-ip-address", "addresses.private-ip-address":
		return []string{addr(n.private)}, true
	case "attachment.instance-id":
		if n.instance != nil {
			return []string{n.instance.id}, true
		}
		return nil, true
	}
	return nil, false
}

func nicListing() listing {
	return listing{"NetworkInterfaceIds", "eni", "networkInterface ID", "InvalidNetworkInterfaceID", "1000", 5}
}

func describeNICs(k *call) (m, error) {
	found, next, err := describe(k, k.r.nics, nicListing())
	if err != nil {
		return nil, err
	}
	var all []m
	for _, n := range found {
		entry := m{
			"NetworkInterfaceId": n.id, "SubnetId": n.subnet.id, "VpcId": n.subnet.vpc.id, "AvailabilityZone": n.subnet.zone, "OwnerId": Account,
			"Status": n.status(), "MacAddress": n.mac, "PrivateIpAddress": addr(n.private), "PrivateDnsName": k.r.privateName(n.private),
			"Groups": groupRefs(n.groups), "TagSet": tagSet(n.tags), "InterfaceType": "interface", "Description": "", "SourceDestCheck": true,
			"PrivateIpAddresses": []m{{"Primary": true, "PrivateIpAddress": addr(n.private)}}, "RequesterManaged": false,
		}
		if in := n.instance; in != nil {
			entry["Attachment"] = m{
				"AttachmentId": n.attachment, "InstanceId": in.id, "InstanceOwnerId": Account, "DeviceIndex": 0,
				"DeleteOnTermination": !n.keep, "Status": "attached", "AttachTime": n.born,
			}
			if a := k.r.association(in); a != nil {
				entry["Association"] = a
			}
		}
		all = append(all, entry)
	}
	return m{"NetworkInterfaces": all, "NextToken": next}, nil
}

func deleteNIC(k *call) (m, error) {
	id := k.p.str("NetworkInterfaceId")
	if err := k.check(); err != nil {
		return nil, err
	}
	found, err := byIDs(k, k.r.nics, []string{id}, nicListing())
	if err != nil {
		return nil, err
	}
	return nil, k.c.removeNIC(k.r, found[0])
}

func (c *Cloud) removeNIC(r *region, n *nic) error {
	if n.instance != nil {
		return fault("InvalidParameterValue", "Network interface '%s' is currently in use.", n.id)
	}
	r.nics = without(r.nics, n)
	c.private.give(n.private)
	return nil
}
