package azuresim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// federation is an outside issuer's subject that a principal trusts.
type federation struct {
	issuer, subject string
	key             *rsa.PublicKey
}

// TrustCertificate lets a principal log in with assertions that a certificate's RSA key signs.
func (c *Cloud) TrustCertificate(clientID string, cert *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.principals[clientID]
	p.certificates = append(p.certificates, cert)
}

// TrustIssuer lets a principal log in with tokens of another issuer's for a subject (RS256).
func (c *Cloud) TrustIssuer(clientID, issuer, subject string, key *rsa.PublicKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.principals[clientID]
	p.federated = append(p.federated, federation{issuer, subject, key})
}

var (
	errAssertion = errors.New("no registered certificate or federated credential matches the assertion")
	errExpired   = errors.New("the assertion has expired")
	errAudience  = errors.New("the assertion's audience is wrong")
)

// assertion checks a client assertion: a certificate's, or a federated token.
func (c *Cloud) assertion(r *http.Request, p *principal, token string) error {
	if r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return errAssertion
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errAssertion
	}
	var head struct{ Alg string }
	var said struct {
		Iss, Sub string
		Aud      any
		Exp      float64
	}
	if !unpack(parts[0], &head) || !unpack(parts[1], &said) {
		return errAssertion
	}
	if !time.Now().Before(time.Unix(int64(said.Exp), 0)) {
		return errExpired
	}
	ours := said.Iss == p.client && said.Sub == p.client
	for _, cert := range p.certificates {
		key, _ := cert.PublicKey.(*rsa.PublicKey)
		if ours && key != nil && signed(key, head.Alg, parts) {
			if aud, _ := said.Aud.(string); !strings.HasPrefix(aud, base(r)+"/"+Tenant) {
				return errAudience
			}
			return nil
		}
	}
	for _, f := range p.federated {
		if said.Iss == f.issuer && said.Sub == f.subject && signed(f.key, head.Alg, parts) {
			if said.Aud != "api://AzureADTokenExchange" {
				return errAudience
			}
			return nil
		}
	}
	return errAssertion
}

func unpack(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

func signed(key *rsa.PublicKey, alg string, parts []string) bool {
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	if alg == "PS256" {
		return rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil) == nil
	}
	return alg == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
}

// deviceCode is a log-in that a user is to confirm in a browser.
type deviceCode struct {
	client    string
	confirmed *principal
	expires   time.Time
}

func (c *Cloud) devicecode(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("client_id") == "" {
		tokenError(w, 400, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'.")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	device, user := newID(), strings.ToUpper(newID()[:8])
	c.codes[device] = &deviceCode{client: r.PostForm.Get("client_id"), expires: time.Now().Add(15 * time.Minute)}
	c.codes[user] = c.codes[device]
	writeJSON(w, 200, map[string]any{
		"device_code": device, "user_code": user, "verification_uri": base(r) + "/device", "expires_in": 900, "interval": 1,
		"message": "To sign in, use a web browser to open the page " + base(r) + "/device and enter the code " + user + " to authenticate.",
	})
}

// Confirm does what a user does in the browser who enters a code: log a device
// in, with the rights of a principal.
func (c *Cloud) Confirm(userCode, clientID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	code, p := c.codes[userCode], c.principals[clientID]
	if code == nil || p == nil {
		return errors.New("azuresim: no such code or principal")
	}
	code.confirmed = p
	return nil
}

func (c *Cloud) deviceToken(w http.ResponseWriter, r *http.Request) {
	code := c.codes[r.PostForm.Get("device_code")]
	switch {
	case code == nil || code.client != r.PostForm.Get("client_id"):
		tokenError(w, 400, "invalid_grant", 70000, "The provided value for the input parameter 'device_code' is not valid.")
	case time.Now().After(code.expires):
		tokenError(w, 400, "expired_token", 70020, "The provided value for the input parameter 'device_code' has expired.")
	case code.confirmed == nil:
		tokenError(w, 400, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
	default:
		c.issueUser(w, r, code.confirmed)
	}
}

// issueUser answers with an access token and who the user is.
func (c *Cloud) issueUser(w http.ResponseWriter, r *http.Request, p *principal) {
	client := r.PostForm.Get("client_id")
	id := c.sign(claims{Audience: client, Issuer: base(r) + "/" + Tenant + "/v2.0", Object: p.object, Subject: p.object, Tenant: Tenant, Expires: time.Now().Add(c.config.Token).Unix()})
	var resource string
	for scope := range strings.FieldsSeq(r.PostForm.Get("scope")) {
		if i := strings.LastIndexByte(scope, '/'); i > len("https://") {
			resource = scope[:i]
		}
	}
	if !audience(r, resource) {
		tokenError(w, 400, "invalid_resource", 500011, "The resource principal named "+resource+" was not found in the tenant named Simulated.")
		return
	}
	seconds := int(c.config.Token.Seconds())
	writeJSON(w, 200, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "scope": r.PostForm.Get("scope"),
		"access_token": c.accessToken(r, p, resource), "id_token": id,
		"client_info": encode(map[string]string{"uid": p.object, "utid": Tenant}),
	})
}

func itoa(n int) string { return strconv.Itoa(n) }
