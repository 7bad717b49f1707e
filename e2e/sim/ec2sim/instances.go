package ec2sim

import (
	"fmt"
	"net/netip"
	"slices"
)

func describeInstances(k *call) (m, error) {
	found, next, err := describe(k, k.r.instances, instanceListing())
	if err != nil {
		return nil, err
	}
	var order []string
	together := map[string][]*instance{}
	for _, in := range found {
		if together[in.reservation] == nil {
			order = append(order, in.reservation)
		}
		together[in.reservation] = append(together[in.reservation], in)
	}
	var all []m
	for _, id := range order {
		all = append(all, k.reservation(together[id]))
	}
	return m{"Reservations": all, "NextToken": next}, nil
}

// reservation tells instances that were launched together.
func (k *call) reservation(all []*instance) m {
	var told []m
	for _, in := range all {
		told = append(told, k.told(in))
	}
	return m{"ReservationId": all[0].reservation, "OwnerId": Account, "Instances": told}
}

func (k *call) told(in *instance) m {
	o := in.order
	cores, threads := in.kind.vcpus/in.kind.threads(), in.kind.threads()
	if o.cores != 0 {
		cores, threads = o.cores, o.threads
	}
	t := m{
		"InstanceId": in.id, "ImageId": in.image.id, "State": in.state.told(), "InstanceType": in.kind.name, "LaunchTime": in.launched,
		"AmiLaunchIndex": in.index, "Architecture": in.image.arch, "ClientToken": in.token, "Tags": tagSet(in.tags),
		"Placement":  m{"AvailabilityZone": in.subnet.zone, "AvailabilityZoneId": k.r.zoneID(in.subnet.zone), "Tenancy": "default", "GroupName": ""},
		"Monitoring": m{"State": map[bool]string{true: "enabled", false: "disabled"}[o.monitored]}, "EbsOptimized": o.optimized,
		"EnaSupport": true, "Hypervisor": "xen", "VirtualizationType": "hvm", "RootDeviceType": "ebs", "RootDeviceName": in.image.root,
		"StateTransitionReason": in.reason, "PrivateDnsName": "", "PublicDnsName": "", "SourceDestCheck": true, "BootMode": in.image.boot,
		"CpuOptions":      m{"CoreCount": cores, "ThreadsPerCore": threads},
		"MetadataOptions": o.metadata.told(in.image), "PlatformDetails": "Linux/UNIX", "UsageOperation": "RunInstances",
		"CapacityReservationSpecification": m{"CapacityReservationPreference": "open"}, "CapacityReservationId": orNil(o.reservation),
	}
	if in.key != nil {
		t["KeyName"] = in.key.name
	}
	if in.code != "" {
		t["StateReason"] = m{"Code": in.code, "Message": in.reason}
	}
	if in.spot != nil {
		t["InstanceLifecycle"], t["SpotInstanceRequestId"] = "spot", in.spot.id
	}
	if o.profile != "" {
		t["IamInstanceProfile"] = m{"Arn": profileARN(o.profile), "Id": "AIPA" + fmt.Sprintf("%016X", stable(o.profile))}
	}
	if in.state != terminated {
		k.tellNetwork(in, t)
		t["BlockDeviceMappings"] = k.tellDisks(in)
	}
	return t
}

func (md metadata) told(im *image) m {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	tokens := "optional"
	if im.owner == amazon {
		tokens = "required" // the image says so
	}
	return m{
		"State": "applied", "HttpTokens": or(md.tokens, tokens), "HttpPutResponseHopLimit": md.hops, "HttpEndpoint": or(md.endpoint, "enabled"),
		"HttpProtocolIpv6": or(md.six, "disabled"), "InstanceMetadataTags": or(md.tags, "disabled"),
	}
}

func (k *call) tellNetwork(in *instance, t m) {
	t["VpcId"], t["SubnetId"] = in.subnet.vpc.id, in.subnet.id
	t["PrivateIpAddress"], t["PrivateDnsName"] = addr(in.private), k.r.privateName(in.private)
	t["PublicIpAddress"] = orNil(addr(in.public))
	if in.public.IsValid() {
		t["PublicDnsName"] = k.r.publicName(in.public)
	}
	if in.nic == nil {
		return
	}
	n := in.nic
	t["SecurityGroups"] = groupRefs(n.groups)
	entry := m{
		"NetworkInterfaceId": n.id, "SubnetId": n.subnet.id, "VpcId": n.subnet.vpc.id, "OwnerId": Account, "Status": "in-use", "MacAddress": n.mac,
		"PrivateIpAddress": addr(n.private), "PrivateDnsName": k.r.privateName(n.private), "SourceDestCheck": true, "InterfaceType": "interface",
		"Groups": groupRefs(n.groups), "Description": "",
		"Attachment": m{"AttachmentId": n.attachment, "DeleteOnTermination": !n.keep, "DeviceIndex": 0, "Status": "attached", "AttachTime": n.born, "NetworkCardIndex": 0},
	}
	address := m{"Primary": true, "PrivateIpAddress": addr(n.private), "PrivateDnsName": k.r.privateName(n.private)}
	if association := k.r.association(in); association != nil {
		entry["Association"] = association
		address["Association"] = association
	}
	entry["PrivateIpAddresses"] = []m{address}
	var six []m
	for _, a := range n.six {
		six = append(six, m{"Ipv6Address": a.String()})
	}
	if len(six) > 0 {
		entry["Ipv6Addresses"], t["Ipv6Address"] = six, n.six[0].String()
	}
	t["NetworkInterfaces"] = []m{entry}
}

// association tells an instance's public address.
func (r *region) association(in *instance) m {
	if !in.public.IsValid() {
		return nil
	}
	owner := "amazon"
	if r.elastic(in) != nil {
		owner = Account
	}
	return m{"PublicIp": in.public.String(), "PublicDnsName": r.publicName(in.public), "IpOwnerId": owner}
}

func (r *region) privateName(a netip.Addr) string {
	if r.name == "us-east-1" {
		return dashed("ip", a) + ".ec2.internal"
	}
	return dashed("ip", a) + "." + r.name + ".compute.internal"
}

func (r *region) publicName(a netip.Addr) string {
	if r.name == "us-east-1" {
		return dashed("ec2", a) + ".compute-1.amazonaws.com"
	}
	return dashed("ec2", a) + "." + r.name + ".compute.amazonaws.com"
}

func dashed(prefix string, a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("%s-%d-%d-%d-%d", prefix, b[0], b[1], b[2], b[3])
}

func groupRefs(groups []*group) []m {
	var all []m
	for _, g := range groups {
		all = append(all, m{"GroupId": g.id, "GroupName": g.name})
	}
	return all
}

func (k *call) tellDisks(in *instance) []m {
	var all []m
	for _, v := range k.r.volumes {
		if v.instance == in {
			all = append(all, m{"DeviceName": v.name, "Ebs": m{"VolumeId": v.id, "Status": "attached", "AttachTime": v.born, "DeleteOnTermination": !v.keep}})
		}
	}
	return all
}

func describeInstanceStatus(k *call) (m, error) {
	all := k.p.flag("IncludeAllInstances", false)
	instances := k.r.instances
	if !all && len(k.p.list("InstanceIds")) == 0 {
		instances = slices.DeleteFunc(slices.Clone(instances), func(in *instance) bool { return in.state != running })
	}
	found, next, err := describe(k, instances, instanceListing())
	if err != nil {
		return nil, err
	}
	var told []m
	for _, in := range found {
		if !all && in.state != running {
			continue
		}
		status := m{"Status": "not-applicable"}
		if in.state == running {
			status = m{"Status": "ok", "Details": []m{{"Name": "reachability", "Status": "passed"}}}
		}
		told = append(told, m{
			"InstanceId": in.id, "AvailabilityZone": in.subnet.zone, "InstanceState": in.state.told(), "InstanceStatus": status, "SystemStatus": status,
		})
	}
	return m{"InstanceStatuses": told, "NextToken": next}, nil
}

func modifyInstanceAttribute(k *call) (m, error) {
	p := k.p
	id, groups := p.str("InstanceId"), p.strs("Groups")
	noTerminate, noStop, shutdown := p.at("DisableApiTermination"), p.at("DisableApiStop"), p.at("InstanceInitiatedShutdownBehavior")
	given := [3]string{noTerminate.str("Value"), noStop.str("Value"), shutdown.str("Value")}
	if err := k.check(); err != nil {
		return nil, err
	}
	in, err := k.theInstance(id)
	if err != nil {
		return nil, err
	}
	var members []*group
	for _, id := range groups {
		g, err := k.group(id)
		if err != nil {
			return nil, err
		}
		members = append(members, g)
	}
	if len(members) > 0 && in.nic != nil {
		in.nic.groups = members
	}
	if noTerminate != nil {
		in.noTerminate = given[0] == "true"
	}
	if noStop != nil {
		in.noStop = given[1] == "true"
	}
	if shutdown != nil {
		in.terminates = given[2] == "terminate"
	}
	return nil, nil
}
