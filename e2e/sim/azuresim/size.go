package azuresim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// size is a size of virtual machines.
type size struct {
	name        string
	family      string
	cores       int
	memory      float64 // GB
	arch        string
	generations []string
	trusted     bool
	accelerated bool
	premium     bool
	spot        bool
}

func sizes() []size {
	both, second := []string{"V1", "V2"}, []string{"V2"}
	return []size{
		{"Standard_B1s", "standardBSFamily", 1, 1, "x64", both, true, false, true, true},
		{"Standard_B2s", "standardBSFamily", 2, 4, "x64", both, true, false, true, true},
		{"Standard_B2ts_v2", "standardBsv2Family", 2, 1, "x64", both, true, true, true, true},
		{"Standard_B2s_v2", "standardBsv2Family", 2, 8, "x64", both, true, true, true, true},
		{"Standard_B2as_v2", "standardBasv2Family", 2, 8, "x64", both, true, true, true, true},
		{"Standard_B2ps_v2", "standardBpsv2Family", 2, 8, "Arm64", second, false, true, true, true},
		{"Standard_B2pls_v2", "standardBpsv2Family", 2, 4, "Arm64", second, false, true, true, true},
		{"Standard_D2s_v3", "standardDSv3Family", 2, 8, "x64", both, true, true, true, true},
		{"Standard_D2s_v5", "standardDSv5Family", 2, 8, "x64", both, true, true, true, true},
		{"Standard_D4s_v5", "standardDSv5Family", 4, 16, "x64", both, true, true, true, true},
		{"Standard_D2as_v5", "standardDASv5Family", 2, 8, "x64", both, true, true, true, true},
		{"Standard_D2ps_v5", "standardDPSv5Family", 2, 8, "Arm64", second, false, true, true, true},
		{"Standard_D2ps_v6", "standardDpsv6Family", 2, 8, "Arm64", second, false, true, true, true},
		{"Standard_D2_v5", "standardDv5Family", 2, 8, "x64", both, true, true, false, true},
		{"Standard_A2_v2", "standardAv2Family", 2, 4, "x64", []string{"V1"}, false, false, false, false},
	}
}

// sizeOf returns a size by its name.
func sizeOf(name string) (size, bool) {
	for _, s := range sizes() {
		if strings.EqualFold(s.name, name) {
			return s, true
		}
	}
	return size{}, false
}

// zones are those of a location that have the size.
func (s size) zones(location string) []string {
	if location == "westus" || s.family == "standardAv2Family" {
		return nil
	}
	return []string{"1", "2", "3"}
}

// SetQuota limits what a location may have of "cores", of a size's family such
// as "standardBSFamily", or of "PublicIPAddresses".
func (c *Cloud) SetQuota(name string, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quotas[lower(name)] = limit
}

func (c *Cloud) quota(name string) int {
	if n, set := c.quotas[lower(name)]; set {
		return n
	}
	return 100
}

// SetRestriction makes a size unavailable in a location, or in one of its zones
// if zone is not empty. The reason is NotAvailableForSubscription or QuotaId;
// an empty one makes the size available again.
func (c *Cloud) SetRestriction(size, location, zone, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := restrictionKey(size, location, zone)
	if delete(c.restricted, key); reason != "" {
		c.restricted[key] = reason
	}
}

func restrictionKey(size, location, zone string) string {
	return lower(size + "/" + location + "/" + zone)
}

// SetScarce has machines of a size fail to be allocated, with the code
// AllocationFailed, ZonalAllocationFailed or another; an empty code ends it.
func (c *Cloud) SetScarce(size, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scarce[lower(size)] = code
}

// SetRegistered registers or unregisters a resource provider.
func (c *Cloud) SetRegistered(provider string, registered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registered[lower(provider)] = registered
}

// count tells how much of a quota a location uses.
func (c *Cloud) count(what, location string) (n int) {
	if what == "PublicIPAddresses" {
		for _, a := range all[*publicAddress](c) {
			if a.Location == location {
				n++
			}
		}
		return n
	}
	for _, rec := range c.sorted() {
		vm, is := rec.model.(*virtualMachine)
		if !is || vm.Location != location || rec.power == "deallocated" {
			continue
		}
		s, _ := sizeOf(vm.Properties.HardwareProfile.VMSize)
		if what == "cores" && vm.Properties.Priority != "Spot" || what == "lowPriorityCores" && vm.Properties.Priority == "Spot" || strings.EqualFold(what, s.family) && vm.Properties.Priority != "Spot" {
			n += s.cores
		}
	}
	return n
}

// checkSize checks that a machine's size exists, may be had there, and is within the quotas.
func (c *Cloud) checkSize(_ *call, vm *virtualMachine) *armError {
	name := vm.Properties.HardwareProfile.VMSize
	s, found := sizeOf(name)
	if !found {
		return invalid("vmSize", "The value %s provided for the VM size is not valid. The valid sizes in the current region are: %s. Find out more on the valid VM sizes in each region at https://aka.ms/azure-regions.", name, strings.Join(sizeNames(), ","))
	}
	for _, zone := range append([]string{""}, vm.Zones...) {
		if c.restricted[restrictionKey(name, vm.Location, zone)] == "" {
			continue
		}
		e := refuse(http.StatusConflict, "SkuNotAvailable", "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: %s' is currently not available in location '%s'. Please try another size or deploy to a different location or different zone. See https://aka.ms/azureskunotavailable for details.", s.name, vm.Location)
		return e
	}
	quotas := []string{"cores", s.family}
	if vm.Properties.Priority == "Spot" {
		quotas = []string{"lowPriorityCores"}
	}
	for _, q := range quotas {
		used, limit := c.count(q, vm.Location), c.quota(q)
		if used+s.cores > limit {
			return refuse(http.StatusConflict, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved %s quota. Additional details - Deployment Model: Resource Manager, Location: %s, Current Limit: %d, Current Usage: %d, Additional Required: %d, (Minimum) New Limit Required: %d. Setup Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting . Submit a request for Quota increase at https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_Capacity/UsageAndQuota.ReactView",
				quotaName(q), vm.Location, limit, used, s.cores, used+s.cores)
		}
	}
	return nil
}

func quotaName(q string) string {
	switch q {
	case "cores":
		return "Total Regional Cores"
	case "lowPriorityCores":
		return "LowPriorityCores"
	}
	return q + " Cores"
}

func sizeNames() []string {
	var names []string
	for _, s := range sizes() {
		names = append(names, s.name)
	}
	return names
}

// checkSpot checks what a machine says of its price.
func (c *Cloud) checkSpot(_ *call, vm *virtualMachine) *armError {
	p := vm.Properties
	size, _ := sizeOf(p.HardwareProfile.VMSize)
	switch {
	case !oneOf(p.Priority, "", "Regular", "Spot", "Low"):
		return invalid("priority", "The value '%s' of parameter 'priority' is invalid.", p.Priority)
	case p.Priority != "Spot" && p.Priority != "Low" && (p.EvictionPolicy != "" || p.BillingProfile != nil):
		return refuse(http.StatusConflict, "OperationNotAllowed", "Eviction policy and max price can be set only on Azure Spot Virtual Machines.")
	case !oneOf(p.EvictionPolicy, "", "Deallocate", "Delete"):
		return invalid("evictionPolicy", "The value '%s' of parameter 'evictionPolicy' is invalid.", p.EvictionPolicy)
	case p.Priority == "Spot" && !size.spot:
		return invalid("priority", "VM size '%s' does not support Azure Spot.", size.name)
	case p.Priority == "Spot" && p.AvailabilitySet != nil:
		return refuse(http.StatusConflict, "OperationNotAllowed", "Azure Spot Virtual Machine is not supported in Availability Set.")
	}
	return nil
}

// catalogue answers what is not about resources of the subscription.
func (c *Cloud) catalogue(k *call) (*reply, *armError) {
	provider := lower(k.provider)
	switch {
	case provider == "microsoft.marketplaceordering":
		return c.agreement(k)
	case k.r.Method != http.MethodGet:
	case len(k.types) == 2 && k.whole() && oneOf(lower(k.tail()), "operations", "operationresults"):
		return c.poll(k, k.name())
	case provider == "microsoft.compute" && lower(k.tail()) == "skus" && len(k.names) == 0:
		return c.skus(k)
	case len(k.types) < 2 || lower(k.types[0]) != "locations":
	case !slices.Contains(locations(), lower(k.names[0])):
		return nil, refuse(400, "NoRegisteredProviderFound", "No registered resource provider found for location '%s' and API version '%s' for type 'locations/%s'. The supported locations are '%s'.", k.names[0], k.r.URL.Query().Get("api-version"), k.types[1], strings.Join(locations(), ", "))
	case provider == "microsoft.compute" && lower(k.types[1]) == "publishers":
		if err := k.may("Microsoft.Compute/"+strings.Join(k.types, "/")+"/read", "/subscriptions/"+Subscription); err != nil {
			return nil, err
		}
		return c.publishers(k)
	case provider == "microsoft.compute" && lower(k.tail()) == "vmsizes":
		return c.vmSizes()
	case provider == "microsoft.compute" && lower(k.tail()) == "usages":
		return c.usages(lower(k.names[0]))
	}
	return nil, notSimulated("%s %s", k.r.Method, k.r.URL.Path)
}

func (c *Cloud) vmSizes() (*reply, *armError) {
	var found []map[string]any
	for _, s := range sizes() {
		found = append(found, map[string]any{"name": s.name, "numberOfCores": s.cores, "memoryInMB": int(s.memory * 1024), "osDiskSizeInMB": 1047552, "resourceDiskSizeInMB": 0, "maxDataDiskCount": 4})
	}
	return list(found)
}

func (c *Cloud) usages(location string) (*reply, *armError) {
	names := []string{"cores", "lowPriorityCores"}
	for _, s := range sizes() {
		if !slices.Contains(names, s.family) {
			names = append(names, s.family)
		}
	}
	var found []map[string]any
	for _, n := range names {
		found = append(found, map[string]any{"unit": "Count", "currentValue": c.count(n, location), "limit": c.quota(n), "name": map[string]string{"value": n, "localizedValue": quotaName(n)}})
	}
	return list(found)
}

// skus lists sizes and what they can do. The one filter is by location.
func (c *Cloud) skus(k *call) (*reply, *armError) {
	if err := k.may("Microsoft.Compute/skus/read", "/subscriptions/"+Subscription); err != nil {
		return nil, err
	}
	where := locations()
	if filter := k.r.URL.Query().Get("$filter"); filter != "" {
		found := filterTerm.FindStringSubmatch(filter)
		if found == nil || found[1] != "location" {
			return nil, notSimulated("$filter=%s", filter)
		}
		where = []string{lower(found[2])}
	}
	var found []map[string]any
	for _, l := range where {
		for _, s := range sizes() {
			found = append(found, c.sku(s, l))
		}
	}
	return list(found)
}

func (c *Cloud) sku(s size, location string) map[string]any {
	zones := s.zones(location)
	info := map[string]any{"location": location, "zones": zones, "zoneDetails": []any{}}
	restrictions := []any{}
	if reason := c.restricted[restrictionKey(s.name, location, "")]; reason != "" {
		restrictions = append(restrictions, map[string]any{"type": "Location", "values": []string{location}, "reasonCode": reason, "restrictionInfo": map[string]any{"locations": []string{location}}})
	}
	for _, z := range zones {
		if reason := c.restricted[restrictionKey(s.name, location, z)]; reason != "" {
			restrictions = append(restrictions, map[string]any{"type": "Zone", "values": []string{location}, "reasonCode": reason, "restrictionInfo": map[string]any{"locations": []string{location}, "zones": []string{z}}})
		}
	}
	tier, rest, _ := strings.Cut(s.name, "_")
	return map[string]any{
		"resourceType": "virtualMachines", "name": s.name, "tier": tier, "size": rest, "family": s.family,
		"locations": []string{location}, "locationInfo": []any{info}, "restrictions": restrictions, "capabilities": s.capabilities(),
	}
}

func (s size) capabilities() []map[string]string {
	var found []map[string]string
	add := func(name string, value any) {
		found = append(found, map[string]string{"name": name, "value": fmt.Sprint(value)})
	}
	flag := func(name string, is bool) {
		text := strconv.FormatBool(is)
		add(name, strings.ToUpper(text[:1])+text[1:])
	}
	add("vCPUs", s.cores)
	add("MemoryGB", s.memory)
	add("CpuArchitectureType", s.arch)
	add("HyperVGenerations", strings.Join(s.generations, ","))
	flag("AcceleratedNetworkingEnabled", s.accelerated)
	flag("PremiumIO", s.premium)
	flag("LowPriorityCapable", s.spot)
	add("MaxNetworkInterfaces", 2)
	add("vCPUsAvailable", s.cores)
	if !s.trusted {
		add("TrustedLaunchDisabled", "True")
	}
	return found
}
