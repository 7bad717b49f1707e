package azuresim

import (
	"context"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	networkfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9/fake"
)

func (f *Front) networkServers() *networkfake.ServerFactory {
	var s networkfake.ServerFactory
	s.VirtualNetworksServer.BeginCreateOrUpdate = func(ctx context.Context, _, _ string, body armnetwork.VirtualNetwork, _ *armnetwork.VirtualNetworksClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armnetwork.VirtualNetworksClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.VirtualNetworksServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armnetwork.VirtualNetworksClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.VirtualNetworksClientDeleteResponse], azfake.ErrorResponder) {
		return long[armnetwork.VirtualNetworksClientDeleteResponse](ctx, f, nil)
	}
	s.VirtualNetworksServer.Get = func(ctx context.Context, _, _ string, _ *armnetwork.VirtualNetworksClientGetOptions) (azfake.Responder[armnetwork.VirtualNetworksClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armnetwork.VirtualNetworksClientGetResponse](ctx, f, nil)
	}
	s.VirtualNetworksServer.NewListPager = func(_ string, _ *armnetwork.VirtualNetworksClientListOptions) azfake.PagerResponder[armnetwork.VirtualNetworksClientListResponse] {
		return pages[armnetwork.VirtualNetworksClientListResponse](f)
	}
	s.SubnetsServer.BeginCreateOrUpdate = func(ctx context.Context, _, _, _ string, body armnetwork.Subnet, _ *armnetwork.SubnetsClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.SubnetsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armnetwork.SubnetsClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.SubnetsServer.BeginDelete = func(ctx context.Context, _, _, _ string, _ *armnetwork.SubnetsClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.SubnetsClientDeleteResponse], azfake.ErrorResponder) {
		return long[armnetwork.SubnetsClientDeleteResponse](ctx, f, nil)
	}
	s.SubnetsServer.Get = func(ctx context.Context, _, _, _ string, _ *armnetwork.SubnetsClientGetOptions) (azfake.Responder[armnetwork.SubnetsClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armnetwork.SubnetsClientGetResponse](ctx, f, nil)
	}
	s.SecurityGroupsServer.BeginCreateOrUpdate = func(ctx context.Context, _, _ string, body armnetwork.SecurityGroup, _ *armnetwork.SecurityGroupsClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armnetwork.SecurityGroupsClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.SecurityGroupsServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armnetwork.SecurityGroupsClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.SecurityGroupsClientDeleteResponse], azfake.ErrorResponder) {
		return long[armnetwork.SecurityGroupsClientDeleteResponse](ctx, f, nil)
	}
	s.SecurityGroupsServer.Get = func(ctx context.Context, _, _ string, _ *armnetwork.SecurityGroupsClientGetOptions) (azfake.Responder[armnetwork.SecurityGroupsClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armnetwork.SecurityGroupsClientGetResponse](ctx, f, nil)
	}
	s.ApplicationSecurityGroupsServer.BeginCreateOrUpdate = func(ctx context.Context, _, _ string, body armnetwork.ApplicationSecurityGroup, _ *armnetwork.ApplicationSecurityGroupsClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.ApplicationSecurityGroupsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armnetwork.ApplicationSecurityGroupsClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.ApplicationSecurityGroupsServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armnetwork.ApplicationSecurityGroupsClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.ApplicationSecurityGroupsClientDeleteResponse], azfake.ErrorResponder) {
		return long[armnetwork.ApplicationSecurityGroupsClientDeleteResponse](ctx, f, nil)
	}
	s.ApplicationSecurityGroupsServer.Get = func(ctx context.Context, _, _ string, _ *armnetwork.ApplicationSecurityGroupsClientGetOptions) (azfake.Responder[armnetwork.ApplicationSecurityGroupsClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armnetwork.ApplicationSecurityGroupsClientGetResponse](ctx, f, nil)
	}
	s.PublicIPAddressesServer.BeginCreateOrUpdate = func(ctx context.Context, _, _ string, body armnetwork.PublicIPAddress, _ *armnetwork.PublicIPAddressesClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.PublicIPAddressesServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armnetwork.PublicIPAddressesClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.PublicIPAddressesClientDeleteResponse], azfake.ErrorResponder) {
		return long[armnetwork.PublicIPAddressesClientDeleteResponse](ctx, f, nil)
	}
	s.PublicIPAddressesServer.Get = func(ctx context.Context, _, _ string, _ *armnetwork.PublicIPAddressesClientGetOptions) (azfake.Responder[armnetwork.PublicIPAddressesClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armnetwork.PublicIPAddressesClientGetResponse](ctx, f, nil)
	}
	s.PublicIPAddressesServer.NewListPager = func(_ string, _ *armnetwork.PublicIPAddressesClientListOptions) azfake.PagerResponder[armnetwork.PublicIPAddressesClientListResponse] {
		return pages[armnetwork.PublicIPAddressesClientListResponse](f)
	}
	s.InterfacesServer.BeginCreateOrUpdate = func(ctx context.Context, _, _ string, body armnetwork.Interface, _ *armnetwork.InterfacesClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.InterfacesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armnetwork.InterfacesClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.InterfacesServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armnetwork.InterfacesClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.InterfacesClientDeleteResponse], azfake.ErrorResponder) {
		return long[armnetwork.InterfacesClientDeleteResponse](ctx, f, nil)
	}
	s.InterfacesServer.Get = func(ctx context.Context, _, _ string, _ *armnetwork.InterfacesClientGetOptions) (azfake.Responder[armnetwork.InterfacesClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armnetwork.InterfacesClientGetResponse](ctx, f, nil)
	}
	return &s
}
