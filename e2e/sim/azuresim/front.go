package azuresim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
	networkfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9/fake"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"

	"github.com/hostsmith/machine/e2e/sim"
)

// Front is a cloud whose resource manager is reached through the fake servers of
// the Azure SDK, as one would be that is built on them alone: it knows only their
// way to poll, says of errors no more than their codes, and has only the methods
// that somebody thought of.
type Front struct {
	*Cloud
	config FrontConfig

	compute   *computefake.ServerFactoryTransport
	network   *networkfake.ServerFactoryTransport
	resources *resourcesfake.ServerFactoryTransport

	mu     sync.Mutex        // held while a list is begun, whose methods get no context
	lister *http.Request     // what they are called for
	polled map[string]string // method by path of what is polled
	paths  map[string]*sync.Mutex
}

// FrontConfig says what a front is like.
type FrontConfig struct {
	Without []string // methods that are not implemented, such as ResourceSKUsClient.NewListPager
	Status  int      // what such a call is answered with; 501; 403 is a right that is missing
	Sparse  bool     // answers leave out what the SDK's models call optional, but for ids, names and states
}

var _ sim.Provider = (*Front)(nil)

// NewFront puts the SDK's fake servers before a cloud.
func NewFront(c *Cloud, config FrontConfig) *Front {
	f := &Front{Cloud: c, config: config, polled: map[string]string{}, paths: map[string]*sync.Mutex{}}
	f.compute = computefake.NewServerFactoryTransport(f.computeServers())
	f.network = networkfake.NewServerFactoryTransport(f.networkServers())
	f.resources = resourcesfake.NewServerFactoryTransport(f.resourceServers())
	return f
}

// pollEnd is what the SDK's fake pollers ask for.
const pollEnd = "/get/fake/status"

// Action names a call as the cloud does; a poll is "GET operations", as there.
func (f *Front) Action(r *http.Request, body []byte) string {
	if strings.HasSuffix(r.URL.Path, pollEnd) {
		return "GET operations"
	}
	return f.Cloud.Action(r, body)
}

type requestKey struct{}

// ServeHTTP gives a request to the fake servers with the name of its method,
// which they look for in its context.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !managed(r.URL.Path) {
		f.Cloud.ServeHTTP(w, r)
		return
	}
	name := f.method(r)
	if name == "" || slices.Contains(f.config.Without, name) {
		status := http.StatusNotImplemented
		if f.config.Status != 0 {
			status = f.config.Status
		}
		if status == http.StatusForbidden {
			writeError(w, refuse(status, "AuthorizationFailed", "The client does not have authorization to perform action '%s' or the scope is invalid.", name))
			return
		}
		http.Error(w, "fake for method "+name+" not implemented", status)
		return
	}
	r.URL.Scheme, r.URL.Host = "https", r.Host // for the links of pages
	// The fake servers panic when a client goes away.
	ctx := context.WithValue(context.WithoutCancel(r.Context()), runtime.CtxAPINameKey{}, name)
	resp, err := f.do(name, r.WithContext(context.WithValue(ctx, requestKey{}, r)))
	var refused *azcore.ResponseError
	switch {
	case errors.As(err, &refused):
		w.Header().Set("x-ms-error-code", refused.ErrorCode)
		w.WriteHeader(refused.StatusCode)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // the client may be gone
	}
}

// path returns what is held while something is done at a path: the fake servers
// are not made for several clients that poll the same.
func (f *Front) path(r *http.Request) *sync.Mutex {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimSuffix(r.URL.Path, pollEnd)
	if f.paths[path] == nil {
		f.paths[path] = &sync.Mutex{}
	}
	return f.paths[path]
}

func (f *Front) do(name string, r *http.Request) (*http.Response, error) {
	one := f.path(r)
	one.Lock()
	defer one.Unlock()
	if strings.Contains(name, ".NewList") {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.lister = r
	}
	switch {
	case strings.Contains(r.URL.Path, "/Microsoft.Compute/"):
		return f.compute.Do(r)
	case strings.Contains(r.URL.Path, "/Microsoft.Network/"):
		return f.network.Do(r)
	}
	return f.resources.Do(r)
}

// method names the method of the SDK's clients that makes a request; empty: there is none here.
func (f *Front) method(r *http.Request) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path, poll := strings.CutSuffix(r.URL.Path, pollEnd); poll {
		return f.polled[path]
	}
	k, _ := parse(r.URL.Path)
	kind, place := strings.Join(k.types, "/"), "subscription"
	if k.group != "" {
		place = "group"
	}
	if k.whole() {
		place = "one"
	}
	name := methods()[r.Method+" "+place+" "+k.provider+"/"+kind]
	if strings.Contains(name, ".Begin") {
		f.polled[r.URL.Path] = name
	}
	return name
}

// ask puts a question to the cloud itself, on behalf of r.
func (f *Front) ask(r *http.Request, method, address string, body any) *httptest.ResponseRecorder {
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // the SDK's models always marshal
	}
	inner := httptest.NewRequestWithContext(r.Context(), method, address, bytes.NewReader(text))
	inner.Header, inner.Host, inner.TLS = r.Header.Clone(), r.Host, r.TLS
	w := httptest.NewRecorder()
	f.Cloud.ServeHTTP(w, inner)
	return w
}

// code is the error code of an answer.
func code(w *httptest.ResponseRecorder) string {
	var said struct {
		Error armError `json:"error"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &said) // none: no code
	return said.Error.Code
}

// methods names the methods of the SDK's clients by verb, place and type.
func methods() map[string]string {
	return map[string]string{
		"PUT one Microsoft.Compute/virtualMachines":                                                  "VirtualMachinesClient.BeginCreateOrUpdate",
		"POST group Microsoft.Compute/virtualMachines/deallocate":                                    "VirtualMachinesClient.BeginDeallocate",
		"DELETE one Microsoft.Compute/virtualMachines":                                               "VirtualMachinesClient.BeginDelete",
		"POST group Microsoft.Compute/virtualMachines/powerOff":                                      "VirtualMachinesClient.BeginPowerOff",
		"POST group Microsoft.Compute/virtualMachines/restart":                                       "VirtualMachinesClient.BeginRestart",
		"POST group Microsoft.Compute/virtualMachines/start":                                         "VirtualMachinesClient.BeginStart",
		"GET one Microsoft.Compute/virtualMachines":                                                  "VirtualMachinesClient.Get",
		"GET group Microsoft.Compute/virtualMachines/instanceView":                                   "VirtualMachinesClient.InstanceView",
		"GET subscription Microsoft.Compute/virtualMachines":                                         "VirtualMachinesClient.NewListAllPager",
		"POST group Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData":                   "VirtualMachinesClient.RetrieveBootDiagnosticsData",
		"GET one Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions":          "VirtualMachineImagesClient.Get",
		"GET subscription Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions": "VirtualMachineImagesClient.List",
		"GET subscription Microsoft.Compute/skus":                                                    "ResourceSKUsClient.NewListPager",
		"DELETE one Microsoft.Compute/disks":                                                         "DisksClient.BeginDelete",
		"PATCH one Microsoft.Compute/disks":                                                          "DisksClient.BeginUpdate",
		"GET one Microsoft.Compute/disks":                                                            "DisksClient.Get",
		"PUT one Microsoft.Compute/availabilitySets":                                                 "AvailabilitySetsClient.CreateOrUpdate",
		"DELETE one Microsoft.Compute/availabilitySets":                                              "AvailabilitySetsClient.Delete",
		"GET one Microsoft.Compute/availabilitySets":                                                 "AvailabilitySetsClient.Get",
		"PUT one Microsoft.Network/virtualNetworks":                                                  "VirtualNetworksClient.BeginCreateOrUpdate",
		"DELETE one Microsoft.Network/virtualNetworks":                                               "VirtualNetworksClient.BeginDelete",
		"GET one Microsoft.Network/virtualNetworks":                                                  "VirtualNetworksClient.Get",
		"GET group Microsoft.Network/virtualNetworks":                                                "VirtualNetworksClient.NewListPager",
		"PUT one Microsoft.Network/virtualNetworks/subnets":                                          "SubnetsClient.BeginCreateOrUpdate",
		"DELETE one Microsoft.Network/virtualNetworks/subnets":                                       "SubnetsClient.BeginDelete",
		"GET one Microsoft.Network/virtualNetworks/subnets":                                          "SubnetsClient.Get",
		"PUT one Microsoft.Network/networkSecurityGroups":                                            "SecurityGroupsClient.BeginCreateOrUpdate",
		"DELETE one Microsoft.Network/networkSecurityGroups":                                         "SecurityGroupsClient.BeginDelete",
		"GET one Microsoft.Network/networkSecurityGroups":                                            "SecurityGroupsClient.Get",
		"PUT one Microsoft.Network/applicationSecurityGroups":                                        "ApplicationSecurityGroupsClient.BeginCreateOrUpdate",
		"DELETE one Microsoft.Network/applicationSecurityGroups":                                     "ApplicationSecurityGroupsClient.BeginDelete",
		"GET one Microsoft.Network/applicationSecurityGroups":                                        "ApplicationSecurityGroupsClient.Get",
		"PUT one Microsoft.Network/publicIPAddresses":                                                "PublicIPAddressesClient.BeginCreateOrUpdate",
		"DELETE one Microsoft.Network/publicIPAddresses":                                             "PublicIPAddressesClient.BeginDelete",
		"GET one Microsoft.Network/publicIPAddresses":                                                "PublicIPAddressesClient.Get",
		"GET group Microsoft.Network/publicIPAddresses":                                              "PublicIPAddressesClient.NewListPager",
		"PUT one Microsoft.Network/networkInterfaces":                                                "InterfacesClient.BeginCreateOrUpdate",
		"DELETE one Microsoft.Network/networkInterfaces":                                             "InterfacesClient.BeginDelete",
		"GET one Microsoft.Network/networkInterfaces":                                                "InterfacesClient.Get",
		"DELETE group /":                   "ResourceGroupsClient.BeginDelete",
		"HEAD group /":                     "ResourceGroupsClient.CheckExistence",
		"PUT group /":                      "ResourceGroupsClient.CreateOrUpdate",
		"GET group /":                      "ResourceGroupsClient.Get",
		"GET subscription /resourcegroups": "ResourceGroupsClient.NewListPager",
		"GET group /resources":             "Client.NewListByResourceGroupPager",
		"GET subscription /resources":      "Client.NewListPager",
	}
}
