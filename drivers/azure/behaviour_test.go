package azure

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// TestNetworkOfOthers: a virtual network in a group that is named has to be there before anything is made.
func TestNetworkOfOthers(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, azuresim.Config{})
	err := cloud.driver(t, drivers.Values{"azure-vnet": {"nosuch:thing"}}, drivers.Env{}).Check(t.Context())
	var advice interface{ Hint() string }
	if !errors.Is(err, drivers.ErrNotFound) || !errors.As(err, &advice) || !strings.Contains(advice.Hint(), "az network vnet list") {
		t.Errorf("got %v, want a network that is not found, and how to find one", err)
	}
	if err := cloud.driver(t, drivers.Values{"azure-vnet": {"thing"}}, drivers.Env{}).Check(t.Context()); err != nil {
		t.Errorf("a network of the machine's own group: %v", err)
	}
}

// TestProblems plays what goes wrong at Azure, and looks at what the user is told.
func TestProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config azuresim.Config
		values drivers.Values
		before func(c *simulated)
		want   error
		says   []string
		advice string
	}{
		"quota of cores":     {before: func(c *simulated) { c.SetQuota("cores", 1) }, want: drivers.ErrQuota, says: []string{"OperationNotAllowed", "quota", "request "}, advice: "list-usage"},
		"quota of addresses": {before: func(c *simulated) { c.SetQuota("PublicIPAddresses", 0) }, want: drivers.ErrQuota, says: []string{"PublicIPCountLimitReached"}},
		"size restricted": {before: func(c *simulated) { c.SetRestriction("Standard_B2s_v2", "westus", "", "NotAvailableForSubscription") }, want: drivers.ErrCapacity,
			says: []string{"NotAvailableForSubscription"}, advice: "Standard_B2as_v2"},
		"no capacity": {before: func(c *simulated) { c.SetScarce("Standard_B2s_v2", "AllocationFailed") }, want: drivers.ErrCapacity, says: []string{"AllocationFailed"}, advice: "Standard_"},
		"unregistered": {config: azuresim.Config{Unregistered: []string{"Microsoft.Network"}}, want: nil, says: []string{"MissingSubscriptionRegistration"},
			advice: "az provider register --namespace Microsoft.Network"},
		"terms":        {values: drivers.Values{"azure-image": {"rocky-9"}}, want: nil, says: []string{"Marketplace"}, advice: "az vm image terms accept"},
		"no size":      {values: drivers.Values{"azure-size": {"Standard_D2s_v9"}}, want: drivers.ErrNotFound, advice: "Standard_B2as_v2"},
		"no ARM size":  {values: drivers.Values{"azure-size": {"Standard_D2ps_v9"}}, want: drivers.ErrNotFound, advice: "there: Standard_B2pls_v2"},
		"no zone":      {values: drivers.Values{"azure-zone": {"1"}}, want: drivers.ErrCapacity},
		"no version":   {values: drivers.Values{"azure-image": {"Canonical:ubuntu-24_04-lts:server:1.2.3"}}, want: drivers.ErrNotFound, says: []string{"1.2.3"}},
		"wrong arch":   {values: drivers.Values{"azure-image": {"Canonical:ubuntu-24_04-lts:server-arm64"}}, want: drivers.ErrOption, says: []string{"Arm64"}},
		"old size":     {values: drivers.Values{"azure-size": {"Standard_A2_v2"}}, want: drivers.ErrOption, says: []string{"generation"}},
		"wrong secret": {values: drivers.Values{"azure-client-secret": {"wrong~secret"}}, want: drivers.ErrCredentials, says: []string{"AADSTS7000215"}, advice: "az login"},
		"throttled": {before: func(c *simulated) {
			c.gate.Inject(sim.Fault{Action: "GET resourceGroups", Mode: sim.Fail, Status: 429, Code: "TooManyRequests", Times: -1})
		}, want: drivers.ErrThrottled},
		"permission": {before: func(c *simulated) { c.AddPrincipal(azuresim.ClientID, azuresim.ClientSecret, "*/read") }, want: drivers.ErrPermission,
			says: []string{"Microsoft.Resources/subscriptions/resourceGroups/write", "/subscriptions/" + azuresim.Subscription}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := newCloud(t, c.config)
			if c.before != nil {
				c.before(cloud)
			}
			d := cloud.driver(t, c.values, drivers.Env{})
			err := d.Create(t.Context(), request(t))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "wrong~secret") {
				t.Errorf("%q has lines or a secret", err)
			}
			var hint interface{ Hint() string }
			if c.advice != "" && (!errors.As(err, &hint) || !strings.Contains(hint.Hint(), c.advice)) {
				t.Errorf("%v: advice has no %q", err, c.advice)
			}
			cloud.gate.Clear()
			cloud.AddPrincipal(azuresim.ClientID, azuresim.ClientSecret, "*")
			if c.values["azure-client-secret"] != nil {
				return
			}
			if err := d.Remove(t.Context()); err != nil {
				t.Errorf("remove: %v", err)
			}
			if left := cloud.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestArm(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	d := c.driver(t, drivers.Values{"azure-size": {"Standard_B2ps_v2"}, "azure-image": {"debian-12"}}, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if got := d.state.Value.Image; got != "Debian:debian-12:12-arm64:0.20250814.2204" {
		t.Errorf("image is %s", got)
	}
}

// TestStatesAtOnce demands that the states of many machines cost one call.
func TestStatesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	var all []*driver
	for i := range 6 {
		all = append(all, c.driver(t, nil, drivers.Env{Machine: fmt.Sprintf("m%d", i)}))
	}
	each(t, all, func(d *driver) error { return d.Create(t.Context(), request(t)) })
	calls := c.gate.Calls()
	t.Logf("6 creates: %d calls, %v", calls[""], calls)
	if n := calls["PUT virtualNetworks"]; n != 1 {
		t.Errorf("%d networks made, want 1", n)
	}
	if err := all[0].Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := c.gate.Calls()[""]
	a, err := all[0].account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.states.Linger = 50 * time.Millisecond
	each(t, all, func(d *driver) error {
		s, err := d.Status(t.Context())
		if want := map[bool]drivers.State{true: drivers.Stopped, false: drivers.Running}[d == all[0]]; err == nil && s.State != want {
			err = fmt.Errorf("state of %s is %s, want %s", d.env.Machine, s.State, want)
		}
		return err
	})
	if n := c.gate.Calls()[""] - before; n != 1 {
		t.Errorf("%d calls for the states of 6 machines, want 1", n)
	}
	each(t, all, func(d *driver) error { return d.Remove(t.Context()) })
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func each(t *testing.T, all []*driver, do func(*driver) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, d := range all {
		wg.Go(func() {
			if err := do(d); err != nil {
				t.Errorf("%s: %v", d.env.Machine, err)
			}
		})
	}
	wg.Wait()
}

// TestLate lets new ids be unknown for a while, as they can be.
func TestLate(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{Delay: 20 * time.Millisecond})
	d := c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Status(t.Context()); err != nil || s.Host == "" || s.Peer == "" {
		t.Errorf("got %v, %v", s, err)
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	half := c.driver(t, nil, drivers.Env{Machine: "half"})
	c.gate.Inject(sim.Fault{Action: "PUT publicIPAddresses", Mode: sim.Fail, Status: 400, Code: "BadRequest"})
	if err := half.Create(t.Context(), request(t)); err == nil {
		t.Fatal("the fault did not come")
	}
	c.gate.Clear()
	if err := half.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	d := c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if text, err := d.Console(t.Context()); err != nil || !strings.Contains(string(text), "m1 login:") {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5*consoleTail) + "END"
	client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: readCloser(long)}, nil
	})}
	text, err := tail(t.Context(), client, "https://x/?sig=secret")
	if err != nil || len(text) != consoleTail || !strings.HasSuffix(string(text), "xEND") {
		t.Errorf("got %d bytes, %v", len(text), err)
	}
	client.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no") })
	if _, err = tail(t.Context(), client, "https://x/?sig=secret"); err == nil || strings.Contains(err.Error(), "sig") {
		t.Errorf("got %v, want an error without the address", err)
	}
}

// TestLogIns logs in by each way that needs no computer of Azure's own.
func TestLogIns(t *testing.T) {
	t.Parallel()
	t.Run("tenant found", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		if _, err := c.driver(t, drivers.Values{"azure-tenant-id": {""}}, drivers.Env{}).Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
			t.Error(err)
		}
		if err := c.driver(t, drivers.Values{"azure-tenant-id": {""}}, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("secret of the environment", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		env := drivers.Env{Getenv: func(name string) string { return map[string]string{"AZURE_CLIENT_SECRET": azuresim.ClientSecret}[name] }}
		if err := c.driver(t, drivers.Values{"azure-client-secret": nil}, env).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("discovered cloud", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		values := drivers.Values{"azure-environment": {c.server.URL}, "azure-resource-manager-endpoint": nil, "azure-authority-host": nil}
		if err := c.driver(t, values, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("described cloud", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		file := filepath.Join(t.TempDir(), "cloud.json")
		text := fmt.Sprintf(`{"resourceManagerEndpoint": %q, "activeDirectoryEndpoint": %q, "tokenAudience": %q}`, c.server.URL+"/", c.server.URL+"/", c.server.URL+"/")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		values := drivers.Values{"azure-environment": {"AZURESTACKCLOUD"}, "azure-environment-file": {file}, "azure-resource-manager-endpoint": nil, "azure-authority-host": nil}
		if err := c.driver(t, values, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("plain http on this computer", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		plain := httptest.NewServer(c.gate)
		t.Cleanup(plain.Close)
		values := drivers.Values{"azure-resource-manager-endpoint": {plain.URL}, "azure-resource-manager-audience": {"https://management.azure.com"}}
		if err := c.driver(t, values, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("certificate", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		file, cert := certificate(t)
		c.TrustCertificate(azuresim.ClientID, cert)
		values := drivers.Values{"azure-client-secret": nil, "azure-client-certificate-path": {file}}
		if err := c.driver(t, values, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("certificate without the password that is given", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		file, cert := certificate(t)
		c.TrustCertificate(azuresim.ClientID, cert)
		values := drivers.Values{"azure-client-secret": nil, "azure-client-certificate-path": {file}, "azure-client-certificate-password": {"of another"}}
		if err := c.driver(t, values, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("certificate with password", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		data, err := os.ReadFile("testdata/principal.p12")
		if err != nil {
			t.Fatal(err)
		}
		certs, _, err := azidentity.ParseCertificates(data, []byte("correct-horse"))
		if err != nil {
			t.Fatal(err)
		}
		c.TrustCertificate(azuresim.ClientID, certs[0])
		values := drivers.Values{"azure-client-secret": nil, "azure-client-certificate-path": {"testdata/principal.p12"}}
		env := drivers.Env{Getenv: func(name string) string {
			return map[string]string{"AZURE_CLIENT_CERTIFICATE_PASSWORD": "correct-horse"}[name]
		}}
		if err := c.driver(t, values, env).Check(t.Context()); err != nil {
			t.Error(err)
		}
		values["azure-client-certificate-password"] = []string{"wrong-horse"}
		err = c.driver(t, values, drivers.Env{}).Check(t.Context())
		var hint *drivers.HintError
		if !errors.Is(err, drivers.ErrCredentials) || strings.Contains(err.Error(), "wrong-horse") || !errors.As(err, &hint) || !strings.Contains(hint.Advice, "openssl") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("federated token", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		key, _ := selfSigned(t)
		c.TrustIssuer(azuresim.ClientID, "https://issuer.example", "repo:us", &key.PublicKey)
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(assertion(t, key)), 0o600); err != nil {
			t.Fatal(err)
		}
		values := drivers.Values{"azure-client-secret": nil, "azure-federated-token-file": {file}}
		if err := c.driver(t, values, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("device code", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, azuresim.Config{})
		code := regexp.MustCompile(`enter the code (\S+) `)
		env := drivers.Env{Note: func(_ context.Context, text string) {
			if m := code.FindStringSubmatch(text); m != nil {
				if err := c.Confirm(m[1], azuresim.ClientID); err != nil {
					t.Error(err)
				}
			}
		}}
		values := drivers.Values{"azure-client-id": nil, "azure-client-secret": nil, "azure-device-code": {"true"}}
		if err := c.driver(t, values, env).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestCustomData demands that a host gets the keys and the user's own data.
func TestCustomData(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := c.driver(t, drivers.Values{"azure-custom-data": {file}}, drivers.Env{})
	req := request(t)
	data, err := d.userData(req)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(data); !strings.Contains(s, "echo me") || !strings.Contains(s, testKey) || !strings.Contains(s, "ssh_keys") {
		t.Errorf("got %s", s)
	}
	req.UserData = []byte("#cloud-config\n")
	if _, err := d.userData(req); !errors.Is(err, drivers.ErrOption) {
		t.Errorf("got %v, want ErrOption: two owners of the data", err)
	}
}

// assertion is a token of another issuer.
func assertion(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	text := part(`{"alg":"RS256","typ":"JWT"}`) + "." +
		part(fmt.Sprintf(`{"iss":"https://issuer.example","sub":"repo:us","aud":"api://AzureADTokenExchange","exp":%d}`, time.Now().Add(time.Hour).Unix()))
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func certificate(t *testing.T) (file string, cert *x509.Certificate) {
	t.Helper()
	key, der := selfSigned(t)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "principal.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, cert
}
