package azuresim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// claims are what a token says.
type claims struct {
	Audience string `json:"aud"`
	Issuer   string `json:"iss"`
	Client   string `json:"appid,omitempty"`
	Object   string `json:"oid,omitempty"`
	Subject  string `json:"sub,omitempty"`
	Tenant   string `json:"tid,omitempty"`
	Expires  int64  `json:"exp"`
}

var errToken = errors.New("the token is not ours")

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own structs always marshal
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (c *Cloud) mac(text string) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// sign makes a token.
func (c *Cloud) sign(cl claims) string {
	text := encode(map[string]string{"typ": "JWT", "alg": "HS256"}) + "." + encode(cl)
	return text + "." + base64.RawURLEncoding.EncodeToString(c.mac(text))
}

// verify reads a token of ours.
func (c *Cloud) verify(token string) (cl claims, err error) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return cl, errToken
	}
	sum, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil || !hmac.Equal(sum, c.mac(token[:i])) {
		return cl, errToken
	}
	_, payload, _ := strings.Cut(token[:i], ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return cl, errToken
	}
	return cl, json.Unmarshal(text, &cl)
}

// audiences are those of tokens for the resource manager.
func audiences(r *http.Request) []string {
	return []string{base(r), "https://management.azure.com", "https://management.core.windows.net"}
}

func audience(r *http.Request, aud string) bool {
	return slices.Contains(audiences(r), strings.TrimRight(aud, "/"))
}

// authority answers what is not the resource manager's.
func (c *Cloud) authority(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	rest := strings.Join(parts[1:], "/")
	switch {
	case r.URL.Path == "/metadata/endpoints":
		c.metadata(w, r)
	case r.URL.Path == IdentityPath || r.URL.Path == "/metadata/identity/oauth2/token":
		c.managedIdentity(w, r)
	case parts[0] == "bootdiagnostics" && len(parts) == 3:
		c.bootLog(w, r, parts[1])
	case rest == "discovery/instance":
		writeJSON(w, 200, map[string]any{
			"tenant_discovery_endpoint": base(r) + "/" + Tenant + "/v2.0/.well-known/openid-configuration",
			"api-version":               "1.1",
			"metadata":                  []any{map[string]any{"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host}}},
		})
	case !slices.Contains([]string{Tenant, "common", "organizations"}, lower(parts[0])):
		tokenError(w, 400, "invalid_request", 90002, "Tenant '"+parts[0]+"' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.")
	case rest == "v2.0/.well-known/openid-configuration":
		c.openid(w, r)
	case rest == "oauth2/v2.0/token" && r.Method == http.MethodPost:
		c.token(w, r)
	case rest == "oauth2/v2.0/devicecode" && r.Method == http.MethodPost:
		c.devicecode(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (c *Cloud) openid(w http.ResponseWriter, r *http.Request) {
	at := base(r) + "/" + Tenant
	writeJSON(w, 200, map[string]any{
		"issuer":                                at + "/v2.0",
		"authorization_endpoint":                at + "/oauth2/v2.0/authorize",
		"token_endpoint":                        at + "/oauth2/v2.0/token",
		"device_authorization_endpoint":         at + "/oauth2/v2.0/devicecode",
		"jwks_uri":                              at + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"tenant_region_scope":                   "WW",
		"cloud_instance_name":                   r.Host,
	})
}

// metadata tells what endpoints this cloud has, in the format of the api-version.
func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	at := base(r)
	one := map[string]any{
		"name":            "AzureSimulated",
		"resourceManager": at,
		"portal":          at,
		"authentication": map[string]any{
			"loginEndpoint": at, "audiences": []string{at, "https://management.core.windows.net/"},
			"tenant": "common", "identityProvider": "AAD",
		},
		"galleryEndpoint": at, "graph": at, "graphEndpoint": at,
		"suffixes": map[string]any{"storage": "core.windows.net", "keyVaultDns": "vault.azure.net"},
	}
	if r.URL.Query().Get("api-version") == "" {
		writeError(w, refuse(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."))
		return
	}
	if r.URL.Query().Get("api-version") >= "2019-05-01" {
		writeJSON(w, 200, []any{one})
		return
	}
	writeJSON(w, 200, one)
}

func tokenError(w http.ResponseWriter, status int, code string, number int, text string) {
	writeJSON(w, status, map[string]any{
		"error": code, "error_codes": []int{number},
		"error_description": "AADSTS" + itoa(number) + ": " + text,
		"timestamp":         time.Now().UTC().Format("2006-01-02 15:04:05Z"),
		"trace_id":          newID(), "correlation_id": newID(),
	})
}

// token answers at the token endpoint.
func (c *Cloud) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		tokenError(w, 400, "invalid_request", 900144, err.Error())
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	client := r.PostForm.Get("client_id")
	switch grant := r.PostForm.Get("grant_type"); grant {
	case "client_credentials":
		c.clientCredentials(w, r, client)
	case "device_code", "urn:ietf:params:oauth:grant-type:device_code":
		c.deviceToken(w, r)
	default:
		tokenError(w, 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '"+grant+"'.")
	}
}

func (c *Cloud) clientCredentials(w http.ResponseWriter, r *http.Request, client string) {
	p := c.principals[client]
	assertion := r.PostForm.Get("client_assertion")
	switch {
	case p == nil:
		tokenError(w, 400, "unauthorized_client", 700016, "Application with identifier '"+client+"' was not found in the directory 'Simulated'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.")
	case assertion == "" && r.PostForm.Get("client_secret") == "":
		tokenError(w, 401, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case assertion == "" && (p.secret == "" || r.PostForm.Get("client_secret") != p.secret):
		tokenError(w, 401, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '"+client+"'.")
	case assertion != "":
		if err := c.assertion(r, p, assertion); err != nil {
			tokenError(w, 401, "invalid_client", 700027, "Client assertion failed signature validation: "+err.Error())
			return
		}
		c.issue(w, r, p)
	default:
		c.issue(w, r, p)
	}
}

// issue answers with an access token for the scope that is asked for.
func (c *Cloud) issue(w http.ResponseWriter, r *http.Request, p *principal) {
	var resource string
	for scope := range strings.FieldsSeq(r.PostForm.Get("scope")) {
		if aud, ok := strings.CutSuffix(scope, "/.default"); ok {
			resource = aud
		}
	}
	if resource == "" {
		tokenError(w, 400, "invalid_scope", 70011, "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid.")
		return
	}
	if !audience(r, resource) {
		tokenError(w, 400, "invalid_resource", 500011, "The resource principal named "+resource+" was not found in the tenant named Simulated.")
		return
	}
	seconds := int(c.config.Token.Seconds())
	writeJSON(w, 200, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds,
		"access_token": c.accessToken(r, p, resource),
	})
}

func (c *Cloud) accessToken(r *http.Request, p *principal, resource string) string {
	return c.sign(claims{
		Audience: resource, Issuer: base(r) + "/" + Tenant + "/", Client: p.client, Object: p.object,
		Subject: p.object, Tenant: Tenant, Expires: time.Now().Add(c.config.Token).Unix(),
	})
}
