package azuresim

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"time"
)

// IdentityPath is the endpoint of a managed identity: the value of
// IDENTITY_ENDPOINT is the server's address with it.
const IdentityPath = "/msi/token"

// SetIdentity makes a principal the managed identity of the caller's machine.
// The value of IDENTITY_HEADER is secret.
func (c *Cloud) SetIdentity(clientID, secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity, c.identitySecret = clientID, secret
}

// managedIdentity gives tokens without a log-in, as App Service does at
// IDENTITY_ENDPOINT and a virtual machine's metadata service at its own address.
func (c *Cloud) managedIdentity(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, query := c.principals[c.identity], r.URL.Query()
	secret := []byte(r.Header.Get("X-IDENTITY-HEADER"))
	known := r.URL.Path != IdentityPath && r.Header.Get("Metadata") == "true" ||
		c.identitySecret != "" && subtle.ConstantTimeCompare(secret, []byte(c.identitySecret)) == 1
	client := query.Get("client_id")
	switch {
	case !known:
		writeJSON(w, http.StatusUnauthorized, map[string]any{"statusCode": 401, "message": "The identity header or the metadata header is missing or wrong."})
	case p == nil || client != "" && client != p.client:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "Identity not found"})
	case !audience(r, query.Get("resource")):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_resource", "error_description": "AADSTS500011: The resource principal named " + query.Get("resource") + " was not found in the tenant."})
	default:
		expires := time.Now().Add(c.config.Token).Unix()
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token": c.accessToken(r, p, query.Get("resource")), "client_id": p.client, "token_type": "Bearer", "resource": query.Get("resource"),
			"expires_on": strconv.FormatInt(expires, 10),
		})
	}
}
