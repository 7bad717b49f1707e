package azuresim_test

import (
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
)

func TestImagesAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	var names []string
	for _, o := range one(w.images.ListSKUs(ctx, "westeurope", "canonical", "ubuntu-24_04-lts", nil))(t).VirtualMachineImageResourceArray {
		names = append(names, *o.Name)
	}
	if got := strings.Join(names, " "); got != "minimal server server-arm64 server-gen1" {
		t.Errorf("the SKUs are %s", got)
	}
	versions := one(w.images.List(ctx, "westeurope", "Canonical", "ubuntu-24_04-lts", "server", &armcompute.VirtualMachineImagesClientListOptions{Orderby: ptr("name desc"), Top: ptr[int32](1)}))(t).VirtualMachineImageResourceArray
	if len(versions) != 1 || *versions[0].Name != "24.04.202510010" {
		t.Fatalf("the versions are %v", versions)
	}
	i := one(w.images.Get(ctx, "westeurope", "Canonical", "ubuntu-24_04-lts", "server", *versions[0].Name, nil))(t)
	if *i.Properties.HyperVGeneration != "V2" || *i.Properties.Architecture != "x64" || i.Properties.Plan != nil || *i.Properties.Features[0].Value != "TrustedLaunchSupported" {
		t.Errorf("the image is %+v", i.Properties)
	}
	i = one(w.images.Get(ctx, "westeurope", "resf", "rockylinux-x86_64", "9-base", "9.6.20250531", nil))(t)
	if i.Properties.Plan == nil || *i.Properties.Plan.Product != "rockylinux-x86_64" {
		t.Errorf("the image's plan is %+v", i.Properties.Plan)
	}
	_, err := w.images.ListSKUs(ctx, "westeurope", "canonical", "ubuntu-4", nil)
	refused(t, err, 404, "NotFound")
}

func TestSizesAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.SetRestriction("Standard_D2s_v5", "westeurope", "2", "NotAvailableForSubscription")
	pager := w.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: ptr("location eq 'westeurope'")})
	for _, s := range one(pager.NextPage(t.Context()))(t).Value {
		if *s.Name != "Standard_D2s_v5" {
			continue
		}
		if len(s.LocationInfo[0].Zones) != 3 || len(s.Restrictions) != 1 || *s.Restrictions[0].RestrictionInfo.Zones[0] != "2" {
			t.Errorf("zones %v, restrictions %v", s.LocationInfo, s.Restrictions)
		}
		for _, c := range s.Capabilities {
			if *c.Name == "vCPUs" && *c.Value != "2" || *c.Name == "PremiumIO" && *c.Value != "True" {
				t.Errorf("%s is %s", *c.Name, *c.Value)
			}
		}
		return
	}
	t.Error("Standard_D2s_v5 is not in the list")
}

func TestUsageIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	for _, u := range one(w.usage.NewListPager("westeurope", nil).NextPage(t.Context()))(t).Value {
		if *u.Name.Value == "cores" && (*u.CurrentValue != 2 || *u.Limit != 100) {
			t.Errorf("cores: %d of %d", *u.CurrentValue, *u.Limit)
		}
	}
}
