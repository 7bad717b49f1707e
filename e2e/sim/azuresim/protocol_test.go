package azuresim_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

func path(address string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(address, "https://"), "/")
	return "/" + rest
}

func TestOperationsArePolled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *azuresim.Config) { c.Operation, c.RetryAfter = 500*time.Millisecond, 0 })
	token := w.token()
	at := subscriptionPath + "/resourceGroups/g"
	if status, _, answer := w.call("PUT", at+"?api-version=2021-04-01", token, `{"location":"westeurope"}`); status != 201 {
		t.Fatalf("the group: %d %v", status, answer)
	}
	ip := at + "/providers/Microsoft.Network/publicIPAddresses/ip?api-version=2025-05-01"
	status, header, answer := w.call("PUT", ip, token, `{"location":"West Europe","sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`)
	if status != 201 || header.Get("Azure-AsyncOperation") == "" || header.Get("Retry-After") != "1" {
		t.Fatalf("got %d, %v, %v", status, header, answer)
	}
	w.ends(token, header.Get("Azure-AsyncOperation"), "Succeeded")
	if status, _, _ = w.call("PUT", ip, token, `{"location":"westeurope","sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`); status != 200 {
		t.Errorf("a second PUT: %d", status)
	}
	if status, _, answer = w.call("PUT", ip, token, `{"location":"westeurope","sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`); status != 409 || code(answer) != "AnotherOperationInProgress" {
		t.Errorf("a PUT meanwhile: %d %v", status, answer)
	}
	status, header, _ = w.call("DELETE", at+"?api-version=2021-04-01", token, "")
	location := header.Get("Location")
	if status != 202 || location == "" || header.Get("Azure-AsyncOperation") != "" {
		t.Fatalf("deletion of the group: %d %v", status, header)
	}
	if status, _, _ = w.call("GET", path(location), token, ""); status != 202 {
		t.Errorf("first poll: %d", status)
	}
	for range 1000 {
		if status, _, _ = w.call("GET", path(location), token, ""); status != 202 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if status != 200 {
		t.Errorf("last poll: %d", status)
	}
}

// ends waits for the end of an operation.
func (w *world) ends(token, address, want string) map[string]any {
	w.t.Helper()
	seen := map[any]bool{}
	for range 1000 {
		_, _, answer := w.call("GET", path(address), token, "")
		if seen[answer["status"]] = true; answer["status"] != "InProgress" {
			if answer["status"] != want || !seen["InProgress"] {
				w.t.Errorf("the operation ended with %v, it was %v", answer, seen)
			}
			return answer
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("the operation does not end")
	return nil
}

func TestRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	token := w.token()
	ip := subscriptionPath + "/resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/ip"
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"no api-version":      {"GET", ip, "", 400, "MissingApiVersionParameter"},
		"bad api-version":     {"GET", ip + "?api-version=2016-01-01", "", 400, "NoRegisteredProviderFound"},
		"unknown property":    {"PUT", ip + "?api-version=2025-05-01", `{"location":"westeurope","sku":{"name":"Standard"},"properties":{"publicIPAllocationMehtod":"Static"}}`, 400, "InvalidRequestContent"},
		"not simulated":       {"PUT", ip + "?api-version=2025-05-01", `{"location":"westeurope","sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static","natGateway":{"id":"x"}}}`, 501, "NotSimulated"},
		"no JSON":             {"PUT", ip + "?api-version=2025-05-01", `{`, 400, "InvalidRequestContent"},
		"no location":         {"PUT", ip + "?api-version=2025-05-01", `{}`, 400, "LocationRequired"},
		"bad location":        {"PUT", ip + "?api-version=2025-05-01", `{"location":"atlantis"}`, 400, "LocationNotAvailableForResourceType"},
		"bad name":            {"PUT", ip + "-?api-version=2025-05-01", `{"location":"westeurope"}`, 400, "InvalidResourceName"},
		"Basic":               {"PUT", ip + "?api-version=2025-05-01", `{"location":"westeurope"}`, 400, "IPv4BasicSkuPublicIpCountLimitReached"},
		"unknown query":       {"GET", ip + "?api-version=2025-05-01&x=y", "", 501, "NotSimulated"},
		"no group":            {"GET", strings.Replace(ip, "/g/", "/h/", 1) + "?api-version=2025-05-01", "", 404, "ResourceGroupNotFound"},
		"no resource":         {"GET", ip + "?api-version=2025-05-01", "", 404, "ResourceNotFound"},
		"no subscription":     {"GET", "/subscriptions/x/resourceGroups?api-version=2021-04-01", "", 404, "SubscriptionNotFound"},
		"no provider":         {"GET", subscriptionPath + "/providers/Microsoft.Nothing/things?api-version=2021-04-01", "", 404, "InvalidResourceNamespace"},
		"no type":             {"PUT", subscriptionPath + "/resourceGroups/g/providers/Microsoft.Network/things/x?api-version=2025-05-01", "{}", 404, "InvalidResourceType"},
		"no parent":           {"PUT", subscriptionPath + "/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/x/subnets/y?api-version=2025-05-01", "{}", 404, "ParentResourceNotFound"},
		"bad group name":      {"PUT", subscriptionPath + "/resourceGroups/a*b?api-version=2021-04-01", `{"location":"westeurope"}`, 400, "InvalidResourceGroupName"},
		"group moved":         {"PUT", subscriptionPath + "/resourceGroups/g?api-version=2021-04-01", `{"location":"westus"}`, 409, "InvalidResourceGroupLocation"},
		"delete what is gone": {"DELETE", ip + "?api-version=2025-05-01", "", 204, ""},
	} {
		status, _, answer := w.call(c.method, c.path, token, c.body)
		if got, _ := code(answer).(string); status != c.status || got != c.code {
			t.Errorf("%s: got %d %v", name, status, answer)
		}
	}
}

func TestNewGroupIsNotFoundForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *azuresim.Config) { c.Delay = time.Second })
	w.group("g")
	refused(t, w.knockAt("g"), 404, "ResourceGroupNotFound")
	_, err := w.addresses.BeginCreateOrUpdate(t.Context(), "g", "ip", address(), nil)
	refused(t, err, 404, "ResourceGroupNotFound")
	time.Sleep(time.Second)
	if err := w.knockAt("g"); err != nil {
		t.Error(err)
	}
	p, err := w.addresses.BeginCreateOrUpdate(t.Context(), "g", "ip", address(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, early := w.addresses.Get(t.Context(), "g", "ip", nil)
	refused(t, early, 404, "ResourceNotFound")
	must(t, p, err)
	if got := w.find("tagName eq 'by'"); got != "" {
		t.Errorf("the list has %s already", got)
	}
}

func (w *world) knockAt(group string) error {
	_, err := w.groups.Get(w.t.Context(), group, nil)
	return err
}

// find lists resources by a filter.
func (w *world) find(filter string) string {
	w.t.Helper()
	var names []string
	for pager := w.resources.NewListPager(&armresources.ClientListOptions{Filter: &filter}); pager.More(); {
		page := one(pager.NextPage(w.t.Context()))(w.t)
		for _, r := range page.Value {
			names = append(names, *r.Name)
		}
	}
	return strings.Join(names, " ")
}

func TestResourcesAreFoundByTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *azuresim.Config) { c.Page = 1 })
	w.boot()
	for filter, want := range map[string]string{
		"tagName eq 'machine-name' and tagValue eq 'm1'":          "m1-disk m1",
		"tagName eq 'machine-name' and tagValue eq 'm2'":          "",
		"tagName eq 'Machine-Name'":                               "m1-disk m1",
		"resourceType eq 'Microsoft.Network/publicIPAddresses'":   "ip",
		"resourceType eq 'Microsoft.Compute/virtualMachines'":     "m1",
		"resourceGroup eq 'G' and name eq 'net'":                  "net",
		"resourceType eq 'Microsoft.Network/networkInterfaces'  ": "nic",
	} {
		if got := w.find(filter); got != want {
			t.Errorf("%s: got %q, want %q", filter, got, want)
		}
	}
	_, err := w.resources.NewListPager(&armresources.ClientListOptions{Filter: ptr("tagName eq 'a' and resourceType eq 'b'")}).NextPage(t.Context())
	refused(t, err, 400, "InvalidFilterInQueryString")
	all := w.machines.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: ptr("true")})
	created := one(w.resources.NewListByResourceGroupPager("g", &armresources.ClientListByResourceGroupOptions{Expand: ptr("createdTime")}).NextPage(t.Context()))(t)
	if r := created.Value[0]; r.CreatedTime == nil || time.Since(*r.CreatedTime) > time.Minute {
		t.Errorf("made at %v", r.CreatedTime)
	}
	page := one(all.NextPage(t.Context()))(t)
	if len(page.Value) != 1 || *page.Value[0].Properties.InstanceView.Statuses[1].Code != "PowerState/running" {
		t.Errorf("the list of states is %v", page.Value)
	}
}

func TestThrottledPrincipalIsToldToWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *azuresim.Config) { c.Throttle, c.Refill = 2, time.Hour })
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
	err := w.knock()
	refused(t, err, 429, "TooManyRequests")
	var re *azcore.ResponseError
	if errors.As(err, &re) && re.RawResponse.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestProvidersAreRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *azuresim.Config) { c.Unregistered = []string{"Microsoft.Network"} })
	w.group("g")
	_, err := w.addresses.BeginCreateOrUpdate(t.Context(), "g", "ip", address(), nil)
	refused(t, err, 409, "MissingSubscriptionRegistration")
	if p := one(w.providers.Get(t.Context(), "Microsoft.Network", nil))(t); *p.RegistrationState != "NotRegistered" {
		t.Errorf("got %s", *p.RegistrationState)
	}
	one(w.providers.Register(t.Context(), "Microsoft.Network", nil))(t)
	w.address("g", "ip")
}

func TestSDKRegistersProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	cred := one(azidentity.NewClientSecretCredential(azuresim.Tenant, azuresim.ClientID, azuresim.ClientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: w.options(), DisableInstanceDiscovery: true}))(t)
	addresses := one(armnetwork.NewPublicIPAddressesClient(azuresim.Subscription, cred, &arm.ClientOptions{ClientOptions: w.options()}))(t)
	w.cloud.SetRegistered("Microsoft.Network", false)
	p, err := addresses.BeginCreateOrUpdate(t.Context(), "g", "ip", address(), nil)
	must(t, p, err)
}

func TestFaultsLookLikeARMs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := sim.NewGate(w.cloud)
	w.server.Config.Handler = gate
	gate.Inject(sim.Fault{Action: "GET resourceGroups", Mode: sim.Throttle})
	refused(t, w.knock(), 429, "TooManyRequests")
	gate.Inject(sim.Fault{Action: "GET resourceGroups", Mode: sim.Fail, Code: "AuthorizationFailed", Text: "no"})
	refused(t, w.knock(), 403, "AuthorizationFailed")
	if n := gate.Calls(); n["GET resourceGroups"] != 2 || n[""] != 2 {
		t.Errorf("counted %v", n)
	}
}

func TestActionsHaveNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := subscriptionPath + "/resourceGroups/g"
	for request, want := range map[string]string{
		"PUT " + g: "PUT resourceGroups",
		"GET " + subscriptionPath + "/resourcegroups":                                             "GET resourceGroups",
		"PUT " + g + "/providers/Microsoft.Compute/virtualMachines/m":                             "PUT virtualMachines",
		"POST " + g + "/providers/Microsoft.Compute/virtualMachines/m/deallocate":                 "POST virtualMachines/deallocate",
		"GET " + g + "/providers/Microsoft.Compute/virtualMachines":                               "GET virtualMachines",
		"GET " + subscriptionPath + "/providers/Microsoft.Compute/locations/westus/operations/id": "GET operations",
		"POST /" + azuresim.Tenant + "/oauth2/v2.0/token":                                         "",
	} {
		method, path, _ := strings.Cut(request, " ")
		r := one(http.NewRequestWithContext(t.Context(), method, w.server.URL+path, nil))(t)
		if got := w.cloud.Action(r, nil); got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}
