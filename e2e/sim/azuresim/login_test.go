package azuresim_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// knock tries whether the clients are let in.
func (w *world) knock() error {
	_, err := w.groups.Get(w.t.Context(), "nosuch", nil)
	return err
}

func TestSecretLogsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
	w.login(azuresim.ClientID, "wrong")
	if err := w.knock(); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("got %v", err)
	}
	w.login("44444444-4444-4444-8444-444444444444", "wrong")
	if err := w.knock(); err == nil || !strings.Contains(err.Error(), "AADSTS700016") {
		t.Errorf("got %v", err)
	}
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	return one(rsa.GenerateKey(rand.Reader, 2048))(t)
}

func TestCertificateLogsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "me"}, NotAfter: time.Now().Add(time.Hour)}
	cert := one(x509.ParseCertificate(one(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)))(t)
	cred := one(azidentity.NewClientCertificateCredential(azuresim.Tenant, azuresim.ClientID, []*x509.Certificate{cert}, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: w.options(), DisableInstanceDiscovery: true}))(t)
	w.clients(cred)
	if err := w.knock(); err == nil || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Errorf("an unknown certificate: %v", err)
	}
	w.cloud.TrustCertificate(azuresim.ClientID, cert)
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
}

func TestFederatedTokenLogsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	token := jwt(t, key, map[string]any{"iss": "https://issuer.example", "sub": "repo:us", "aud": "api://AzureADTokenExchange", "exp": time.Now().Add(time.Hour).Unix()})
	cred := one(azidentity.NewClientAssertionCredential(azuresim.Tenant, azuresim.ClientID, func(context.Context) (string, error) { return token, nil },
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: w.options(), DisableInstanceDiscovery: true}))(t)
	w.clients(cred)
	if err := w.knock(); err == nil || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Errorf("an unknown issuer: %v", err)
	}
	w.cloud.TrustIssuer(azuresim.ClientID, "https://issuer.example", "repo:us", &key.PublicKey)
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
}

func jwt(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(one(json.Marshal(v))(t)) }
	text := part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(one(rsa.SignPKCS1v15(rand.Reader, key, 5, sum[:]))(t))
}

func TestDeviceCodeLogsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cred := one(azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: w.options(), DisableInstanceDiscovery: true, TenantID: azuresim.Tenant, ClientID: "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
			return w.cloud.Confirm(m.UserCode, azuresim.ClientID)
		},
	}))(t)
	w.clients(cred)
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
}

// call makes a plain request.
func (w *world) call(method, path, token, body string) (int, http.Header, map[string]any) {
	w.t.Helper()
	r := one(http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body)))(w.t)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	a := one(w.server.Client().Do(r))(w.t)
	defer a.Body.Close()
	text, _ := io.ReadAll(a.Body)
	var answer map[string]any
	_ = json.Unmarshal(text, &answer)
	return a.StatusCode, a.Header, answer
}

// token logs in with a plain request.
func (w *world) token() string {
	w.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {azuresim.ClientID}, "client_secret": {azuresim.ClientSecret}, "scope": {"https://management.azure.com/.default"}}
	a := one(w.server.Client().PostForm(w.server.URL+"/"+azuresim.Tenant+"/oauth2/v2.0/token", form))(w.t)
	defer a.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(a.Body).Decode(&answer); err != nil || answer.Token == "" {
		w.t.Fatalf("no token: %s, %v", a.Status, err)
	}
	return answer.Token
}

func code(answer map[string]any) any {
	e, _ := answer["error"].(map[string]any)
	return e["code"]
}

const subscriptionPath = "/subscriptions/" + azuresim.Subscription

func TestTokensAreAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *azuresim.Config) { c.Token = 3 * time.Second })
	status, header, _ := w.call("GET", subscriptionPath+"?api-version=2022-12-01", "", "")
	if status != 401 || !strings.Contains(header.Get("WWW-Authenticate"), `authorization_uri="`+w.server.URL+"/"+azuresim.Tenant+`"`) {
		t.Errorf("got %d, %s", status, header.Get("WWW-Authenticate"))
	}
	if status, _, answer := w.call("GET", subscriptionPath+"?api-version=2022-12-01", "a.b.c", ""); status != 401 || code(answer) != "InvalidAuthenticationToken" {
		t.Errorf("with a bad token: %d %v", status, answer)
	}
	token := w.token()
	if status, _, answer := w.call("GET", subscriptionPath+"?api-version=2022-12-01", token, ""); status != 200 || answer["tenantId"] != azuresim.Tenant {
		t.Errorf("with a good token: %d %v", status, answer)
	}
	time.Sleep(4100 * time.Millisecond) // the time of expiry is in whole seconds
	if status, _, answer := w.call("GET", subscriptionPath+"?api-version=2022-12-01", token, ""); status != 401 || code(answer) != "ExpiredAuthenticationToken" {
		t.Errorf("with an old token: %d %v", status, answer)
	}
}

func TestCloudTellsItsEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, answer := w.call("GET", "/metadata/endpoints?api-version=2018-05-01", "", "")
	authentication, _ := answer["authentication"].(map[string]any)
	if authentication["loginEndpoint"] != w.server.URL || authentication["audiences"].([]any)[0] != w.server.URL {
		t.Errorf("got %v", answer)
	}
	_, _, answer = w.call("GET", "/common/discovery/instance?api-version=1.1&authorization_endpoint="+w.server.URL+"/common/oauth2/v2.0/authorize", "", "")
	if endpoint, _ := answer["tenant_discovery_endpoint"].(string); !strings.HasPrefix(endpoint, w.server.URL) {
		t.Errorf("got %v", answer)
	}
}

func TestManagedIdentityLogsIn(t *testing.T) { // not parallel: it is told by the environment
	w := newWorld(t)
	t.Setenv("IDENTITY_ENDPOINT", w.server.URL+azuresim.IdentityPath)
	t.Setenv("IDENTITY_HEADER", "h")
	w.cloud.SetIdentity(azuresim.ClientID, "h")
	w.clients(one(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: w.options()}))(t))
	refused(t, w.knock(), 404, "ResourceGroupNotFound")
	w.cloud.SetIdentity(azuresim.ClientID, "other")
	w.clients(one(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: w.options(), ID: azidentity.ClientID("x")}))(t))
	if err := w.knock(); err == nil || strings.Contains(err.Error(), "ResourceGroupNotFound") {
		t.Errorf("with a wrong header: %v", err)
	}
}
