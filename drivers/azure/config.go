package azure

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/caller"
)

// Config is what a user can choose.
type Config struct {
	Subscription string `option:"subscription-id" env:"AZURE_SUBSCRIPTION_ID" help:"id of the subscription" required:"true"`
	Group        string `option:"resource-group" env:"AZURE_RESOURCE_GROUP" help:"resource group, made if it does not exist (default: docker-machine- and the beginning of the store's id)"`
	Location     string `option:"location" env:"AZURE_LOCATION" help:"location of what is made, such as westeurope"`
	Size         string `option:"size" env:"AZURE_SIZE" help:"size of the virtual machine"`
	Image        string `option:"image" env:"AZURE_IMAGE" alias:"azure-image-alias" help:"image: an alias such as ubuntu-24.04 or debian-12, PUBLISHER:OFFER:SKU[:VERSION], or the id of an image"`
	Plan         string `option:"plan" help:"marketplace plan of the image as PUBLISHER:PRODUCT:NAME (default: as the image says)"`
	SSHUser      string `option:"ssh-user" env:"AZURE_SSH_USER" help:"login user, made on the machine"`
	DockerPort   int    `option:"docker-port" env:"AZURE_DOCKER_PORT" help:"port that is opened for the Engine besides the one it listens on, which --engine-port says" min:"1" max:"65535"`

	VNet         string   `option:"vnet" env:"AZURE_VNET" help:"virtual network as [RESOURCE-GROUP:]NAME, made if it does not exist (default: one of the store's own in each location)"`
	Subnet       string   `option:"subnet" env:"AZURE_SUBNET" help:"subnet, made if it does not exist"`
	SubnetPrefix string   `option:"subnet-prefix" env:"AZURE_SUBNET_PREFIX" help:"range of a subnet that is made"`
	NSG          string   `option:"nsg" env:"AZURE_NSG" help:"network security group to use as it is, as [RESOURCE-GROUP:]NAME or id (default: one of the machine's own)"`
	PrivateIP    string   `option:"private-ip-address" help:"fixed private address of the machine (default: one that Azure chooses and keeps)"`
	UsePrivateIP bool     `option:"use-private-ip" help:"reach the machine at its private address"`
	NoPublicIP   bool     `option:"no-public-ip" help:"make no public address"`
	StaticIP     bool     `option:"static-public-ip" help:"accepted for docker-machine's sake: public addresses are always static"`
	IPv6         bool     `option:"ipv6" help:"an IPv6 address besides"`
	DNS          string   `option:"dns" env:"AZURE_DNS_LABEL" help:"DNS label of the public address, unique in the location"`
	OpenPort     []string `option:"open-port" help:"port that everybody may reach: PORT[-PORT][/PROTOCOL]"`
	Allow        []string `option:"allow" env:"AZURE_ALLOW" help:"address or CIDR that may reach SSH and the Engine (default: this computer's address)"`
	Accelerated  string   `option:"accelerated-networking" help:"accelerated networking: on, off, or auto as the size allows" oneof:"auto,on,off"`

	Set         string  `option:"availability-set" env:"AZURE_AVAILABILITY_SET" help:"availability set, made if it does not exist (default: none)"`
	Zone        string  `option:"zone" env:"AZURE_ZONE" help:"availability zone: 1, 2 or 3 (default: none)" oneof:"1,2,3"`
	StorageType string  `option:"storage-type" env:"AZURE_STORAGE_TYPE" help:"type of the managed disk, such as Premium_LRS"`
	DiskSize    int     `option:"disk-size" env:"AZURE_DISK_SIZE" help:"size of the disk in GiB (default: the image's)" min:"1" max:"4095"`
	Security    string  `option:"security-type" help:"security of the virtual machine: trusted-launch, standard, or auto as image and size allow" oneof:"auto,trusted-launch,standard"`
	Spot        bool    `option:"spot" help:"use spare capacity, which Azure may take back"`
	SpotPrice   float64 `option:"spot-max-price" help:"most to pay for an hour of spare capacity, in US dollars (default: up to the normal price)" min:"0.00001"`
	SpotEvict   string  `option:"spot-eviction-policy" help:"what becomes of a machine whose capacity is taken back" oneof:"Deallocate,Delete"`
	CustomData  string  `option:"custom-data" env:"AZURE_CUSTOM_DATA_FILE" help:"file with user data for cloud-init"`

	Tags       []string `option:"tag" help:"tag of all that is made, as NAME=VALUE"`
	KeepBilled bool     `option:"stop-keeps-billing" help:"let stop keep the processor reserved, which is billed like a running machine"`

	Environment string `option:"environment" env:"AZURE_ENVIRONMENT" help:"cloud: AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AZURESTACKCLOUD, or the https URL of a resource manager"`
	EnvFile     string `option:"environment-file" env:"AZURE_ENVIRONMENT_FILEPATH" help:"file that describes AZURESTACKCLOUD"`
	Endpoint    string `option:"resource-manager-endpoint" env:"AZURE_RESOURCE_MANAGER_ENDPOINT" help:"https URL of the resource manager, or http on this computer (default: the cloud's)"`
	Audience    string `option:"resource-manager-audience" env:"AZURE_RESOURCE_MANAGER_AUDIENCE" help:"audience of the tokens for the resource manager (default: the cloud's)"`
	Authority   string `option:"authority-host" env:"AZURE_AUTHORITY_HOST" help:"https URL of the authority that gives tokens (default: the cloud's)"`

	Tenant       string         `option:"tenant-id" env:"AZURE_TENANT_ID" help:"id of the tenant (default: the subscription's)"`
	Client       string         `option:"client-id" env:"AZURE_CLIENT_ID" help:"id of the service principal, or of a managed identity"`
	Secret       drivers.Secret `option:"client-secret" help:"secret of the service principal (default: AZURE_CLIENT_SECRET, which is not stored)"`
	Certificate  string         `option:"client-certificate-path" env:"AZURE_CLIENT_CERTIFICATE_PATH" help:"file with certificate and key of the service principal, PEM or PKCS 12"`
	CertPassword drivers.Secret `option:"client-certificate-password" help:"password of that file (default: AZURE_CLIENT_CERTIFICATE_PASSWORD, which is not stored)"`
	TokenFile    string         `option:"federated-token-file" env:"AZURE_FEDERATED_TOKEN_FILE" help:"file with a token of another issuer that the service principal trusts"`
	Managed      bool           `option:"managed-identity" help:"log in with the managed identity of this computer"`
	DeviceCode   bool           `option:"device-code" help:"log in with a browser, on any computer"`
}

func defaults() Config {
	return Config{
		Location: "westus", Size: "Standard_B2s_v2", Image: "ubuntu-24.04", SSHUser: "docker-user", DockerPort: 2376,
		Subnet: "docker-machine", SubnetPrefix: "192.168.0.0/16", Accelerated: "auto",
		StorageType: "StandardSSD_LRS", Security: "auto", SpotEvict: "Deallocate", Environment: "AzurePublicCloud",
	}
}

var (
	guid      = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	groupName = regexp.MustCompile(`^[-\w.()]{0,89}[-\w()]$`)
	netName   = regexp.MustCompile(`^[a-zA-Z0-9]([-\w.]{0,78}\w)?$`)
	location  = regexp.MustCompile(`^[a-z0-9]+$`)
	dnsLabel  = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)
	userName  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	portRange = regexp.MustCompile(`^(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp))?$`)
)

// Validate returns the options that cannot be accepted.
func (c Config) Validate() error {
	var errs []error
	refuse := func(option string, bad bool, advice, format string, args ...any) {
		if bad {
			errs = append(errs, &drivers.OptionError{Option: Name + "-" + option, Err: fmt.Errorf(format, args...), Advice: advice})
		}
	}
	refuse("subscription-id", !guid.MatchString(c.Subscription), "az account list shows yours", "%q is no id of a subscription", c.Subscription)
	refuse("resource-group", c.Group != "" && !groupName.MatchString(c.Group), "", "%q is no name of a resource group", c.Group)
	refuse("location", !location.MatchString(normal(c.Location)), "az account list-locations shows the names", "%q is no name of a location", c.Location)
	refuse("size", !strings.Contains(c.Size, "_"), "az vm list-skus shows the names", "%q is no size", c.Size)
	refuse("ssh-user", !userName.MatchString(c.SSHUser) || slices.Contains(forbiddenUsers(), c.SSHUser), "", "Azure makes no user %q", c.SSHUser)
	_, err := parseImage(c.Image)
	refuse("image", err != nil, imageAdvice(), "%w", err)
	_, err = parsePlan(c.Plan)
	refuse("plan", err != nil, "", "%w", err)
	c.validateNetwork(refuse)
	_, err = parseTags(c.Tags)
	refuse("tag", err != nil, "such as --azure-tag team=search", "%w", err)
	refuse("storage-type", !strings.Contains(c.StorageType, "_"), "such as StandardSSD_LRS, Premium_LRS or Standard_LRS", "%q is no type of a disk", c.StorageType)
	refuse("zone", c.Zone != "" && c.Set != "", "", "an availability set and a zone exclude each other")
	refuse("spot", c.Spot && c.Set != "", "", "spot machines cannot be in an availability set")
	refuse("spot-max-price", c.SpotPrice > 0 && !c.Spot, "add --azure-spot", "is about spot machines only")
	refuse("spot-eviction-policy", c.SpotEvict == "Delete" && !c.Spot, "add --azure-spot", "is about spot machines only")
	refuse("resource-manager-endpoint", c.Endpoint != "" && !isEndpoint(c.Endpoint), "", "%q is no https URL", c.Endpoint)
	refuse("authority-host", c.Authority != "" && !isURL(c.Authority), "", "%q is no https URL", c.Authority)
	_, known := namedCloud(c.Environment)
	refuse("environment", !known && !isEndpoint(c.Environment) && !strings.EqualFold(c.Environment, stackCloud), "",
		"%q is neither AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AZURESTACKCLOUD nor an https URL", c.Environment)
	refuse("environment-file", strings.EqualFold(c.Environment, stackCloud) && c.EnvFile == "", "", "is needed for AZURESTACKCLOUD")
	return errors.Join(errs...)
}

func (c Config) validateNetwork(refuse func(option string, bad bool, advice, format string, args ...any)) {
	_, vnet := splitName(c.VNet)
	refuse("vnet", c.VNet != "" && !netName.MatchString(vnet), "such as network or group:network", "%q is no name of a virtual network", c.VNet)
	refuse("subnet", !netName.MatchString(c.Subnet), "", "%q is no name of a subnet", c.Subnet)
	prefix, err := netip.ParsePrefix(c.SubnetPrefix)
	refuse("subnet-prefix", err != nil || !prefix.Addr().Is4() || prefix.Bits() > 29 || prefix != prefix.Masked(), "such as 192.168.0.0/16",
		"%q is no IPv4 range with room for machines", c.SubnetPrefix)
	if c.PrivateIP != "" {
		addr, err := netip.ParseAddr(c.PrivateIP)
		refuse("private-ip-address", err != nil || !addr.Is4(), "", "%q is no IPv4 address", c.PrivateIP)
	}
	refuse("dns", c.DNS != "" && !dnsLabel.MatchString(c.DNS), "", "%q is no label of lower-case letters, digits and dashes", c.DNS)
	refuse("dns", c.DNS != "" && c.NoPublicIP, "", "a label belongs to a public address, and --azure-no-public-ip makes none")
	for _, p := range c.OpenPort {
		_, err := parsePort(p)
		refuse("open-port", err != nil, "such as 80, 443/tcp or 8000-8010/udp", "%w", err)
	}
	_, err = caller.Prefixes(c.Allow)
	refuse("allow", err != nil, "", "%w", err)
}

// forbiddenUsers are names that Azure refuses on Linux.
func forbiddenUsers() []string {
	return []string{"root", "admin", "administrator", "user", "guest", "test", "daemon", "bin", "sys", "nobody", "sshd", "systemd-network"}
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}

// isEndpoint tells whether a resource manager can be asked at a URL: tokens go
// over TLS, or do not leave this computer.
func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.User != nil {
		return isURL(s)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback() || u.Hostname() == "localhost"
}

// normal writes a location as its name is: "West US" is westus.
func normal(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

// port is what --azure-open-port opens.
type port struct {
	ports, protocol string // "80" or "8000-8010"; "tcp" or "udp"
}

func parsePort(s string) (port, error) {
	m := portRange.FindStringSubmatch(s)
	if m == nil {
		return port{}, fmt.Errorf("%q is no port", s)
	}
	first, _ := strconv.Atoi(m[1]) // digits
	last := first
	if m[2] != "" {
		last, _ = strconv.Atoi(m[2])
	}
	if first < 1 || last > 65535 || first > last {
		return port{}, fmt.Errorf("%q is no port", s)
	}
	p := port{ports: strconv.Itoa(first), protocol: "tcp"}
	if last > first {
		p.ports += "-" + strconv.Itoa(last)
	}
	if m[3] != "" {
		p.protocol = m[3]
	}
	return p, nil
}

// splitName splits [group:]name.
func splitName(s string) (group, name string) {
	if g, n, ok := strings.Cut(s, ":"); ok {
		return g, n
	}
	return "", s
}
