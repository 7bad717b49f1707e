package ec2sim

import (
	"fmt"
	"slices"
	"strings"
)

type instanceType struct {
	name    string
	vcpus   int
	mib     int
	arch    string
	current bool
	nitro   bool
	disk    bool
}

func (t *instanceType) family() string {
	family, _, _ := strings.Cut(t.name, ".")
	return family
}

func (t *instanceType) burstable() bool { return t.name[0] == 't' }

// nests tells whether a type may run virtual machines in its instances.
func (t *instanceType) nests() bool {
	return slices.Contains([]string{"c8i", "m8i", "r8i"}, t.family())
}

// threads is how many threads a core of a type has.
func (t *instanceType) threads() int {
	if t.arch == "arm64" || t.vcpus == 1 {
		return 1
	}
	return 2
}

func instanceTypes() []*instanceType {
	var all []*instanceType
	add := func(arch string, current, nitro, disk bool, family string, sizes ...any) {
		for i := 0; i < len(sizes); i += 3 {
			all = append(all, &instanceType{family + "." + sizes[i].(string), sizes[i+1].(int), sizes[i+2].(int), arch, current, nitro, disk})
		}
	}
	general := []any{"large", 2, 8192, "xlarge", 4, 16384, "2xlarge", 8, 32768, "4xlarge", 16, 65536}
	compute := []any{"large", 2, 4096, "xlarge", 4, 8192, "2xlarge", 8, 16384, "4xlarge", 16, 32768}
	memory := []any{"large", 2, 16384, "xlarge", 4, 32768, "2xlarge", 8, 65536}
	burst := []any{"nano", 2, 512, "micro", 2, 1024, "small", 2, 2048, "medium", 2, 4096, "large", 2, 8192, "xlarge", 4, 16384, "2xlarge", 8, 32768}
	add("x86_64", true, false, false, "t2", "nano", 1, 512, "micro", 1, 1024, "small", 1, 2048, "medium", 2, 4096, "large", 2, 8192)
	for _, f := range []string{"t3", "t3a"} {
		add("x86_64", true, true, false, f, burst...)
	}
	add("arm64", true, true, false, "t4g", burst...)
	for _, f := range []string{"m5", "m6i", "m7i", "m8i"} {
		add("x86_64", true, true, false, f, general...)
	}
	add("x86_64", true, true, true, "m5d", general...)
	add("x86_64", false, false, false, "m4", general...)
	for _, f := range []string{"m6g", "m7g"} {
		add("arm64", true, true, false, f, append([]any{"medium", 1, 4096}, general...)...)
	}
	for _, f := range []string{"c5", "c6i", "c7i", "c8i"} {
		add("x86_64", true, true, false, f, compute...)
	}
	add("arm64", true, true, false, "c7g", append([]any{"medium", 1, 2048}, compute...)...)
	add("x86_64", true, true, false, "r5", memory...)
	add("x86_64", true, true, false, "r6i", memory...)
	add("x86_64", true, true, true, "g4dn", "xlarge", 4, 16384)
	return all
}

func (t *instanceType) values(filter string) ([]string, bool) {
	switch filter {
	case "instance-type":
		return []string{t.name}, true
	case "current-generation":
		return []string{fmt.Sprint(t.current)}, true
	case "processor-info.supported-architecture":
		return []string{t.arch}, true
	case "vcpu-info.default-vcpus":
		return []string{fmt.Sprint(t.vcpus)}, true
	case "memory-info.size-in-mib":
		return []string{fmt.Sprint(t.mib)}, true
	case "burstable-performance-supported":
		return []string{fmt.Sprint(t.burstable())}, true
	case "supported-usage-class":
		return []string{"on-demand", "spot"}, true
	case "supported-root-device-type":
		return []string{"ebs"}, true
	case "supported-virtualization-type":
		return []string{"hvm"}, true
	case "instance-storage-supported":
		return []string{fmt.Sprint(t.disk)}, true
	case "free-tier-eligible":
		return []string{fmt.Sprint(t.free())}, true
	case "bare-metal":
		return []string{"false"}, true
	case "hypervisor":
		return []string{t.hypervisor()}, true
	}
	return nil, false
}

func (t *instanceType) free() bool {
	return slices.Contains([]string{"t2.micro", "t3.micro", "t3.small", "t4g.micro", "t4g.small"}, t.name)
}

func (t *instanceType) hypervisor() string {
	if t.nitro {
		return "nitro"
	}
	return "xen"
}

func (t *instanceType) told() m {
	nvme, optimized, modes := "required", "default", []string{"legacy-bios", "uefi"}
	if t.arch == "arm64" {
		modes = []string{"uefi"}
	}
	if !t.nitro {
		nvme, modes = "unsupported", []string{"legacy-bios"}
	}
	if t.family() == "t2" {
		optimized = "unsupported"
	}
	ena := "required"
	if !t.nitro {
		ena = "unsupported"
	}
	return m{
		"InstanceType": t.name, "CurrentGeneration": t.current, "FreeTierEligible": t.free(), "BareMetal": false, "Hypervisor": t.hypervisor(),
		"VCpuInfo":      m{"DefaultVCpus": t.vcpus, "DefaultCores": t.vcpus / t.threads(), "DefaultThreadsPerCore": t.threads()},
		"MemoryInfo":    m{"SizeInMiB": t.mib},
		"ProcessorInfo": m{"SupportedArchitectures": []string{t.arch}}, "SupportedUsageClasses": []string{"on-demand", "spot"},
		"SupportedRootDeviceTypes": []string{"ebs"}, "SupportedVirtualizationTypes": []string{"hvm"}, "SupportedBootModes": modes,
		"BurstablePerformanceSupported": t.burstable(), "InstanceStorageSupported": t.disk, "HibernationSupported": false,
		"AutoRecoverySupported": true, "DedicatedHostsSupported": !t.burstable(),
		"EbsInfo":     m{"EbsOptimizedSupport": optimized, "EncryptionSupport": "supported", "NvmeSupport": nvme},
		"NetworkInfo": m{"EnaSupport": ena, "Ipv6Supported": true, "Ipv4AddressesPerInterface": 4, "Ipv6AddressesPerInterface": 4, "MaximumNetworkInterfaces": 3, "MaximumNetworkCards": 1},
	}
}

func findType(name string) (*instanceType, bool) {
	all := instanceTypes()
	i := slices.IndexFunc(all, func(t *instanceType) bool { return t.name == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// offered tells whether a zone has a type at all.
func (r *region) offered(kind, zone string) bool {
	n, set := r.capacity[[2]string{kind, zone}]
	return !set || n >= 0
}

func describeInstanceTypes(k *call) (m, error) {
	names := k.p.strs("InstanceTypes")
	size, from, err := k.page(listing{noun: "InstanceType", paged: "100", smaller: 5}, len(names) > 0)
	if err != nil {
		return nil, err
	}
	all, err := choose(k, instanceTypes(), (*instanceType).values)
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	var missing []string
	for _, n := range names {
		if _, ok := findType(n); !ok {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return nil, fault("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(missing, ", "))
	}
	var found []m
	for _, t := range all {
		here := slices.ContainsFunc(k.r.zones, func(z string) bool { return k.r.offered(t.name, z) })
		if here && (len(names) == 0 || slices.Contains(names, t.name)) {
			found = append(found, t.told())
		}
	}
	if size == 0 {
		size = 100
	}
	found, next := cut(k, found, from, size)
	return m{"InstanceTypes": found, "NextToken": next}, nil
}

func describeOfferings(k *call) (m, error) {
	by := k.p.str("LocationType")
	size, from, err := k.page(listing{noun: "InstanceType", paged: "1000", smaller: 5}, false)
	if err != nil {
		return nil, err
	}
	locations := []string{k.r.name}
	switch by {
	case "", "region":
		by = "region"
	case "availability-zone":
		locations = k.r.zones
	case "availability-zone-id":
		locations = nil
		for _, z := range k.r.zones {
			locations = append(locations, k.r.zoneID(z))
		}
	default:
		return nil, fault("NotSimulated", "the simulator has no outposts")
	}
	type offering struct{ kind, location string }
	var all []offering
	for _, t := range instanceTypes() {
		for i, l := range locations {
			here := k.r.offered(t.name, k.r.zones[min(i, len(k.r.zones)-1)])
			if by == "region" {
				here = slices.ContainsFunc(k.r.zones, func(z string) bool { return k.r.offered(t.name, z) })
			}
			if here {
				all = append(all, offering{t.name, l})
			}
		}
	}
	all, err = choose(k, all, func(o offering, filter string) ([]string, bool) {
		switch filter {
		case "instance-type":
			return []string{o.kind}, true
		case "location":
			return []string{o.location}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if size == 0 {
		size = 1000
	}
	all, next := cut(k, all, from, size)
	var found []m
	for _, o := range all {
		found = append(found, m{"InstanceType": o.kind, "LocationType": by, "Location": o.location})
	}
	return m{"InstanceTypeOfferings": found, "NextToken": next}, nil
}
