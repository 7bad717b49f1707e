package azuresim

import (
	"context"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"
)

func (f *Front) resourceServers() *resourcesfake.ServerFactory {
	var s resourcesfake.ServerFactory
	s.ResourceGroupsServer.BeginDelete = func(ctx context.Context, _ string, _ *armresources.ResourceGroupsClientBeginDeleteOptions) (azfake.PollerResponder[armresources.ResourceGroupsClientDeleteResponse], azfake.ErrorResponder) {
		return long[armresources.ResourceGroupsClientDeleteResponse](ctx, f, nil)
	}
	s.ResourceGroupsServer.CheckExistence = func(ctx context.Context, _ string, _ *armresources.ResourceGroupsClientCheckExistenceOptions) (azfake.Responder[armresources.ResourceGroupsClientCheckExistenceResponse], azfake.ErrorResponder) {
		return atOnce[armresources.ResourceGroupsClientCheckExistenceResponse](ctx, f, nil)
	}
	s.ResourceGroupsServer.CreateOrUpdate = func(ctx context.Context, _ string, body armresources.ResourceGroup, _ *armresources.ResourceGroupsClientCreateOrUpdateOptions) (azfake.Responder[armresources.ResourceGroupsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return atOnce[armresources.ResourceGroupsClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.ResourceGroupsServer.Get = func(ctx context.Context, _ string, _ *armresources.ResourceGroupsClientGetOptions) (azfake.Responder[armresources.ResourceGroupsClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armresources.ResourceGroupsClientGetResponse](ctx, f, nil)
	}
	s.ResourceGroupsServer.NewListPager = func(_ *armresources.ResourceGroupsClientListOptions) azfake.PagerResponder[armresources.ResourceGroupsClientListResponse] {
		return pages[armresources.ResourceGroupsClientListResponse](f)
	}
	s.Server.NewListByResourceGroupPager = func(_ string, _ *armresources.ClientListByResourceGroupOptions) azfake.PagerResponder[armresources.ClientListByResourceGroupResponse] {
		return pages[armresources.ClientListByResourceGroupResponse](f)
	}
	s.Server.NewListPager = func(_ *armresources.ClientListOptions) azfake.PagerResponder[armresources.ClientListResponse] {
		return pages[armresources.ClientListResponse](f)
	}
	return &s
}
