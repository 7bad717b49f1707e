package azuresim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// image is a version of a public image.
type image struct {
	publisher, offer, sku, version string
	arch                           string // x64 or Arm64
	generation                     string // V1 or V2
	trusted                        bool   // may be booted with trusted launch
	plan                           bool   // is bought at the marketplace
	diskGB                         int
}

// images are the public images that there are, the newest version of each last.
func images() []image {
	var found []image
	add := func(publisher, offer, sku, arch, generation string, gb int, plan bool, versions ...string) {
		for _, v := range versions {
			found = append(found, image{publisher, offer, sku, v, arch, generation, generation == "V2" && arch == "x64", plan, gb})
		}
	}
	add("Canonical", "ubuntu-24_04-lts", "server", "x64", "V2", 30, false, "24.04.202509230", "24.04.202510010")
	add("Canonical", "ubuntu-24_04-lts", "server-gen1", "x64", "V1", 30, false, "24.04.202509230", "24.04.202510010")
	add("Canonical", "ubuntu-24_04-lts", "server-arm64", "Arm64", "V2", 30, false, "24.04.202509230", "24.04.202510010")
	add("Canonical", "ubuntu-24_04-lts", "minimal", "x64", "V2", 30, false, "24.04.202510010")
	add("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "x64", "V1", 30, false, "22.04.202510020")
	add("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "x64", "V2", 30, false, "22.04.202510020")
	add("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-arm64", "Arm64", "V2", 30, false, "22.04.202510020")
	for _, d := range []struct{ offer, sku, version string }{{"debian-12", "12", "0.20250814.2204"}, {"debian-13", "13", "0.20250911.2232"}} {
		add("Debian", d.offer, d.sku, "x64", "V1", 30, false, d.version)
		add("Debian", d.offer, d.sku+"-gen2", "x64", "V2", 30, false, d.version)
		add("Debian", d.offer, d.sku+"-arm64", "Arm64", "V2", 30, false, d.version)
	}
	add("resf", "rockylinux-x86_64", "9-base", "x64", "V2", 10, true, "9.6.20250531")
	add("resf", "rockylinux-aarch64", "9-base", "Arm64", "V2", 10, true, "9.6.20250531")
	return found
}

// imageOf returns the image that a reference names; which part of the reference is
// unknown, if it names none.
func imageOf(r *imageReference) (found image, unknown string, ok bool) {
	unknown = "publisher"
	for _, i := range images() {
		switch {
		case !strings.EqualFold(i.publisher, r.Publisher):
		case !strings.EqualFold(i.offer, r.Offer):
			unknown = later(unknown, "offer")
		case !strings.EqualFold(i.sku, r.SKU):
			unknown = later(unknown, "sku")
		case r.Version != "latest" && i.version != r.Version:
			unknown = later(unknown, "version")
		default:
			found, ok = i, true // the last one is the newest
		}
	}
	return found, unknown, ok
}

func later(a, b string) string {
	order := []string{"publisher", "offer", "sku", "version"}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

// checkImage checks that a machine's image exists, fits its size and has been agreed to.
func (c *Cloud) checkImage(_ *call, vm *virtualMachine) *armError {
	r := vm.Properties.StorageProfile.ImageReference
	if r.Publisher == "" || r.Offer == "" || r.SKU == "" || r.Version == "" {
		return required("imageReference")
	}
	i, unknown, found := imageOf(r)
	if !found {
		e := refuse(http.StatusNotFound, "PlatformImageNotFound", "The platform image '%s:%s:%s:%s' is not available. Verify that all fields in the storage profile are correct. For more details about storage profile information, please refer to https://aka.ms/storageprofile", r.Publisher, r.Offer, r.SKU, r.Version)
		e.Target = "imageReference." + unknown
		return e
	}
	r.ExactVersion = i.version
	size, _ := sizeOf(vm.Properties.HardwareProfile.VMSize)
	switch {
	case size.arch != i.arch:
		return refuse(400, "BadRequest", "Cannot create a VM of size '%s' because this VM size only supports a CPU Architecture of '%s', but an image or disk with CPU Architecture '%s' was given. Please check that the CPU Architecture of the image or disk is compatible with that of the VM size.", size.name, size.arch, i.arch)
	case !slices.Contains(size.generations, i.generation):
		return refuse(400, "BadRequest", "The selected VM size '%s' cannot boot Hypervisor Generation '%s'. If this was a Create operation please check that the Hypervisor Generation of the Image matches the Hypervisor Generation of the selected VM Size. If this was an Update operation please select a Hypervisor Generation '%s' VM Size. For more information, see https://aka.ms/azuregen2vm", size.name, i.generation[1:], i.generation[1:])
	}
	return c.checkPlan(vm, i)
}

func (c *Cloud) checkPlan(vm *virtualMachine, i image) *armError {
	p := vm.Plan
	switch {
	case !i.plan && p != nil:
		return refuse(400, "VMMarketplaceInvalidInput", "The platform image '%s:%s:%s:%s' does not require plan information.", i.publisher, i.offer, i.sku, i.version)
	case i.plan && p == nil:
		return refuse(400, "VMMarketplaceInvalidInput", "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image requires Plan information in the request. VM: '%s'.", vm.ID)
	case i.plan && (p.Publisher != i.publisher || p.Product != i.offer || p.Name != i.sku):
		return refuse(400, "VMMarketplaceInvalidInput", "The plan information of VM '%s' does not match that of the image.", vm.ID)
	case i.plan && !c.agreed[agreementKey(i.publisher, i.offer, i.sku)]:
		return refuse(400, "MarketplacePurchaseEligibilityFailed", "Marketplace purchase eligibilty check returned errors. See inner errors for details. You have not accepted the legal terms on this subscription: '%s' for this plan. Before the subscription can be used, you need to accept the legal terms of the image.", Subscription)
	}
	return nil
}

func agreementKey(publisher, offer, plan string) string {
	return lower(publisher + "/" + offer + "/" + plan)
}

// checkSecurity checks a machine's trusted launch.
func (c *Cloud) checkSecurity(_ *call, vm *virtualMachine) *armError {
	s := vm.Properties.SecurityProfile
	if s == nil {
		return nil
	}
	i, _, _ := imageOf(vm.Properties.StorageProfile.ImageReference)
	size, _ := sizeOf(vm.Properties.HardwareProfile.VMSize)
	switch {
	case s.SecurityType == "" && s.UefiSettings != nil:
		return refuse(400, "BadRequest", "Use of UEFI settings is not supported without SecurityType TrustedLaunch or ConfidentialVM.")
	case s.SecurityType == "" || s.SecurityType == "Standard":
		return nil
	case s.SecurityType != "TrustedLaunch":
		return notSimulated("the security type %s", s.SecurityType)
	case i.generation != "V2":
		return refuse(400, "BadRequest", "Security type 'TrustedLaunch' is not supported with Hypervisor Generation 'V1'.")
	case !i.trusted:
		return refuse(400, "BadRequest", "The provided OS image does not support Trusted Launch.")
	case !size.trusted:
		return refuse(400, "BadRequest", "The VM size '%s' is not supported for creation of VMs and Virtual Machine Scale Set with 'TrustedLaunch' security type.", size.name)
	}
	return nil
}

// publishers answers what images there are, one part of their names after the other.
func (c *Cloud) publishers(k *call) (*reply, *armError) {
	words := map[string]string{}
	for n, typ := range k.types {
		if n < len(k.names) {
			words[lower(typ)] = k.names[n]
		}
	}
	var names []string
	versions := map[string]image{}
	for _, i := range images() {
		parts := map[string]string{"publishers": i.publisher, "offers": i.offer, "skus": i.sku, "versions": i.version}
		fits := true
		for typ, name := range words {
			if part, is := parts[typ]; is && !strings.EqualFold(part, name) {
				fits = false
			}
		}
		if name := parts[lower(k.tail())]; fits && !slices.Contains(names, name) {
			names = append(names, name)
			versions[name] = i
		}
	}
	at := k.r.URL.Path
	if len(names) == 0 {
		return nil, refuse(404, "NotFound", "Artifact: VMImage was not found.")
	}
	if k.whole() && lower(k.tail()) == "versions" {
		return ok(versions[names[0]].show(k, at))
	}
	if k.whole() {
		return nil, notSimulated("GET %s", at)
	}
	return c.imageNames(k, names, at)
}

func (c *Cloud) imageNames(k *call, names []string, at string) (*reply, *armError) {
	slices.Sort(names)
	q := k.r.URL.Query()
	switch order := q.Get("$orderby"); {
	case strings.EqualFold(order, "name desc"):
		slices.Reverse(names)
	case order != "" && !strings.EqualFold(order, "name") && !strings.EqualFold(order, "name asc"):
		return nil, notSimulated("$orderby=%s", order)
	}
	if q.Get("$expand") != "" {
		return nil, notSimulated("$expand of image lists")
	}
	if top := q.Get("$top"); top != "" {
		var n int
		if _, err := fmt.Sscan(top, &n); err == nil && n < len(names) {
			names = names[:n]
		}
	}
	var found []map[string]string
	for _, n := range names {
		found = append(found, map[string]string{"location": k.names[0], "name": n, "id": at + "/" + n})
	}
	return ok(found)
}

func (i image) show(k *call, at string) map[string]any {
	p := map[string]any{
		"architecture": i.arch, "hyperVGeneration": i.generation, "osDiskImage": map[string]any{"operatingSystem": "Linux", "sizeInGb": i.diskGB},
		"automaticOSUpgradeProperties": map[string]bool{"automaticOSUpgradeSupported": false}, "dataDiskImages": []any{},
		"imageDeprecationStatus": map[string]string{"imageState": "Active"},
	}
	if i.trusted {
		p["features"] = []map[string]string{{"name": "SecurityType", "value": "TrustedLaunchSupported"}, {"name": "IsAcceleratedNetworkSupported", "value": "True"}}
	}
	if i.plan {
		p["plan"] = map[string]string{"publisher": i.publisher, "product": i.offer, "name": i.sku}
	}
	return map[string]any{"location": k.names[0], "name": i.version, "id": at, "properties": p}
}

// agreement shows or accepts the terms of a marketplace plan.
func (c *Cloud) agreement(k *call) (*reply, *armError) {
	words := map[string]string{}
	for n, typ := range k.types[:len(k.names)] {
		words[lower(typ)] = k.names[n]
	}
	publisher, offer, plan := words["publishers"], words["offers"], words["plans"]
	known := slices.ContainsFunc(images(), func(i image) bool {
		return i.plan && agreementKey(i.publisher, i.offer, i.sku) == agreementKey(publisher, offer, plan)
	})
	if !known || words["offertypes"] == "" || words["agreements"] != "current" {
		return nil, refuse(400, "BadRequest", "Offer with PublisherId: '%s', OfferId: '%s' cannot be found.", publisher, offer)
	}
	switch k.r.Method {
	case http.MethodGet:
		if err := k.may("Microsoft.MarketplaceOrdering/offerTypes/publishers/offers/plans/agreements/read", "/subscriptions/"+Subscription); err != nil {
			return nil, err
		}
	case http.MethodPut:
		if err := k.may("Microsoft.MarketplaceOrdering/offerTypes/publishers/offers/plans/agreements/write", "/subscriptions/"+Subscription); err != nil {
			return nil, err
		}
		c.agreed[agreementKey(publisher, offer, plan)] = strings.Contains(strings.ReplaceAll(string(k.body), " ", ""), `"accepted":true`)
	default:
		return nil, notSimulated("%s of an agreement", k.r.Method)
	}
	return ok(map[string]any{
		"id": k.r.URL.Path, "name": plan, "type": "Microsoft.MarketplaceOrdering/offertypes",
		"properties": map[string]any{"publisher": publisher, "product": offer, "plan": plan, "accepted": c.agreed[agreementKey(publisher, offer, plan)], "licenseTextLink": "https://example.invalid/license", "signature": "SIGNATURE"},
	})
}
