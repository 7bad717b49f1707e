package azuresim

// header is what all resources begin with.
type header struct {
	ID       string            `json:"id,omitempty"`
	Name     string            `json:"name,omitempty"`
	Type     string            `json:"type,omitempty"`
	Etag     string            `json:"etag,omitempty"`
	Location string            `json:"location,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Zones    []string          `json:"zones,omitempty"`
}

func (h *header) head() *header { return h }

// model is a resource as the interface shows it.
type model interface {
	head() *header
	state() *string // its provisioning state
}

type ref struct {
	ID string `json:"id,omitempty"`
}

type named struct {
	Name string `json:"name,omitempty"`
	Tier string `json:"tier,omitempty"`
}

type resourceGroup struct {
	header
	Properties *struct {
		ProvisioningState string `json:"provisioningState,omitempty"`
	} `json:"properties,omitempty"`
	ManagedBy string `json:"managedBy,omitempty"`
}

type virtualNetwork struct {
	header
	Properties *networkProperties `json:"properties,omitempty"`
}

type networkProperties struct {
	AddressSpace *struct {
		AddressPrefixes []string `json:"addressPrefixes"`
	} `json:"addressSpace,omitempty"`
	Subnets              []*subnet `json:"subnets"`
	EnableDdosProtection bool      `json:"enableDdosProtection"`
	ResourceGUID         string    `json:"resourceGuid,omitempty"`
	ProvisioningState    string    `json:"provisioningState,omitempty"`
}

type subnet struct {
	header
	Properties *subnetProperties `json:"properties,omitempty"`
}

type subnetProperties struct {
	AddressPrefix                     string   `json:"addressPrefix,omitempty"`
	AddressPrefixes                   []string `json:"addressPrefixes,omitempty"`
	NetworkSecurityGroup              *ref     `json:"networkSecurityGroup,omitempty"`
	IPConfigurations                  []ref    `json:"ipConfigurations,omitempty"`
	DefaultOutboundAccess             *bool    `json:"defaultOutboundAccess,omitempty"`
	PrivateEndpointNetworkPolicies    string   `json:"privateEndpointNetworkPolicies,omitempty"`
	PrivateLinkServiceNetworkPolicies string   `json:"privateLinkServiceNetworkPolicies,omitempty"`
	ProvisioningState                 string   `json:"provisioningState,omitempty"`
}

type securityGroup struct {
	header
	Properties *securityGroupProperties `json:"properties,omitempty"`
}

type securityGroupProperties struct {
	SecurityRules        []*securityRule `json:"securityRules"`
	DefaultSecurityRules []*securityRule `json:"defaultSecurityRules,omitempty"`
	NetworkInterfaces    []ref           `json:"networkInterfaces,omitempty"`
	Subnets              []ref           `json:"subnets,omitempty"`
	ResourceGUID         string          `json:"resourceGuid,omitempty"`
	ProvisioningState    string          `json:"provisioningState,omitempty"`
}

type securityRule struct {
	header
	Properties *ruleProperties `json:"properties,omitempty"`
}

type ruleProperties struct {
	Description                     string   `json:"description,omitempty"`
	Protocol                        string   `json:"protocol,omitempty"`
	SourcePortRange                 string   `json:"sourcePortRange,omitempty"`
	SourcePortRanges                []string `json:"sourcePortRanges,omitempty"`
	DestinationPortRange            string   `json:"destinationPortRange,omitempty"`
	DestinationPortRanges           []string `json:"destinationPortRanges,omitempty"`
	SourceAddressPrefix             string   `json:"sourceAddressPrefix,omitempty"`
	SourceAddressPrefixes           []string `json:"sourceAddressPrefixes,omitempty"`
	SourceApplicationSecurityGroups []ref    `json:"sourceApplicationSecurityGroups,omitempty"`
	DestinationAddressPrefix        string   `json:"destinationAddressPrefix,omitempty"`
	DestinationAddressPrefixes      []string `json:"destinationAddressPrefixes,omitempty"`
	Access                          string   `json:"access,omitempty"`
	Priority                        int      `json:"priority,omitempty"`
	Direction                       string   `json:"direction,omitempty"`
	ProvisioningState               string   `json:"provisioningState,omitempty"`
}

type publicAddress struct {
	header
	SKU        *named                   `json:"sku,omitempty"`
	Properties *publicAddressProperties `json:"properties,omitempty"`
}

type publicAddressProperties struct {
	PublicIPAllocationMethod string       `json:"publicIPAllocationMethod,omitempty"`
	PublicIPAddressVersion   string       `json:"publicIPAddressVersion,omitempty"`
	IPAddress                string       `json:"ipAddress,omitempty"`
	IPConfiguration          *ref         `json:"ipConfiguration,omitempty"`
	IdleTimeoutInMinutes     int          `json:"idleTimeoutInMinutes,omitempty"`
	DNSSettings              *dnsSettings `json:"dnsSettings,omitempty"`
	DeleteOption             string       `json:"deleteOption,omitempty"`
	IPTags                   []string     `json:"ipTags,omitempty"`
	ResourceGUID             string       `json:"resourceGuid,omitempty"`
	ProvisioningState        string       `json:"provisioningState,omitempty"`
}

type dnsSettings struct {
	DomainNameLabel string `json:"domainNameLabel,omitempty"`
	Fqdn            string `json:"fqdn,omitempty"`
}

type networkInterface struct {
	header
	Properties *interfaceProperties `json:"properties,omitempty"`
}

type interfaceProperties struct {
	IPConfigurations            []*ipConfiguration `json:"ipConfigurations"`
	NetworkSecurityGroup        *ref               `json:"networkSecurityGroup,omitempty"`
	EnableAcceleratedNetworking bool               `json:"enableAcceleratedNetworking"`
	EnableIPForwarding          bool               `json:"enableIPForwarding"`
	VirtualMachine              *ref               `json:"virtualMachine,omitempty"`
	Primary                     bool               `json:"primary,omitempty"`
	MacAddress                  string             `json:"macAddress,omitempty"`
	NicType                     string             `json:"nicType,omitempty"`
	ResourceGUID                string             `json:"resourceGuid,omitempty"`
	ProvisioningState           string             `json:"provisioningState,omitempty"`
}

type ipConfiguration struct {
	header
	Properties *ipProperties `json:"properties,omitempty"`
}

type ipProperties struct {
	Primary                   *bool            `json:"primary,omitempty"`
	PrivateIPAddress          string           `json:"privateIPAddress,omitempty"`
	PrivateIPAllocationMethod string           `json:"privateIPAllocationMethod,omitempty"`
	PrivateIPAddressVersion   string           `json:"privateIPAddressVersion,omitempty"`
	Subnet                    *ref             `json:"subnet,omitempty"`
	ApplicationSecurityGroups []ref            `json:"applicationSecurityGroups,omitempty"`
	PublicIPAddress           *publicReference `json:"publicIPAddress,omitempty"`
	ProvisioningState         string           `json:"provisioningState,omitempty"`
}

// publicReference names a public address; what becomes of it when the machine
// is deleted may be said here.
type publicReference struct {
	ID         string `json:"id,omitempty"`
	Properties *struct {
		DeleteOption string `json:"deleteOption,omitempty"`
	} `json:"properties,omitempty"`
}

type availabilitySet struct {
	header
	SKU        *named                     `json:"sku,omitempty"`
	Properties *availabilitySetProperties `json:"properties,omitempty"`
}

type availabilitySetProperties struct {
	PlatformUpdateDomainCount int   `json:"platformUpdateDomainCount,omitempty"`
	PlatformFaultDomainCount  int   `json:"platformFaultDomainCount,omitempty"`
	VirtualMachines           []ref `json:"virtualMachines,omitempty"`
}

type disk struct {
	header
	ManagedBy  string          `json:"managedBy,omitempty"`
	SKU        *named          `json:"sku,omitempty"`
	Properties *diskProperties `json:"properties,omitempty"`
}

type diskProperties struct {
	OSType       string `json:"osType,omitempty"`
	CreationData *struct {
		CreateOption   string `json:"createOption,omitempty"`
		ImageReference *ref   `json:"imageReference,omitempty"`
	} `json:"creationData,omitempty"`
	DiskSizeGB        int    `json:"diskSizeGB,omitempty"`
	DiskState         string `json:"diskState,omitempty"`
	TimeCreated       string `json:"timeCreated,omitempty"`
	UniqueID          string `json:"uniqueId,omitempty"`
	ProvisioningState string `json:"provisioningState,omitempty"`
}

func (m *resourceGroup) state() *string    { return &m.Properties.ProvisioningState }
func (m *virtualNetwork) state() *string   { return &m.Properties.ProvisioningState }
func (m *securityGroup) state() *string    { return &m.Properties.ProvisioningState }
func (m *publicAddress) state() *string    { return &m.Properties.ProvisioningState }
func (m *networkInterface) state() *string { return &m.Properties.ProvisioningState }
func (m *disk) state() *string             { return &m.Properties.ProvisioningState }
func (m *availabilitySet) state() *string  { return new(string) }
func (m *virtualMachine) state() *string   { return &m.Properties.ProvisioningState }
