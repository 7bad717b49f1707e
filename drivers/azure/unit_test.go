package azure

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func selfSigned(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "principal"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// TestFaults maps what Azure says, in Azure's words.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
		says   string
	}{
		"permission": {403, `{"error":{"code":"AuthorizationFailed","message":"The client 'x' does not have authorization to perform action 'Microsoft.Compute/disks/write' over scope '/s'"}}`,
			drivers.ErrPermission, "Microsoft.Compute/disks/write"},
		"linked":             {403, `{"error":{"code":"LinkedAuthorizationFailed","message":"subnets/join/action on the linked scope"}}`, drivers.ErrPermission, "join/action"},
		"token":              {401, `{"error":{"code":"InvalidAuthenticationToken","message":"The access token is invalid."}}`, drivers.ErrCredentials, "access token"},
		"quota":              {409, `{"error":{"code":"OperationNotAllowed","message":"Operation could not be completed as it results in exceeding approved standardBsv2Family Cores quota."}}`, drivers.ErrQuota, "standardBsv2Family"},
		"not quota":          {409, `{"error":{"code":"OperationNotAllowed","message":"Disk x is attached to VM y."}}`, nil, "attached"},
		"nested":             {400, `{"error":{"code":"BadRequest","message":"general","details":[{"code":"SkuNotAvailable","message":"not in westus"}]}}`, drivers.ErrCapacity, "SkuNotAvailable: not in westus"},
		"quota of addresses": {400, `{"error":{"code":"IPv4StandardSkuPublicIpCountLimitReached","message":"Cannot create more than 20 IPv4 Standard SKU public IP addresses"}}`, drivers.ErrQuota, "more than 20"},
		"quota by code":      {400, `{"error":{"code":"QuotaExceeded","message":"standardDSv5Family"}}`, drivers.ErrQuota, "standardDSv5Family"},
		"tenant":             {401, `{"error":{"code":"InvalidAuthenticationTokenTenant","message":"The access token is from the wrong issuer."}}`, drivers.ErrCredentials, "wrong issuer"},
		"subscription":       {404, `{"error":{"code":"SubscriptionNotFound","message":"The subscription 'x' could not be found."}}`, drivers.ErrCredentials, "could not be found"},
		"marketplace":        {400, `{"error":{"code":"MarketplacePurchaseEligibilityFailed","message":"not eligible"}}`, nil, "not eligible"},
		"policy":             {403, `{"error":{"code":"RequestDisallowedByPolicy","message":"policy 'no public addresses'"}}`, drivers.ErrPermission, "no public addresses"},
		"forbidden":          {403, ``, drivers.ErrPermission, "403 Forbidden"},
		"plain":              {400, `that is wrong`, nil, "that is wrong"},
		"empty":              {409, ``, nil, "409 Conflict"},
		"null":               {400, `null`, nil, "400"},
		"not as described":   {400, `{"error":"text"}`, nil, "text"},
		"overconstrained":    {409, `{"error":{"code":"OverconstrainedZonalAllocationRequest","message":"x"}}`, drivers.ErrCapacity, "x"},
		"zonal":              {409, `{"error":{"code":"ZonalAllocationFailed","message":"full"}}`, drivers.ErrCapacity, "full"},
		"in use":             {400, `{"error":{"code":"InUseSubnetCannotBeDeleted","message":"Subnet is in use"}}`, drivers.ErrInUse, "in use"},
		"nic":                {400, `{"error":{"code":"NicInUse","message":"used by vm"}}`, drivers.ErrInUse, "used"},
		"dns":                {400, `{"error":{"code":"DnsRecordInUse","message":"taken"}}`, drivers.ErrConflict, "taken"},
		"throttled":          {429, `{"error":{"code":"OperationNotAllowed","message":"slow down"}}`, drivers.ErrThrottled, "slow down"},
		"missing":            {404, `{"error":{"code":"ResourceNotFound","message":"no vm"}}`, drivers.ErrNotFound, "no vm"},
		"location":           {400, `{"error":{"code":"LocationNotAvailableForResourceGroup","message":"'mars' is not available"}}`, drivers.ErrOption, "mars"},
		"a page":             {502, `<html>`, nil, "502"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{StatusCode: c.status, Header: http.Header{"X-Ms-Request-Id": {"r-1"}}, Body: readCloser(c.body),
				Request: httptest.NewRequest(http.MethodGet, "https://x/y", nil)}
			a := &account{secrets: []string{"hush"}}
			err := a.fault(t.Context(), "do it", runtime.NewResponseError(resp))
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			for _, other := range []error{drivers.ErrPermission, drivers.ErrQuota, drivers.ErrCapacity, drivers.ErrNotFound, drivers.ErrInUse, drivers.ErrConflict, drivers.ErrThrottled, drivers.ErrCredentials} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
			for _, s := range []string{"do it: ", c.says, "r-1"} {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func TestFaultOfEndedContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := (&account{}).fault(ctx, "x", context.Canceled); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestLoginChoice(t *testing.T) {
	t.Parallel()
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for name, c := range map[string]struct {
		cfg  Config
		env  func(string) string
		want method
	}{
		"nothing":                {Config{}, env(), byChain},
		"client alone":           {Config{Client: "c"}, env(), byChain},
		"secret":                 {Config{Client: "c", Secret: "s"}, env(), bySecret},
		"secret of environment":  {Config{Client: "c"}, env("AZURE_CLIENT_SECRET", "s"), bySecret},
		"secret without client":  {Config{}, env("AZURE_CLIENT_SECRET", "s"), byChain},
		"certificate":            {Config{Client: "c", Certificate: "f"}, env(), byCertificate},
		"certificate, old env":   {Config{Client: "c", Certificate: "f"}, env("AZURE_CLIENT_SECRET", "s"), byCertificate},
		"token":                  {Config{Client: "c", TokenFile: "f"}, env(), byToken},
		"identity":               {Config{Managed: true, Client: "c", Secret: "s"}, env(), byIdentity},
		"device":                 {Config{DeviceCode: true, Client: "c"}, env("AZURE_CLIENT_SECRET", "s"), byDevice},
		"secret before the rest": {Config{Client: "c", Secret: "s", Certificate: "f", TokenFile: "g"}, env(), bySecret},
	} {
		if got := c.cfg.login(c.env); got.method != c.want {
			t.Errorf("%s: got %s, want %s", name, got.method, c.want)
		}
	}
}

func TestClouds(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                       "https://management.azure.com",
		"AzurePublicCloud":       "https://management.azure.com",
		"AZUREUSGOVERNMENTCLOUD": "https://management.usgovcloudapi.net",
		"AzureUSGovernment":      "https://management.usgovcloudapi.net",
		"AzureChinaCloud":        "https://management.chinacloudapi.cn",
	} {
		e, ok := namedCloud(name)
		if !ok || e.endpoint != want || e.audience == "" || e.authority == "" || e.own {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	if _, ok := namedCloud("AzureGermanCloud"); ok {
		t.Error("AzureGermanCloud exists no more")
	}
	for challenge, want := range map[string]string{
		`Bearer authorization_uri="https://login.windows.net/11111111-1111-4111-8111-111111111111", error="invalid_token"`: "11111111-1111-4111-8111-111111111111",
		`Bearer authorization="https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/oauth2"`:             "11111111-1111-4111-8111-111111111111",
		`Bearer authorization_uri="https://login.windows.net/common"`:                                                      "",
		`Basic`: "",
	} {
		if got := tenantIn(challenge); got != want {
			t.Errorf("%s: got %q", challenge, got)
		}
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	for name, byArch := range aliases() {
		for arch, s := range byArch {
			if u, err := parseImage(s); err != nil || u.version != "latest" {
				t.Errorf("%s for %s: got %v, %v", name, arch, u, err)
			}
		}
		if len(byArch) != 2 {
			t.Errorf("%s is not for both architectures", name)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"24.04.202510010", "24.04.202509230", 1}, {"9.10.1", "9.9.1", 1}, {"1.0", "1.0.1", -1}, {"1.x", "1.x", 0}} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: got %d", c.a, c.b, got)
		}
	}
	for name, want := range map[string]string{
		"Standard_B2s_v2": x64, "Standard_B2ps_v2": arm64, "Standard_D2ps_v6": arm64, "Standard_D4as_v5": x64, "Standard_E4pds_v5": arm64, "Standard_NP10s": x64, "Standard_A2": x64,
	} {
		if got := guessArch(name); got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestSizesOfOtherPlaces(t *testing.T) {
	t.Parallel()
	s := &armcompute.ResourceSKU{
		Name: ptr("Standard_B2s_v2"), ResourceType: ptr("virtualMachines"), Locations: []*string{ptr("West US"), nil},
		LocationInfo: []*armcompute.ResourceSKULocationInfo{nil, {}, {Location: ptr("westus"), Zones: []*string{ptr("1"), ptr("2")}}},
		Restrictions: []*armcompute.ResourceSKURestrictions{nil, {}, {
			Type: ptr(armcompute.ResourceSKURestrictionsTypeLocation), RestrictionInfo: &armcompute.ResourceSKURestrictionInfo{Locations: []*string{ptr("eastus")}},
			ReasonCode: ptr(armcompute.ResourceSKURestrictionsReasonCodeNotAvailableForSubscription),
		}, {Type: ptr(armcompute.ResourceSKURestrictionsTypeZone), RestrictionInfo: &armcompute.ResourceSKURestrictionInfo{Zones: []*string{ptr("2")}}}},
		Capabilities: []*armcompute.ResourceSKUCapabilities{nil, {}, {Name: ptr("vCPUs"), Value: ptr("?")}},
	}
	if z := readSize(s, "westus"); z.refused != "" || !slices.Equal(z.zones, []string{"1"}) {
		t.Errorf("got %+v", z)
	}
	for location, want := range map[string]bool{"westus": true, "eastus": false} {
		if covers(s.Locations, location) != want {
			t.Errorf("%s: want %v", location, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long-name-", 7)
	names := map[string]bool{}
	for _, machine := range []string{"m1", long + "a", long + "b"} {
		d := &driver{env: drivers.Env{Machine: machine, StoreID: testStore}, state: &drivers.Durable[State]{}}
		if n := d.name(); len(n) > longestName || !strings.HasSuffix(n, "-01234567") || names[n] {
			t.Errorf("%s is called %s", machine, n)
		}
		names[d.name()] = true
	}
	for _, bad := range []string{"", "/", "/subscriptions/x", "/subscriptions/x/resourceGroups/y/z", "/a/b/c/d"} {
		if p, err := parseID(bad); err == nil {
			t.Errorf("%q: got %v", bad, p)
		}
	}
	p, err := parseID("/subscriptions/s/resourcegroups/G/providers/Microsoft.Network/virtualNetworks/n/subnets/c")
	if err != nil || p != (part{"s", "G", "Microsoft.Network/virtualNetworks", "n", "c"}) {
		t.Errorf("got %v, %v", p, err)
	}
}

func TestLimiterWaits(t *testing.T) {
	t.Parallel()
	l := &limiter{slots: make(chan struct{}, 1)}
	l.pause(30 * time.Millisecond)
	began := time.Now()
	if err := l.await(t.Context()); err != nil || time.Since(began) < 20*time.Millisecond {
		t.Errorf("waited %v, %v", time.Since(began), err)
	}
	l.pause(time.Hour)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("late"))
	defer cancel()
	if err := l.await(ctx); err == nil {
		t.Error("did not wait")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a:b:c", "a:b:c:d", "/x", "ubuntu-24.04", "80-90/udp", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseImage(s); err == nil && u.id == "" && bytes.Count([]byte(u.String()), []byte(":")) != 3 {
			t.Errorf("%q: got %v", s, u)
		}
		_, _ = parsePort(s)
		_, _ = parseID(s)
		_, _ = parsePlan(s)
	})
}
