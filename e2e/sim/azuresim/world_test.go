package azuresim_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/hostsmith/machine/e2e/sim/azuresim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJSXYf3jZpRJ6OBm0lBrP5Mh5kJKYQnJCS6gEh6tWDS me"

// world is a cloud that is served, with the SDK's clients for it.
type world struct {
	t      *testing.T
	cloud  *azuresim.Cloud
	hosts  *host.Memory
	server *httptest.Server

	groups     *armresources.ResourceGroupsClient
	resources  *armresources.Client
	providers  *armresources.ProvidersClient
	networks   *armnetwork.VirtualNetworksClient
	subnets    *armnetwork.SubnetsClient
	firewalls  *armnetwork.SecurityGroupsClient
	asgs       *armnetwork.ApplicationSecurityGroupsClient
	addresses  *armnetwork.PublicIPAddressesClient
	interfaces *armnetwork.InterfacesClient
	machines   *armcompute.VirtualMachinesClient
	sets       *armcompute.AvailabilitySetsClient
	disks      *armcompute.DisksClient
	images     *armcompute.VirtualMachineImagesClient
	skus       *armcompute.ResourceSKUsClient
	usage      *armcompute.UsageClient
}

// newWorld serves a cloud that answers as fast as it can.
func newWorld(t *testing.T, change ...func(*azuresim.Config)) *world {
	t.Helper()
	w := &world{t: t, hosts: host.NewMemory()}
	c := azuresim.Config{Hosts: w.hosts, RetryAfter: -1, Operation: time.Millisecond}
	for _, f := range change {
		f(&c)
	}
	var err error
	if w.cloud, err = azuresim.New(c); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewTLSServer(w.cloud)
	t.Cleanup(w.server.Close)
	w.login(azuresim.ClientID, azuresim.ClientSecret)
	return w
}

func (w *world) configuration() cloud.Configuration {
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: w.server.URL + "/",
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: w.server.URL, Audience: w.server.URL}},
	}
}

func (w *world) options() azcore.ClientOptions {
	return azcore.ClientOptions{Cloud: w.configuration(), Transport: w.server.Client(), Retry: policy.RetryOptions{MaxRetries: -1}}
}

// login makes the clients of a principal.
func (w *world) login(id, secret string) {
	w.t.Helper()
	cred, err := azidentity.NewClientSecretCredential(azuresim.Tenant, id, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: w.options(), DisableInstanceDiscovery: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients(cred)
}

func (w *world) clients(cred azcore.TokenCredential) {
	w.t.Helper()
	o := &arm.ClientOptions{ClientOptions: w.options(), DisableRPRegistration: true}
	n, err1 := armnetwork.NewClientFactory(azuresim.Subscription, cred, o)
	m, err2 := armcompute.NewClientFactory(azuresim.Subscription, cred, o)
	r, err3 := armresources.NewClientFactory(azuresim.Subscription, cred, o)
	if err := errors.Join(err1, err2, err3); err != nil {
		w.t.Fatal(err)
	}
	w.groups, w.resources, w.providers = r.NewResourceGroupsClient(), r.NewClient(), r.NewProvidersClient()
	w.networks, w.subnets, w.firewalls = n.NewVirtualNetworksClient(), n.NewSubnetsClient(), n.NewSecurityGroupsClient()
	w.asgs = n.NewApplicationSecurityGroupsClient()
	w.addresses, w.interfaces = n.NewPublicIPAddressesClient(), n.NewInterfacesClient()
	w.machines, w.sets, w.disks = m.NewVirtualMachinesClient(), m.NewAvailabilitySetsClient(), m.NewDisksClient()
	w.images, w.skus, w.usage = m.NewVirtualMachineImagesClient(), m.NewResourceSKUsClient(), m.NewUsageClient()
}

// must waits for an operation that is to succeed.
func must[T any](t *testing.T, p *runtime.Poller[T], err error) T {
	t.Helper()
	result, err := wait(t, p, err)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func wait[T any](t *testing.T, p *runtime.Poller[T], err error) (result T, _ error) {
	t.Helper()
	if err != nil {
		return result, err
	}
	return p.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Millisecond})
}

// refused checks an error's code and status.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.StatusCode != status || re.ErrorCode != code {
		t.Errorf("got %v, want %d %s", err, status, code)
	}
}

func ptr[T any](v T) *T { return &v }

// one returns the result of a call that has to succeed.
func one[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) group(name string) {
	w.t.Helper()
	one(w.groups.CreateOrUpdate(w.t.Context(), name, armresources.ResourceGroup{Location: ptr("westeurope"), Tags: map[string]*string{"by": ptr("us")}}, nil))(w.t)
}

func (w *world) network(group, name string) (subnet string) {
	w.t.Helper()
	p, err := w.networks.BeginCreateOrUpdate(w.t.Context(), group, name, armnetwork.VirtualNetwork{
		Location: ptr("westeurope"),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.77.0.0/16")}},
			Subnets:      []*armnetwork.Subnet{{Name: ptr("default"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.77.3.0/24")}}},
		},
	}, nil)
	return *must(w.t, p, err).Properties.Subnets[0].ID
}

func (w *world) firewall(group, name string) string {
	w.t.Helper()
	p, err := w.firewalls.BeginCreateOrUpdate(w.t.Context(), group, name, armnetwork.SecurityGroup{
		Location: ptr("westeurope"),
		Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: []*armnetwork.SecurityRule{{
			Name: ptr("ssh"),
			Properties: &armnetwork.SecurityRulePropertiesFormat{
				Protocol: ptr(armnetwork.SecurityRuleProtocolTCP), Access: ptr(armnetwork.SecurityRuleAccessAllow), Direction: ptr(armnetwork.SecurityRuleDirectionInbound), Priority: ptr[int32](100),
				SourceAddressPrefixes: []*string{ptr("192.0.2.1/32")}, SourcePortRange: ptr("*"), DestinationAddressPrefix: ptr("*"), DestinationPortRange: ptr("22"),
			},
		}}},
	}, nil)
	return *must(w.t, p, err).ID
}

func (w *world) address(group, name string) string {
	w.t.Helper()
	p, err := w.addresses.BeginCreateOrUpdate(w.t.Context(), group, name, address(), nil)
	return *must(w.t, p, err).ID
}

func address() armnetwork.PublicIPAddress {
	return armnetwork.PublicIPAddress{
		Location:   ptr("westeurope"),
		SKU:        &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic)},
	}
}

func nic(subnet, firewall, public string) armnetwork.Interface {
	ip := &armnetwork.InterfaceIPConfigurationPropertiesFormat{Subnet: &armnetwork.Subnet{ID: &subnet}}
	if public != "" {
		ip.PublicIPAddress = &armnetwork.PublicIPAddress{ID: &public, Properties: &armnetwork.PublicIPAddressPropertiesFormat{DeleteOption: ptr(armnetwork.DeleteOptionsDelete)}}
	}
	n := armnetwork.Interface{Location: ptr("westeurope"), Properties: &armnetwork.InterfacePropertiesFormat{
		IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("main"), Properties: ip}},
	}}
	if firewall != "" {
		n.Properties.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: &firewall}
	}
	return n
}

func (w *world) nic(group, name string, n armnetwork.Interface) string {
	w.t.Helper()
	p, err := w.interfaces.BeginCreateOrUpdate(w.t.Context(), group, name, n, nil)
	return *must(w.t, p, err).ID
}

func machine(nic string) armcompute.VirtualMachine {
	return armcompute.VirtualMachine{
		Location: ptr("westeurope"),
		Tags:     map[string]*string{"machine-name": ptr("m1")},
		Properties: &armcompute.VirtualMachineProperties{
			HardwareProfile: &armcompute.HardwareProfile{VMSize: ptr(armcompute.VirtualMachineSizeTypes("Standard_B2s"))},
			StorageProfile: &armcompute.StorageProfile{
				ImageReference: &armcompute.ImageReference{Publisher: ptr("Canonical"), Offer: ptr("ubuntu-24_04-lts"), SKU: ptr("server"), Version: ptr("latest")},
				OSDisk: &armcompute.OSDisk{
					Name: ptr("m1-disk"), CreateOption: ptr(armcompute.DiskCreateOptionTypesFromImage), DeleteOption: ptr(armcompute.DiskDeleteOptionTypesDelete),
					ManagedDisk: &armcompute.ManagedDiskParameters{StorageAccountType: ptr(armcompute.StorageAccountTypesStandardSSDLRS)},
				},
			},
			OSProfile: &armcompute.OSProfile{
				ComputerName: ptr("m1"), AdminUsername: ptr("azureuser"), CustomData: ptr("I2Nsb3VkLWNvbmZpZwo="),
				LinuxConfiguration: &armcompute.LinuxConfiguration{
					DisablePasswordAuthentication: ptr(true),
					SSH:                           &armcompute.SSHConfiguration{PublicKeys: []*armcompute.SSHPublicKey{{Path: ptr("/home/azureuser/.ssh/authorized_keys"), KeyData: ptr(sshKey)}}},
				},
			},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{
				ID: &nic, Properties: &armcompute.NetworkInterfaceReferenceProperties{Primary: ptr(true), DeleteOption: ptr(armcompute.DeleteOptionsDelete)},
			}}},
			SecurityProfile: &armcompute.SecurityProfile{
				SecurityType: ptr(armcompute.SecurityTypesTrustedLaunch),
				UefiSettings: &armcompute.UefiSettings{SecureBootEnabled: ptr(true), VTpmEnabled: ptr(true)},
			},
			DiagnosticsProfile: &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: ptr(true)}},
		},
	}
}

// ready makes all that a machine needs, and returns its interface.
func (w *world) ready(group string) (nicID string) {
	w.t.Helper()
	w.group(group)
	return w.nic(group, "nic", nic(w.network(group, "net"), w.firewall(group, "nsg"), w.address(group, "ip")))
}

// boot makes a machine m1 in the group "g" with all it needs.
func (w *world) boot() armcompute.VirtualMachine {
	w.t.Helper()
	p, err := w.machines.BeginCreateOrUpdate(w.t.Context(), "g", "m1", machine(w.ready("g")), nil)
	return must(w.t, p, err).VirtualMachine
}

// kinds counts what exists.
func (w *world) kinds() string {
	n := map[string]int{}
	for _, r := range w.cloud.Ledger() {
		n[r.Kind]++
	}
	return fmt.Sprint(n)
}
