package azuresim

import (
	"context"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
)

func (f *Front) computeServers() *computefake.ServerFactory {
	var s computefake.ServerFactory
	s.VirtualMachinesServer.BeginCreateOrUpdate = func(ctx context.Context, _, _ string, body armcompute.VirtualMachine, _ *armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return long[armcompute.VirtualMachinesClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.VirtualMachinesServer.BeginDeallocate = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientBeginDeallocateOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientDeallocateResponse], azfake.ErrorResponder) {
		return long[armcompute.VirtualMachinesClientDeallocateResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientBeginDeleteOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientDeleteResponse], azfake.ErrorResponder) {
		return long[armcompute.VirtualMachinesClientDeleteResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.BeginPowerOff = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientBeginPowerOffOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientPowerOffResponse], azfake.ErrorResponder) {
		return long[armcompute.VirtualMachinesClientPowerOffResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.BeginRestart = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientBeginRestartOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientRestartResponse], azfake.ErrorResponder) {
		return long[armcompute.VirtualMachinesClientRestartResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.BeginStart = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientBeginStartOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientStartResponse], azfake.ErrorResponder) {
		return long[armcompute.VirtualMachinesClientStartResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.Get = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientGetOptions) (azfake.Responder[armcompute.VirtualMachinesClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.VirtualMachinesClientGetResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.InstanceView = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientInstanceViewOptions) (azfake.Responder[armcompute.VirtualMachinesClientInstanceViewResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.VirtualMachinesClientInstanceViewResponse](ctx, f, nil)
	}
	s.VirtualMachinesServer.NewListAllPager = func(_ *armcompute.VirtualMachinesClientListAllOptions) azfake.PagerResponder[armcompute.VirtualMachinesClientListAllResponse] {
		return pages[armcompute.VirtualMachinesClientListAllResponse](f)
	}
	s.VirtualMachinesServer.RetrieveBootDiagnosticsData = func(ctx context.Context, _, _ string, _ *armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataOptions) (azfake.Responder[armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse](ctx, f, nil)
	}
	s.VirtualMachineImagesServer.Get = func(ctx context.Context, _, _, _, _, _ string, _ *armcompute.VirtualMachineImagesClientGetOptions) (azfake.Responder[armcompute.VirtualMachineImagesClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.VirtualMachineImagesClientGetResponse](ctx, f, nil)
	}
	s.VirtualMachineImagesServer.List = func(ctx context.Context, _, _, _, _ string, _ *armcompute.VirtualMachineImagesClientListOptions) (azfake.Responder[armcompute.VirtualMachineImagesClientListResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.VirtualMachineImagesClientListResponse](ctx, f, nil)
	}
	s.ResourceSKUsServer.NewListPager = func(_ *armcompute.ResourceSKUsClientListOptions) azfake.PagerResponder[armcompute.ResourceSKUsClientListResponse] {
		return pages[armcompute.ResourceSKUsClientListResponse](f)
	}
	s.DisksServer.BeginDelete = func(ctx context.Context, _, _ string, _ *armcompute.DisksClientBeginDeleteOptions) (azfake.PollerResponder[armcompute.DisksClientDeleteResponse], azfake.ErrorResponder) {
		return long[armcompute.DisksClientDeleteResponse](ctx, f, nil)
	}
	s.DisksServer.BeginUpdate = func(ctx context.Context, _, _ string, body armcompute.DiskUpdate, _ *armcompute.DisksClientBeginUpdateOptions) (azfake.PollerResponder[armcompute.DisksClientUpdateResponse], azfake.ErrorResponder) {
		return long[armcompute.DisksClientUpdateResponse](ctx, f, body)
	}
	s.DisksServer.Get = func(ctx context.Context, _, _ string, _ *armcompute.DisksClientGetOptions) (azfake.Responder[armcompute.DisksClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.DisksClientGetResponse](ctx, f, nil)
	}
	s.AvailabilitySetsServer.CreateOrUpdate = func(ctx context.Context, _, _ string, body armcompute.AvailabilitySet, _ *armcompute.AvailabilitySetsClientCreateOrUpdateOptions) (azfake.Responder[armcompute.AvailabilitySetsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.AvailabilitySetsClientCreateOrUpdateResponse](ctx, f, body)
	}
	s.AvailabilitySetsServer.Delete = func(ctx context.Context, _, _ string, _ *armcompute.AvailabilitySetsClientDeleteOptions) (azfake.Responder[armcompute.AvailabilitySetsClientDeleteResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.AvailabilitySetsClientDeleteResponse](ctx, f, nil)
	}
	s.AvailabilitySetsServer.Get = func(ctx context.Context, _, _ string, _ *armcompute.AvailabilitySetsClientGetOptions) (azfake.Responder[armcompute.AvailabilitySetsClientGetResponse], azfake.ErrorResponder) {
		return atOnce[armcompute.AvailabilitySetsClientGetResponse](ctx, f, nil)
	}
	return &s
}
