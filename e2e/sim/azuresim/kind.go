package azuresim

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// kind is a type of resources.
type kind struct {
	typ    string
	name   *regexp.Regexp
	model  func() model
	sdk    func() any                                              // the SDK's model
	check  func(c *Cloud, k *call, m model, old *record) *armError // completes m, or refuses
	free   func(c *Cloud, rec *record) *armError                   // refuses while it is in use
	view   func(c *Cloud, m model)                                 // completes a copy for showing
	work   func(c *Cloud, k *call, rec *record, isNew bool) *operation
	remove func(c *Cloud, k *call, rec *record) *operation
	child  func(c *Cloud, k *call) (*reply, *armError) // parts of another resource
	act    func(c *Cloud, k *call) (*reply, *armError)
	patch  func(c *Cloud, k *call) (*reply, *armError)
	sync   bool
}

func (kd *kind) provider() string { p, _, _ := strings.Cut(kd.typ, "/"); return p }
func (kd *kind) words() []string  { return strings.Split(kd.typ, "/")[1:] }
func (kd *kind) last() string     { w := kd.words(); return w[len(w)-1] }

// action is what a principal must be allowed to do for a call.
func (kd *kind) action(method string, k *call) string {
	switch {
	case method == http.MethodPost:
		return kd.typ + "/" + k.tail() + "/action"
	case method == http.MethodDelete:
		return kd.typ + "/delete"
	case method == http.MethodPut, method == http.MethodPatch:
		return kd.typ + "/write"
	case len(k.types) > len(kd.words()):
		return kd.typ + "/" + k.tail() + "/read"
	}
	return kd.typ + "/read"
}

// scope is the scope of a call to this kind.
func (k *call) scope(kd *kind) string {
	switch {
	case len(k.names) == len(kd.words()):
		return k.id(kd.typ)
	case k.group != "":
		return k.groupID()
	}
	return "/subscriptions/" + Subscription
}

// kindOf returns a type's kind, or nil.
func (c *Cloud) kindOf(typ string) *kind {
	for _, kd := range kinds() {
		if strings.EqualFold(kd.typ, typ) {
			return kd
		}
	}
	return nil
}

var (
	networkName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,78}[a-zA-Z0-9_])?$`)
	computeName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9_])?$`)
	groupName   = regexp.MustCompile(`^[\p{L}\p{N}._()-]{0,89}[\p{L}\p{N}_()-]$`)
)

// kinds are the types that there are.
func kinds() []*kind {
	return []*kind{
		{
			typ: "Microsoft.Network/virtualNetworks", name: networkName,
			model: func() model { return &virtualNetwork{} }, sdk: func() any { return &armnetwork.VirtualNetwork{} },
			check: (*Cloud).checkNetwork, free: (*Cloud).freeNetwork, view: (*Cloud).viewNetwork, patch: (*Cloud).patchTags,
		},
		{typ: "Microsoft.Network/virtualNetworks/subnets", name: networkName, child: (*Cloud).subnetCall},
		{
			typ: "Microsoft.Network/networkSecurityGroups", name: networkName,
			model: func() model { return &securityGroup{} }, sdk: func() any { return &armnetwork.SecurityGroup{} },
			check: (*Cloud).checkSecurityGroup, free: (*Cloud).freeSecurityGroup, view: (*Cloud).viewSecurityGroup, patch: (*Cloud).patchTags,
		},
		{typ: "Microsoft.Network/networkSecurityGroups/securityRules", name: networkName, child: (*Cloud).ruleCall},
		{
			typ: "Microsoft.Network/applicationSecurityGroups", name: networkName,
			model: func() model { return &applicationGroup{} }, sdk: func() any { return &armnetwork.ApplicationSecurityGroup{} },
			check: (*Cloud).checkApplicationGroup, free: (*Cloud).freeApplicationGroup, patch: (*Cloud).patchTags,
		},
		{
			typ: "Microsoft.Network/publicIPAddresses", name: networkName,
			model: func() model { return &publicAddress{} }, sdk: func() any { return &armnetwork.PublicIPAddress{} },
			check: (*Cloud).checkPublicAddress, free: (*Cloud).freePublicAddress, view: (*Cloud).viewPublicAddress, patch: (*Cloud).patchTags,
		},
		{
			typ: "Microsoft.Network/networkInterfaces", name: networkName,
			model: func() model { return &networkInterface{} }, sdk: func() any { return &armnetwork.Interface{} },
			check: (*Cloud).checkInterface, free: (*Cloud).freeInterface, view: (*Cloud).viewInterface, patch: (*Cloud).patchTags,
			work: (*Cloud).workInterface,
		},
		{
			typ: "Microsoft.Compute/availabilitySets", name: networkName, sync: true,
			model: func() model { return &availabilitySet{} }, sdk: func() any { return &armcompute.AvailabilitySet{} },
			check: (*Cloud).checkAvailabilitySet, free: (*Cloud).freeAvailabilitySet, view: (*Cloud).viewAvailabilitySet, patch: (*Cloud).patchTags,
		},
		{
			typ: "Microsoft.Compute/disks", name: networkName,
			model: func() model { return &disk{} }, sdk: func() any { return &armcompute.Disk{} },
			check: (*Cloud).checkDisk, free: (*Cloud).freeDisk, patch: (*Cloud).patchTags,
		},
		{
			typ: "Microsoft.Compute/virtualMachines", name: computeName,
			model: func() model { return &virtualMachine{} }, sdk: func() any { return &armcompute.VirtualMachine{} },
			check: (*Cloud).checkMachine, view: (*Cloud).viewMachine, patch: (*Cloud).patchMachine,
			work: (*Cloud).launchMachine, remove: (*Cloud).removeMachine, act: (*Cloud).actMachine,
		},
	}
}

// versionsOf returns the api-versions that a call may have.
func versionsOf(k *call) []string {
	provider := lower(k.provider)
	if len(k.types) == 1 && lower(k.tail()) == "register" {
		provider = ""
	}
	switch provider {
	case "":
		return []string{"2016-06-01", "2019-05-01", "2019-05-10", "2019-11-01", "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01", "2022-09-01", "2022-12-01", "2023-07-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-03-01", "2025-04-01"}
	case "microsoft.network":
		return []string{"2020-11-01", "2021-08-01", "2022-01-01", "2022-07-01", "2023-04-01", "2023-09-01", "2023-11-01", "2024-01-01", "2024-03-01", "2024-05-01", "2024-07-01", "2024-10-01", "2025-01-01", "2025-05-01"}
	case "microsoft.compute":
		return computeVersions(k)
	case "microsoft.marketplaceordering":
		return []string{"2015-06-01", "2021-01-01"}
	}
	return nil
}

// computeVersions are those of Microsoft.Compute, the parts of which have their own.
func computeVersions(k *call) []string {
	disks := []string{"2020-12-01", "2021-12-01", "2022-03-02", "2022-07-02", "2023-01-02", "2023-04-02", "2023-10-02", "2024-03-02", "2025-01-02", "2026-03-02"}
	machines := []string{"2021-03-01", "2021-07-01", "2021-11-01", "2022-03-01", "2022-08-01", "2022-11-01", "2023-03-01", "2023-07-01", "2023-09-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01", "2026-04-01"}
	switch {
	case len(k.types) == 0:
		return machines
	case strings.EqualFold(k.types[0], "skus"):
		return []string{"2017-09-01", "2019-04-01", "2021-07-01"}
	case strings.EqualFold(k.types[0], "disks"):
		return disks
	case k.tail() == "operations":
		return append(disks, machines...)
	}
	return machines
}
