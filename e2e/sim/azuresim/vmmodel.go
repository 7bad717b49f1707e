package azuresim

type virtualMachine struct {
	header
	Plan       *plan         `json:"plan,omitempty"`
	Properties *vmProperties `json:"properties,omitempty"`
	Resources  []ref         `json:"resources,omitempty"`
}

type plan struct {
	Name      string `json:"name,omitempty"`
	Product   string `json:"product,omitempty"`
	Publisher string `json:"publisher,omitempty"`
}

type vmProperties struct {
	HardwareProfile *struct {
		VMSize string `json:"vmSize,omitempty"`
	} `json:"hardwareProfile,omitempty"`
	StorageProfile     *storageProfile     `json:"storageProfile,omitempty"`
	OSProfile          *osProfile          `json:"osProfile,omitempty"`
	NetworkProfile     *networkProfile     `json:"networkProfile,omitempty"`
	DiagnosticsProfile *diagnosticsProfile `json:"diagnosticsProfile,omitempty"`
	SecurityProfile    *securityProfile    `json:"securityProfile,omitempty"`
	AvailabilitySet    *ref                `json:"availabilitySet,omitempty"`
	Priority           string              `json:"priority,omitempty"`
	EvictionPolicy     string              `json:"evictionPolicy,omitempty"`
	BillingProfile     *struct {
		MaxPrice float64 `json:"maxPrice"`
	} `json:"billingProfile,omitempty"`
	VMID              string        `json:"vmId,omitempty"`
	TimeCreated       string        `json:"timeCreated,omitempty"`
	ProvisioningState string        `json:"provisioningState,omitempty"`
	InstanceView      *instanceView `json:"instanceView,omitempty"`
}

type storageProfile struct {
	ImageReference     *imageReference `json:"imageReference,omitempty"`
	OSDisk             *osDisk         `json:"osDisk,omitempty"`
	DataDisks          []ref           `json:"dataDisks"`
	DiskControllerType string          `json:"diskControllerType,omitempty"`
}

type imageReference struct {
	Publisher    string `json:"publisher,omitempty"`
	Offer        string `json:"offer,omitempty"`
	SKU          string `json:"sku,omitempty"`
	Version      string `json:"version,omitempty"`
	ExactVersion string `json:"exactVersion,omitempty"`
}

type osDisk struct {
	OSType       string       `json:"osType,omitempty"`
	Name         string       `json:"name,omitempty"`
	CreateOption string       `json:"createOption,omitempty"`
	Caching      string       `json:"caching,omitempty"`
	ManagedDisk  *managedDisk `json:"managedDisk,omitempty"`
	DeleteOption string       `json:"deleteOption,omitempty"`
	DiskSizeGB   int          `json:"diskSizeGB,omitempty"`
}

type managedDisk struct {
	ID                 string `json:"id,omitempty"`
	StorageAccountType string `json:"storageAccountType,omitempty"`
}

type osProfile struct {
	ComputerName                string              `json:"computerName,omitempty"`
	AdminUsername               string              `json:"adminUsername,omitempty"`
	AdminPassword               string              `json:"adminPassword,omitempty"`
	CustomData                  string              `json:"customData,omitempty"`
	LinuxConfiguration          *linuxConfiguration `json:"linuxConfiguration,omitempty"`
	Secrets                     []ref               `json:"secrets"`
	AllowExtensionOperations    *bool               `json:"allowExtensionOperations,omitempty"`
	RequireGuestProvisionSignal *bool               `json:"requireGuestProvisionSignal,omitempty"`
}

type linuxConfiguration struct {
	DisablePasswordAuthentication bool  `json:"disablePasswordAuthentication"`
	ProvisionVMAgent              *bool `json:"provisionVMAgent,omitempty"`
	SSH                           *struct {
		PublicKeys []publicKey `json:"publicKeys"`
	} `json:"ssh,omitempty"`
	PatchSettings *struct {
		PatchMode      string `json:"patchMode,omitempty"`
		AssessmentMode string `json:"assessmentMode,omitempty"`
	} `json:"patchSettings,omitempty"`
	EnableVMAgentPlatformUpdates *bool `json:"enableVMAgentPlatformUpdates,omitempty"`
}

type publicKey struct {
	Path    string `json:"path,omitempty"`
	KeyData string `json:"keyData,omitempty"`
}

type networkProfile struct {
	NetworkInterfaces []*interfaceReference `json:"networkInterfaces"`
}

type interfaceReference struct {
	ID         string `json:"id,omitempty"`
	Properties *struct {
		Primary      *bool  `json:"primary,omitempty"`
		DeleteOption string `json:"deleteOption,omitempty"`
	} `json:"properties,omitempty"`
}

type diagnosticsProfile struct {
	BootDiagnostics *struct {
		Enabled bool `json:"enabled"`
	} `json:"bootDiagnostics,omitempty"`
}

type securityProfile struct {
	SecurityType string `json:"securityType,omitempty"`
	UefiSettings *struct {
		SecureBootEnabled bool `json:"secureBootEnabled"`
		VTpmEnabled       bool `json:"vTpmEnabled"`
	} `json:"uefiSettings,omitempty"`
}

type instanceView struct {
	ComputerName     string   `json:"computerName,omitempty"`
	OSName           string   `json:"osName,omitempty"`
	OSVersion        string   `json:"osVersion,omitempty"`
	HyperVGeneration string   `json:"hyperVGeneration,omitempty"`
	VMAgent          any      `json:"vmAgent,omitempty"`
	Disks            []any    `json:"disks,omitempty"`
	BootDiagnostics  any      `json:"bootDiagnostics,omitempty"`
	Statuses         []status `json:"statuses"`
}

type status struct {
	Code          string `json:"code"`
	Level         string `json:"level"`
	DisplayStatus string `json:"displayStatus"`
	Message       string `json:"message,omitempty"`
	Time          string `json:"time,omitempty"`
}
