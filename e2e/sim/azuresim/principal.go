package azuresim

import (
	"crypto/x509"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// principal is who may log in.
type principal struct {
	client       string
	object       string
	secret       string
	certificates []*x509.Certificate
	federated    []federation
	actions      []string

	left   float64 // requests before it is throttled
	filled time.Time
}

// AddPrincipal adds a service principal that may do the given actions, such as
// "Microsoft.Compute/virtualMachines/write" or "Microsoft.Network/*", or changes it.
func (c *Cloud) AddPrincipal(clientID, secret string, actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.principals[clientID] = &principal{client: clientID, object: newID(), secret: secret, actions: actions}
}

// allows tells whether a principal may do something.
func (p *principal) allows(action string) bool {
	for _, pattern := range p.actions {
		if glob(lower(pattern), lower(action)) {
			return true
		}
	}
	return false
}

func glob(pattern, text string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	if !strings.HasPrefix(text, before) {
		return false
	}
	for i := len(before); i <= len(text); i++ {
		if glob(after, text[i:]) {
			return true
		}
	}
	return false
}

// may refuses what the caller may not do on a scope.
func (k *call) may(action, scope string) *armError {
	if k.who.allows(action) {
		return nil
	}
	return refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		k.who.client, k.who.object, action, scope)
}

// mayLink refuses a reference to what the caller may not join to others.
func (k *call) mayLink(action, scope, linked, target string) *armError {
	if k.who.allows(linked) {
		return nil
	}
	return refuse(http.StatusForbidden, "LinkedAuthorizationFailed", "The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		k.who.client, k.who.object, action, scope, linked, target)
}

// authenticate finds out who calls.
func (c *Cloud) authenticate(k *call) *armError {
	token, bearer := strings.CutPrefix(k.r.Header.Get("Authorization"), "Bearer ")
	code, text := "", ""
	if !bearer {
		code, text = "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
	} else {
		claims, err := c.verify(token)
		switch {
		case err != nil:
			code, text = "InvalidAuthenticationToken", "The access token is invalid."
		case !audience(k.r, claims.Audience):
			code, text = "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource '"+claims.Audience+"'."
		case time.Now().After(time.Unix(claims.Expires, 0)):
			code, text = "ExpiredAuthenticationToken", "The access token expiry UTC time '"+time.Unix(claims.Expires, 0).UTC().Format(time.RFC1123)+"' is earlier than current UTC time."
		default:
			c.mu.Lock()
			k.who = c.principals[claims.Client]
			c.mu.Unlock()
			if k.who != nil {
				return nil
			}
			code, text = "InvalidAuthenticationToken", "The access token is from the wrong issuer."
		}
	}
	e := refuse(http.StatusUnauthorized, code, "%s", text)
	e.header = http.Header{}
	e.header.Set("WWW-Authenticate", `Bearer authorization_uri="`+base(k.r)+"/"+Tenant+`", error="invalid_token", error_description="`+text+`"`)
	return e
}

// throttle counts a request of a principal. The lock is held.
func (c *Cloud) throttle(p *principal) *armError {
	if c.config.Throttle == 0 {
		return nil
	}
	now := time.Now()
	if p.filled.IsZero() {
		p.left = float64(c.config.Throttle)
	} else {
		p.left = min(float64(c.config.Throttle), p.left+now.Sub(p.filled).Seconds()/c.config.Refill.Seconds())
	}
	p.filled = now
	if p.left < 1 {
		return tooMany(int(c.config.Refill.Seconds()) + 1)
	}
	p.left--
	return nil
}

// remaining tells a principal how many requests it has left.
func (c *Cloud) remaining(p *principal) string {
	if c.config.Throttle == 0 {
		return "11999"
	}
	return strconv.Itoa(int(p.left))
}
