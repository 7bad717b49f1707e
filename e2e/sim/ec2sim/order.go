package ec2sim

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// order is what RunInstances is asked for.
type order struct {
	imageID, typeName, keyName string
	min, max                   int
	zone, subnetID             string
	groupIDs, groupNames       []string
	wantPublic                 *bool
	six                        int // how many IPv6 addresses
	keepNIC                    bool
	devices                    []device
	userData                   []byte
	metadata                   metadata
	profile                    string
	terminates                 bool // when it shuts itself down
	market                     *market
	reservation                string
	cores, threads             int
	nested                     bool
	monitored                  bool
	credits                    string
	optimized                  bool
	noTerminate, noStop        bool
	token                      string
	tags                       map[string]map[string]string
}

// device is a block device that a new instance gets.
type device struct {
	name, kind, kms string
	size            int
	iops, rate      int
	encrypted       bool
	keep            bool // after the instance
	absent          bool
	snapshot        string
}

type metadata struct {
	tokens, endpoint, six, tags string
	hops                        int
}

// market is how a spot instance is bought.
type market struct {
	price       float64 // 0: any
	persistent  bool
	interrupted string
}

func (k *call) readOrder() (order, error) {
	p := k.p
	o := order{
		imageID: p.str("ImageId"), typeName: p.str("InstanceType"), keyName: p.str("KeyName"),
		min: p.num("MinCount", 0), max: p.num("MaxCount", 0), token: p.str("ClientToken"),
		zone: p.at("Placement").str("AvailabilityZone"), subnetID: p.str("SubnetId"),
		groupIDs: p.strs("SecurityGroupIds"), groupNames: p.strs("SecurityGroups"),
		six: p.num("Ipv6AddressCount", 0), monitored: p.at("Monitoring").flag("Enabled", false),
		credits: p.at("CreditSpecification").str("CpuCredits"), optimized: p.flag("EbsOptimized", false),
		cores: p.at("CpuOptions").num("CoreCount", 0), threads: p.at("CpuOptions").num("ThreadsPerCore", 0),
		nested:      p.at("CpuOptions").str("NestedVirtualization") == "enabled",
		noTerminate: p.flag("DisableApiTermination", false), noStop: p.flag("DisableApiStop", false),
		terminates: p.str("InstanceInitiatedShutdownBehavior") == "terminate",
	}
	if t := p.at("Placement").str("Tenancy"); t != "" && t != "default" {
		return o, fault("NotSimulated", "the simulator has no dedicated tenancy")
	}
	for _, read := range []func(*params, *order) error{
		readInterface, readUserData, readMetadata, k.readProfile, readMarket, k.readReservation, readDevices,
	} {
		if err := read(p, &o); err != nil {
			return o, err
		}
	}
	var err error
	o.tags, err = k.launchTags("instance", "volume", "network-interface", "spot-instances-request")
	if err != nil {
		return o, err
	}
	if len(o.token) > 64 || !ascii(o.token) {
		return o, fault("InvalidParameterValue", "Value (%s) for parameter clientToken is invalid. Client tokens may have up to 64 ASCII characters.", o.token)
	}
	return o, nil
}

// readInterface reads the one network interface that may be asked for.
func readInterface(p *params, o *order) error {
	list := p.list("NetworkInterfaces")
	if len(list) == 0 {
		return nil
	}
	if len(list) > 1 {
		return fault("NotSimulated", "the simulator's instances have one network interface")
	}
	switch {
	case o.subnetID != "":
		return fault("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
	case len(o.groupIDs)+len(o.groupNames) > 0:
		return fault("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	case o.six > 0:
		return fault("InvalidParameterCombination", "Network interfaces and an instance-level IPv6 address may not be specified on the same request")
	}
	at := list[0]
	if !at.has("DeviceIndex") {
		return fault("MissingParameter", "Each network interface requires a device index.")
	}
	if i := at.num("DeviceIndex", 0); i != 0 {
		return fault("InvalidParameterValue", "Interface with device index 0 must be specified")
	}
	if c := at.num("NetworkCardIndex", 0); c != 0 {
		return fault("NotSimulated", "the simulator's instances have one network card")
	}
	o.subnetID, o.groupIDs, o.six = at.str("SubnetId"), at.strs("Groups"), at.num("Ipv6AddressCount", 0)
	at.str("Description") // of no effect
	o.keepNIC = !at.flag("DeleteOnTermination", true)
	if at.has("AssociatePublicIpAddress") {
		want := at.flag("AssociatePublicIpAddress", false)
		o.wantPublic = &want
	}
	return nil
}

// maxUserData is how large user data may be before it is encoded.
const maxUserData = 16384

func readUserData(p *params, o *order) error {
	given := p.str("UserData")
	if given == "" {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(given)
	if err != nil {
		return fault("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	if len(data) > maxUserData {
		return fault("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	o.userData = data
	return nil
}

func readMetadata(p *params, o *order) error {
	at := p.at("MetadataOptions")
	o.metadata = metadata{at.str("HttpTokens"), at.str("HttpEndpoint"), at.str("HttpProtocolIpv6"), at.str("InstanceMetadataTags"), at.num("HttpPutResponseHopLimit", 1)}
	if h := o.metadata.hops; h < 1 || h > 64 {
		return fault("InvalidParameterValue", "Value (%d) for parameter httpPutResponseHopLimit is invalid. Valid values: 1 to 64.", h)
	}
	return nil
}

func (k *call) readProfile(p *params, o *order) error {
	at := p.at("IamInstanceProfile")
	name, arn := at.str("Name"), at.str("Arn")
	switch {
	case name == "" && arn == "":
		return nil
	case name != "" && arn != "":
		return fault("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	case arn != "":
		var ok bool
		if name, ok = strings.CutPrefix(arn, profileARN("")); !ok {
			return fault("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", arn)
		}
	}
	if !slices.Contains(k.c.config.Profiles, name) {
		return fault("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
	}
	o.profile = name
	return k.key.authorize("iam:PassRole")
}

func profileARN(name string) string { return "arn:aws:iam::" + Account + ":instance-profile/" + name }

func readMarket(p *params, o *order) error {
	at := p.at("InstanceMarketOptions")
	if at == nil {
		return nil
	}
	if kind := at.str("MarketType"); kind != "spot" {
		return fault("NotSimulated", "the simulator has no market of type %q", kind)
	}
	spot := at.at("SpotOptions")
	how := &market{persistent: spot.str("SpotInstanceType") == "persistent", interrupted: spot.str("InstanceInterruptionBehavior")}
	if how.interrupted == "" {
		how.interrupted = "terminate"
	}
	if price := spot.str("MaxPrice"); price != "" {
		f, err := strconv.ParseFloat(price, 64)
		if err != nil || f <= 0 {
			return fault("InvalidParameterValue", "Invalid value '%s' for spotPrice", price)
		}
		how.price = f
	}
	if how.interrupted == "hibernate" {
		return fault("NotSimulated", "the simulator's instances do not hibernate")
	}
	if !how.persistent && how.interrupted != "terminate" {
		return fault("InvalidParameterCombination", "Interruption behavior %s is not supported for one-time Spot Instance requests", how.interrupted)
	}
	o.market = how
	return nil
}

func (k *call) readReservation(p *params, o *order) error {
	at := p.at("CapacityReservationSpecification")
	preference := at.str("CapacityReservationPreference")
	o.reservation = at.at("CapacityReservationTarget").str("CapacityReservationId")
	if preference == "capacity-reservations-only" && o.reservation == "" && len(k.c.config.Reservations) == 0 {
		return fault("ReservationCapacityExceeded", "The requested reservation does not have sufficient compatible and available capacity for this request.")
	}
	if preference == "none" && o.reservation != "" {
		return fault("InvalidParameterCombination", "A capacity reservation preference of none cannot be combined with a capacity reservation target")
	}
	if o.reservation != "" && !slices.Contains(k.c.config.Reservations, o.reservation) {
		return fault("InvalidCapacityReservationId.NotFound", "The capacity reservation '%s' does not exist", o.reservation)
	}
	return nil
}

func readDevices(p *params, o *order) error {
	seen := map[string]bool{}
	for _, at := range p.list("BlockDeviceMappings") {
		ebs := at.at("Ebs")
		d := device{
			name: at.str("DeviceName"), kind: ebs.str("VolumeType"), kms: ebs.str("KmsKeyId"), snapshot: ebs.str("SnapshotId"),
			size: ebs.num("VolumeSize", 0), iops: ebs.num("Iops", 0), rate: ebs.num("Throughput", 0),
			encrypted: ebs.flag("Encrypted", false), keep: !ebs.flag("DeleteOnTermination", true), absent: at.has("NoDevice"),
		}
		at.str("NoDevice")
		switch {
		case d.name == "":
			return fault("MissingParameter", "The request must contain the parameter deviceName")
		case seen[d.name]:
			return fault("InvalidBlockDeviceMapping", "the device '%s' is used in more than one block-device mapping", d.name)
		}
		seen[d.name] = true
		o.devices = append(o.devices, d)
	}
	return nil
}

// disks returns the devices of an instance of an image: the image's own, as the
// order has them, and more.
func (o order) disks(im *image) ([]device, error) {
	root := device{name: im.root, kind: "gp3", size: im.size, snapshot: im.snapshot}
	all := []device{}
	for _, d := range o.devices {
		if d.name == im.root {
			if d.absent {
				return nil, fault("InvalidBlockDeviceMapping", "The root device may not be suppressed")
			}
			if d.snapshot != "" && d.snapshot != im.snapshot {
				return nil, fault("InvalidBlockDeviceMapping", "snapshotId can only be modified on EBS devices")
			}
			d.snapshot = im.snapshot
			if d.size == 0 {
				d.size = im.size
			}
			if d.kind == "" {
				d.kind = root.kind
			}
			if d.size < im.size {
				return nil, fault("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size>= %dGB", d.size, im.snapshot, im.size)
			}
			if slices.Contains([]string{"st1", "sc1"}, d.kind) {
				return nil, fault("InvalidParameterValue", "Invalid value '%s' for volumeType of a root volume.", d.kind)
			}
			root = d
			continue
		}
		if d.absent {
			continue
		}
		if d.snapshot != "" {
			return nil, fault("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", d.snapshot)
		}
		if d.size == 0 {
			return nil, fault("MissingParameter", "The request must contain the parameter size or snapshotId")
		}
		if d.kind == "" {
			d.kind = "gp2"
		}
		all = append(all, d)
	}
	all = append([]device{root}, all...)
	for i := range all {
		if err := all[i].complete(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// complete checks a volume's numbers and fills in the usual ones.
func (d *device) complete() error {
	sizes := map[string][2]int{"standard": {1, 1024}, "gp2": {1, 16384}, "gp3": {1, 65536}, "io1": {4, 16384}, "io2": {4, 65536}, "st1": {125, 16384}, "sc1": {125, 16384}}
	if s := sizes[d.kind]; d.size < s[0] || d.size > s[1] {
		return fault("InvalidParameterValue", "Volume of %dGiB is invalid; valid sizes of %s: %d-%d", d.size, d.kind, s[0], s[1])
	}
	if d.kms != "" && !d.encrypted {
		return fault("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	if d.rate != 0 && d.kind != "gp3" {
		return fault("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", d.kind)
	}
	switch d.kind {
	case "io1", "io2":
		if d.iops == 0 {
			return fault("MissingParameter", "The request must contain the parameter iops")
		}
	case "gp3":
		if d.iops == 0 {
			d.iops = 3000
		}
		if d.rate == 0 {
			d.rate = 125
		}
		if d.iops < 3000 || d.iops > 80000 || d.iops > max(3000, 500*d.size) {
			return fault("InvalidParameterCombination", "Iops of %d is invalid for a gp3 volume of %dGiB", d.iops, d.size)
		}
		if d.rate < 125 || d.rate > 2000 || 4*d.rate > d.iops {
			return fault("InvalidParameterCombination", "Throughput of %d is invalid for a gp3 volume with %d iops", d.rate, d.iops)
		}
	default:
		if d.iops != 0 {
			return fault("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", d.kind)
		}
		if d.kind == "gp2" {
			d.iops = min(max(100, 3*d.size), 16000)
		}
	}
	return nil
}

// print is what two requests have in common that ask for the same.
func (p *params) print() string {
	var b strings.Builder
	if p.scalar {
		fmt.Fprintf(&b, "%q", p.given)
	}
	for _, name := range slices.Sorted(maps.Keys(p.fields)) {
		if p.path == "" && (name == "ClientToken" || name == "DryRun") {
			continue
		}
		fmt.Fprintf(&b, "%s(%s)", name, p.fields[name].print())
	}
	for _, item := range p.items {
		fmt.Fprintf(&b, "[%s]", item.print())
	}
	return b.String()
}
