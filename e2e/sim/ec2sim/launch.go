package ec2sim

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// token is what a client token stands for.
type token struct {
	print string
	made  []*instance
}

func runInstances(k *call) (m, error) {
	o, err := k.readOrder()
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	print := k.p.print()
	if t := k.r.tokens[o.token]; t != nil && o.token != "" {
		if t.print != print {
			return nil, fault("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return k.reservation(t.made), nil
	}
	l, err := k.plan(o)
	if err != nil {
		return nil, err
	}
	made, err := l.make()
	if err != nil {
		return nil, err
	}
	if o.token != "" {
		k.r.tokens[o.token] = &token{print, made}
	}
	for _, in := range made {
		k.boot(in)
	}
	return k.reservation(made), nil
}

// launch is an order with all that it names looked up.
type launch struct {
	order
	k      *call
	image  *image
	kind   *instanceType
	key    *keyPair
	subnet *subnet
	groups []*group
	disks  []device
	count  int
}

func (k *call) plan(o order) (*launch, error) {
	l := &launch{order: o, k: k}
	for _, step := range []func() error{l.count1, l.lookUp, l.place, l.secure, l.suit, l.afford} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *launch) count1() error {
	if l.min < 1 || l.max < l.min {
		return fault("InvalidParameterValue", "Value (%d) for parameter minCount is invalid.", l.min)
	}
	l.count = l.max
	return nil
}

func (l *launch) lookUp() error {
	k := l.k
	if l.imageID == "" {
		return fault("MissingParameter", "The request must contain the parameter ImageId")
	}
	if err := imageListing().wellFormed(l.imageID); err != nil {
		return err
	}
	im, ok := find(k.r.images, l.imageID)
	if !ok {
		return fault("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", l.imageID)
	}
	l.image = im
	if l.typeName == "" {
		l.typeName = "m1.small"
	}
	if l.kind, ok = findType(l.typeName); !ok {
		return fault("InvalidParameterValue", "Invalid value '%s' for InstanceType.", l.typeName)
	}
	if l.kind.arch != im.arch {
		return fault("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. "+
			"Specify an instance type and an AMI that have matching architectures, and try again. "+
			"You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.", l.kind.arch, im.arch)
	}
	if l.keyName != "" {
		if l.key, ok = k.r.keyNamed(l.keyName); !ok || !l.key.visible(k) {
			return fault("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", l.keyName)
		}
	}
	var err error
	l.disks, err = l.order.disks(im)
	return err
}

// place finds the subnet.
func (l *launch) place() error {
	r := l.k.r
	if l.zone != "" && !slices.Contains(r.zones, l.zone) {
		return fault("InvalidParameterValue", "Invalid availability zone: [%s]", l.zone)
	}
	if l.subnetID != "" {
		listing := listing{prefix: "subnet", noun: "subnet ID", code: "InvalidSubnetID"}
		if err := listing.wellFormed(l.subnetID); err != nil {
			return err
		}
		s, ok := find(r.subnets, l.subnetID)
		if !ok {
			return listing.notFound(l.subnetID)
		}
		if l.zone != "" && s.zone != l.zone {
			return fault("InvalidParameterCombination", "The availability zone '%s' is not that of the subnet '%s'", l.zone, s.id)
		}
		l.subnet = s
		return l.room(s)
	}
	if !r.vpc.isDefault {
		return noDefaultVPC()
	}
	var problem error
	for _, s := range r.subnets {
		if l.zone != "" && s.zone != l.zone {
			continue
		}
		if err := l.room(s); err != nil {
			if problem == nil || strings.Contains(problem.Error(), "Unsupported") {
				problem = err
			}
			continue
		}
		l.subnet = s
		return nil
	}
	return problem
}

// room says whether a zone has capacity for the instances.
func (l *launch) room(s *subnet) error {
	r := l.k.r
	left, limited := r.left(l.kind.name, s.zone)
	switch {
	case limited && left < 0:
		return fault("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). "+
			"Please retry your request by not specifying an Availability Zone or choosing %s.", l.kind.name, s.zone, strings.Join(r.with(l.kind.name, s.zone), ", "))
	case l.reservation != "" || !limited || left >= l.max:
		l.count = l.max
		return nil
	case left >= l.min:
		l.count = left
		return nil
	case l.market != nil:
		return &problem{500, "InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request."}
	}
	text := "We currently do not have sufficient " + l.kind.name + " capacity in the Availability Zone you requested (" + s.zone + "). Our system will be working on provisioning additional capacity."
	if others := r.with(l.kind.name, s.zone); len(others) > 0 {
		text += " You can currently get " + l.kind.name + " capacity by not specifying an Availability Zone in your request or choosing " + strings.Join(others, ", ") + "."
	}
	return &problem{500, "InsufficientInstanceCapacity", text}
}

func (l *launch) secure() error {
	k := l.k
	for _, id := range l.groupIDs {
		g, err := k.group(id)
		if err != nil {
			return err
		}
		if !slices.Contains(l.groups, g) {
			l.groups = append(l.groups, g)
		}
	}
	if len(l.groupNames) > 0 && l.subnetID != "" {
		return fault("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet")
	}
	for _, name := range l.groupNames {
		g, err := k.groupNamed(name)
		if err != nil {
			return err
		}
		l.groups = append(l.groups, g)
	}
	if len(l.groups) == 0 {
		l.groups = []*group{k.r.groups[0]}
	}
	if n := k.r.quota(QuotaGroupsPerInterface); len(l.groups) > n {
		return fault("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface (%d) has been reached.", n)
	}
	if l.six > 0 && !l.subnet.cidr6.IsValid() {
		return fault("InvalidParameterValue", "The subnet '%s' has no IPv6 CIDR block.", l.subnet.id)
	}
	return nil
}

// suit checks what depends on the type.
func (l *launch) suit() error {
	t := l.kind
	switch l.credits {
	case "":
	case "standard", "unlimited":
		if !t.burstable() {
			return fault("InvalidParameterCombination", "The instance type %s does not support CPU credits.", t.name)
		}
	default:
		return fault("InvalidParameterValue", "Invalid value '%s' for CpuCredits.", l.credits)
	}
	if (l.cores == 0) != (l.threads == 0) {
		return fault("InvalidParameterCombination", "CpuOptions must have both CoreCount and ThreadsPerCore")
	}
	if l.cores != 0 && (l.threads > t.threads() || l.threads < 1 || l.cores < 1 || l.cores > t.vcpus/t.threads()) {
		return fault("InvalidParameterCombination", "The specified CpuOptions are not valid for the instance type %s.", t.name)
	}
	if l.nested && !t.nests() {
		return fault("InvalidParameterCombination", "The instance type %s does not support nested virtualization.", t.name)
	}
	if l.optimized && t.family() == "t2" {
		return fault("Unsupported", "The requested configuration is currently not supported. EBS-optimized instances are not supported for your requested instance type (%s).", t.name)
	}
	return nil
}

// afford checks quotas and prices.
func (l *launch) afford() error {
	r := l.k.r
	need := l.kind.vcpus*l.count + r.vcpus(l.market != nil)
	if l.market == nil {
		if n := r.quota(QuotaVCPUs); need > n {
			return tooManyVCPUs(n)
		}
		return nil
	}
	if price := l.k.c.spotPrice(l.kind); l.market.price != 0 && l.market.price < price {
		return fault("SpotMaxPriceTooLow", "Your Spot request price of %v is lower than the minimum required Spot request fulfillment price of %v.", l.market.price, price)
	}
	if need > r.quota(QuotaSpotVCPUs) {
		return fault("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	}
	return nil
}

// vcpus is how many are in use, by spot instances or the others.
func (r *region) vcpus(spot bool) int {
	n := 0
	for _, in := range r.instances {
		if in.counts() && (in.spot != nil) == spot {
			n += in.kind.vcpus
		}
	}
	return n
}

func tooManyVCPUs(limit int) error {
	return fault("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. "+
		"Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", limit)
}

// make makes the instances in the books, or none of them.
func (l *launch) make() ([]*instance, error) {
	k := l.k
	var made []*instance
	reservation := "r-" + random(9)[:17]
	for i := range l.count {
		in := l.instance(i, reservation)
		private, ok := k.c.private.take(l.subnet.cidr)
		public, enough := netip.Addr{}, true
		if l.public() {
			public, enough = k.c.public.take(k.c.public.prefix)
		}
		if !ok || !enough {
			for _, other := range made {
				k.c.private.give(other.private)
				k.c.public.give(other.public)
			}
			k.c.private.give(private)
			return nil, fault("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", l.subnet.id)
		}
		in.private, in.public = private, public
		made = append(made, in)
	}
	for _, in := range made {
		l.enter(in)
	}
	return made, nil
}

func (l *launch) public() bool {
	if l.wantPublic != nil {
		return *l.wantPublic
	}
	return l.subnet.isDefault
}

func (l *launch) instance(index int, reservation string) *instance {
	return &instance{
		thing: l.tagged("i", "instance"), state: pending, since: l.k.now, launched: l.k.now,
		reservation: reservation, index: index, token: l.token, image: l.image, kind: l.kind, key: l.key, subnet: l.subnet,
		wantPublic: l.public(), userData: l.userData, order: l.order, noTerminate: l.noTerminate, noStop: l.noStop, terminates: l.terminates,
	}
}

func (l *launch) tagged(prefix, kind string) thing {
	t := newThing(prefix, l.k.now)
	for key, value := range l.tags[kind] {
		t.tags[key] = value
	}
	return t
}

// enter puts an instance and all that is its own into the region.
func (l *launch) enter(in *instance) {
	r := l.k.r
	in.nic = &nic{
		thing: l.tagged("eni", "network-interface"), instance: in, subnet: l.subnet, groups: slices.Clone(l.groups),
		private: in.private, keep: l.keepNIC, attachment: "eni-attach-" + random(9)[:17], mac: mac48(in.private),
	}
	for range l.six {
		in.nic.six = append(in.nic.six, l.subnet.next6)
		l.subnet.next6 = l.subnet.next6.Next()
	}
	for _, d := range l.disks {
		r.volumes = append(r.volumes, &volume{thing: l.tagged("vol", "volume"), device: d, zone: l.subnet.zone, instance: in})
	}
	if l.market != nil {
		in.spot = &spot{thing: l.tagged("sir", "spot-instances-request"), market: *l.market, instance: in, state: "active", status: "fulfilled", kind: l.kind, image: l.image}
		in.spot.id = in.spot.id[:len("sir-")+8]
		r.spots = append(r.spots, in.spot)
	}
	r.instances = append(r.instances, in)
	r.nics = append(r.nics, in.nic)
}

// boot has the host behind an instance made.
func (k *call) boot(in *instance) {
	spec := host.Spec{ID: in.id, Hostname: in.hostname(), Private: in.private, Public: in.public, User: in.image.user, UserData: in.userData}
	if in.key != nil {
		spec.Keys = []string{in.key.public}
	}
	k.host(in, false, func(ctx context.Context) error {
		err := k.c.config.Hosts.Launch(ctx, spec)
		if err != nil {
			k.c.mu.Lock()
			defer k.c.mu.Unlock()
			in.become(terminated, k.now, "Server.InternalError", "Server.InternalError: "+err.Error())
			k.c.bury(k.r, in)
		}
		return err
	})
}
