package azure

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

// sdk is what is used of the SDK's clients, as functions: a type that has a client
// in a field keeps all methods of the client in the program.
type sdk struct {
	vms struct {
		BeginCreateOrUpdate         func(context.Context, string, string, armcompute.VirtualMachine, *armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions) (*runtime.Poller[armcompute.VirtualMachinesClientCreateOrUpdateResponse], error)
		BeginDeallocate             func(context.Context, string, string, *armcompute.VirtualMachinesClientBeginDeallocateOptions) (*runtime.Poller[armcompute.VirtualMachinesClientDeallocateResponse], error)
		BeginDelete                 func(context.Context, string, string, *armcompute.VirtualMachinesClientBeginDeleteOptions) (*runtime.Poller[armcompute.VirtualMachinesClientDeleteResponse], error)
		BeginPowerOff               func(context.Context, string, string, *armcompute.VirtualMachinesClientBeginPowerOffOptions) (*runtime.Poller[armcompute.VirtualMachinesClientPowerOffResponse], error)
		BeginRestart                func(context.Context, string, string, *armcompute.VirtualMachinesClientBeginRestartOptions) (*runtime.Poller[armcompute.VirtualMachinesClientRestartResponse], error)
		BeginStart                  func(context.Context, string, string, *armcompute.VirtualMachinesClientBeginStartOptions) (*runtime.Poller[armcompute.VirtualMachinesClientStartResponse], error)
		Get                         func(context.Context, string, string, *armcompute.VirtualMachinesClientGetOptions) (armcompute.VirtualMachinesClientGetResponse, error)
		InstanceView                func(context.Context, string, string, *armcompute.VirtualMachinesClientInstanceViewOptions) (armcompute.VirtualMachinesClientInstanceViewResponse, error)
		NewListAllPager             func(*armcompute.VirtualMachinesClientListAllOptions) *runtime.Pager[armcompute.VirtualMachinesClientListAllResponse]
		RetrieveBootDiagnosticsData func(context.Context, string, string, *armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataOptions) (armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse, error)
	}
	images struct {
		Get  func(context.Context, string, string, string, string, string, *armcompute.VirtualMachineImagesClientGetOptions) (armcompute.VirtualMachineImagesClientGetResponse, error)
		List func(context.Context, string, string, string, string, *armcompute.VirtualMachineImagesClientListOptions) (armcompute.VirtualMachineImagesClientListResponse, error)
	}
	skus struct {
		NewListPager func(*armcompute.ResourceSKUsClientListOptions) *runtime.Pager[armcompute.ResourceSKUsClientListResponse]
	}
	disks struct {
		BeginDelete func(context.Context, string, string, *armcompute.DisksClientBeginDeleteOptions) (*runtime.Poller[armcompute.DisksClientDeleteResponse], error)
		BeginUpdate func(context.Context, string, string, armcompute.DiskUpdate, *armcompute.DisksClientBeginUpdateOptions) (*runtime.Poller[armcompute.DisksClientUpdateResponse], error)
		Get         func(context.Context, string, string, *armcompute.DisksClientGetOptions) (armcompute.DisksClientGetResponse, error)
	}
	sets struct {
		CreateOrUpdate func(context.Context, string, string, armcompute.AvailabilitySet, *armcompute.AvailabilitySetsClientCreateOrUpdateOptions) (armcompute.AvailabilitySetsClientCreateOrUpdateResponse, error)
		Delete         func(context.Context, string, string, *armcompute.AvailabilitySetsClientDeleteOptions) (armcompute.AvailabilitySetsClientDeleteResponse, error)
		Get            func(context.Context, string, string, *armcompute.AvailabilitySetsClientGetOptions) (armcompute.AvailabilitySetsClientGetResponse, error)
	}
	networks struct {
		BeginCreateOrUpdate func(context.Context, string, string, armnetwork.VirtualNetwork, *armnetwork.VirtualNetworksClientBeginCreateOrUpdateOptions) (*runtime.Poller[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], error)
		BeginDelete         func(context.Context, string, string, *armnetwork.VirtualNetworksClientBeginDeleteOptions) (*runtime.Poller[armnetwork.VirtualNetworksClientDeleteResponse], error)
		Get                 func(context.Context, string, string, *armnetwork.VirtualNetworksClientGetOptions) (armnetwork.VirtualNetworksClientGetResponse, error)
		NewListPager        func(string, *armnetwork.VirtualNetworksClientListOptions) *runtime.Pager[armnetwork.VirtualNetworksClientListResponse]
	}
	subnets struct {
		BeginCreateOrUpdate func(context.Context, string, string, string, armnetwork.Subnet, *armnetwork.SubnetsClientBeginCreateOrUpdateOptions) (*runtime.Poller[armnetwork.SubnetsClientCreateOrUpdateResponse], error)
		BeginDelete         func(context.Context, string, string, string, *armnetwork.SubnetsClientBeginDeleteOptions) (*runtime.Poller[armnetwork.SubnetsClientDeleteResponse], error)
	}
	walls struct {
		BeginCreateOrUpdate func(context.Context, string, string, armnetwork.SecurityGroup, *armnetwork.SecurityGroupsClientBeginCreateOrUpdateOptions) (*runtime.Poller[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], error)
		BeginDelete         func(context.Context, string, string, *armnetwork.SecurityGroupsClientBeginDeleteOptions) (*runtime.Poller[armnetwork.SecurityGroupsClientDeleteResponse], error)
		Get                 func(context.Context, string, string, *armnetwork.SecurityGroupsClientGetOptions) (armnetwork.SecurityGroupsClientGetResponse, error)
	}
	asgs struct {
		BeginCreateOrUpdate func(context.Context, string, string, armnetwork.ApplicationSecurityGroup, *armnetwork.ApplicationSecurityGroupsClientBeginCreateOrUpdateOptions) (*runtime.Poller[armnetwork.ApplicationSecurityGroupsClientCreateOrUpdateResponse], error)
		BeginDelete         func(context.Context, string, string, *armnetwork.ApplicationSecurityGroupsClientBeginDeleteOptions) (*runtime.Poller[armnetwork.ApplicationSecurityGroupsClientDeleteResponse], error)
		Get                 func(context.Context, string, string, *armnetwork.ApplicationSecurityGroupsClientGetOptions) (armnetwork.ApplicationSecurityGroupsClientGetResponse, error)
	}
	ips struct {
		BeginCreateOrUpdate func(context.Context, string, string, armnetwork.PublicIPAddress, *armnetwork.PublicIPAddressesClientBeginCreateOrUpdateOptions) (*runtime.Poller[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], error)
		BeginDelete         func(context.Context, string, string, *armnetwork.PublicIPAddressesClientBeginDeleteOptions) (*runtime.Poller[armnetwork.PublicIPAddressesClientDeleteResponse], error)
		Get                 func(context.Context, string, string, *armnetwork.PublicIPAddressesClientGetOptions) (armnetwork.PublicIPAddressesClientGetResponse, error)
		NewListPager        func(string, *armnetwork.PublicIPAddressesClientListOptions) *runtime.Pager[armnetwork.PublicIPAddressesClientListResponse]
	}
	nics struct {
		BeginCreateOrUpdate func(context.Context, string, string, armnetwork.Interface, *armnetwork.InterfacesClientBeginCreateOrUpdateOptions) (*runtime.Poller[armnetwork.InterfacesClientCreateOrUpdateResponse], error)
		BeginDelete         func(context.Context, string, string, *armnetwork.InterfacesClientBeginDeleteOptions) (*runtime.Poller[armnetwork.InterfacesClientDeleteResponse], error)
		Get                 func(context.Context, string, string, *armnetwork.InterfacesClientGetOptions) (armnetwork.InterfacesClientGetResponse, error)
	}
	groups struct {
		CheckExistence func(context.Context, string, *armresources.ResourceGroupsClientCheckExistenceOptions) (armresources.ResourceGroupsClientCheckExistenceResponse, error)
		BeginDelete    func(context.Context, string, *armresources.ResourceGroupsClientBeginDeleteOptions) (*runtime.Poller[armresources.ResourceGroupsClientDeleteResponse], error)
		CreateOrUpdate func(context.Context, string, armresources.ResourceGroup, *armresources.ResourceGroupsClientCreateOrUpdateOptions) (armresources.ResourceGroupsClientCreateOrUpdateResponse, error)
		Get            func(context.Context, string, *armresources.ResourceGroupsClientGetOptions) (armresources.ResourceGroupsClientGetResponse, error)
		NewListPager   func(*armresources.ResourceGroupsClientListOptions) *runtime.Pager[armresources.ResourceGroupsClientListResponse]
	}
	all struct {
		BeginDeleteByID             func(context.Context, string, string, *armresources.ClientBeginDeleteByIDOptions) (*runtime.Poller[armresources.ClientDeleteByIDResponse], error)
		NewListByResourceGroupPager func(string, *armresources.ClientListByResourceGroupOptions) *runtime.Pager[armresources.ClientListByResourceGroupResponse]
		NewListPager                func(*armresources.ClientListOptions) *runtime.Pager[armresources.ClientListResponse]
	}
}

// connect makes the SDK's clients.
func connect(subscription string, credential azcore.TokenCredential, o *arm.ClientOptions) (s sdk, err error) {
	vms, err := armcompute.NewVirtualMachinesClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.vms.BeginCreateOrUpdate = vms.BeginCreateOrUpdate
	s.vms.BeginDeallocate = vms.BeginDeallocate
	s.vms.BeginDelete = vms.BeginDelete
	s.vms.BeginPowerOff = vms.BeginPowerOff
	s.vms.BeginRestart = vms.BeginRestart
	s.vms.BeginStart = vms.BeginStart
	s.vms.Get = vms.Get
	s.vms.InstanceView = vms.InstanceView
	s.vms.NewListAllPager = vms.NewListAllPager
	s.vms.RetrieveBootDiagnosticsData = vms.RetrieveBootDiagnosticsData
	images, err := armcompute.NewVirtualMachineImagesClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.images.Get = images.Get
	s.images.List = images.List
	skus, err := armcompute.NewResourceSKUsClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.skus.NewListPager = skus.NewListPager
	disks, err := armcompute.NewDisksClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.disks.BeginDelete = disks.BeginDelete
	s.disks.BeginUpdate = disks.BeginUpdate
	s.disks.Get = disks.Get
	sets, err := armcompute.NewAvailabilitySetsClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.sets.CreateOrUpdate = sets.CreateOrUpdate
	s.sets.Delete = sets.Delete
	s.sets.Get = sets.Get
	networks, err := armnetwork.NewVirtualNetworksClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.networks.BeginCreateOrUpdate = networks.BeginCreateOrUpdate
	s.networks.BeginDelete = networks.BeginDelete
	s.networks.Get = networks.Get
	s.networks.NewListPager = networks.NewListPager
	subnets, err := armnetwork.NewSubnetsClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.subnets.BeginCreateOrUpdate = subnets.BeginCreateOrUpdate
	s.subnets.BeginDelete = subnets.BeginDelete
	walls, err := armnetwork.NewSecurityGroupsClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.walls.BeginCreateOrUpdate = walls.BeginCreateOrUpdate
	s.walls.BeginDelete = walls.BeginDelete
	s.walls.Get = walls.Get
	asgs, err := armnetwork.NewApplicationSecurityGroupsClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.asgs.BeginCreateOrUpdate = asgs.BeginCreateOrUpdate
	s.asgs.BeginDelete = asgs.BeginDelete
	s.asgs.Get = asgs.Get
	ips, err := armnetwork.NewPublicIPAddressesClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.ips.BeginCreateOrUpdate = ips.BeginCreateOrUpdate
	s.ips.BeginDelete = ips.BeginDelete
	s.ips.Get = ips.Get
	s.ips.NewListPager = ips.NewListPager
	nics, err := armnetwork.NewInterfacesClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.nics.BeginCreateOrUpdate = nics.BeginCreateOrUpdate
	s.nics.BeginDelete = nics.BeginDelete
	s.nics.Get = nics.Get
	groups, err := armresources.NewResourceGroupsClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.groups.CheckExistence = groups.CheckExistence
	s.groups.BeginDelete = groups.BeginDelete
	s.groups.CreateOrUpdate = groups.CreateOrUpdate
	s.groups.Get = groups.Get
	s.groups.NewListPager = groups.NewListPager
	all, err := armresources.NewClient(subscription, credential, o)
	if err != nil {
		return s, err
	}
	s.all.BeginDeleteByID = all.BeginDeleteByID
	s.all.NewListByResourceGroupPager = all.NewListByResourceGroupPager
	s.all.NewListPager = all.NewListPager
	return s, nil
}
