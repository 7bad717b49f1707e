package ec2sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// key is an access key and what it may do.
type key struct {
	id, secret string
	actions    []string // such as "ec2:RunInstances" or "ec2:*"; "*": all
}

func (k key) may(action string) bool {
	return slices.ContainsFunc(k.actions, func(a string) bool { return wildcard(a, action) })
}

// scope is what a request says about who signed it and for what.
type scope struct {
	access, date, region, service string
	signed                        []string
	signature                     string
}

const authScheme = "AWS4-HMAC-SHA256 "

func scopeOf(r *http.Request) (scope, bool) {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), authScheme)
	if !ok {
		return scope{}, false
	}
	fields := map[string]string{}
	for _, part := range strings.Split(given, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	parts := strings.Split(fields["Credential"], "/")
	if len(parts) != 5 || parts[4] != "aws4_request" || fields["Signature"] == "" {
		return scope{}, false
	}
	return scope{
		access: parts[0], date: parts[1], region: parts[2], service: parts[3],
		signed: strings.Split(fields["SignedHeaders"], ";"), signature: fields["Signature"],
	}, true
}

// maxSkew is how far a request's time may be from ours.
const maxSkew = 15 * time.Minute

// authentic checks a request's signature.
func (c *Cloud) authentic(r *http.Request, body []byte, s scope) (key, error) {
	c.mu.Lock()
	k, ok := c.keys[s.access]
	c.mu.Unlock()
	if !ok || r.Header.Get("X-Amz-Security-Token") != "" { // there are no temporary keys
		return key{}, errUnknownKey
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format("20060102") != s.date || !slices.Contains(s.signed, "host") {
		return key{}, errBadSignature
	}
	if skew := c.now().Sub(at); skew > maxSkew || skew < -maxSkew {
		return key{}, errExpired
	}
	if !hmac.Equal([]byte(sign(k.secret, r, body, s, at)), []byte(s.signature)) {
		return key{}, errBadSignature
	}
	return k, nil
}

// sign computes the signature that AWS's version 4 wants.
func sign(secret string, r *http.Request, body []byte, s scope, at time.Time) string {
	var headers strings.Builder
	for _, name := range s.signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical := strings.Join([]string{
		r.Method, path, canonicalQuery(r.URL.Query()), headers.String(), strings.Join(s.signed, ";"), hexSum(body),
	}, "\n")
	credential := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", at.Format("20060102T150405Z"), credential, hexSum([]byte(canonical))}, "\n")
	signing := []byte("AWS4" + secret)
	for _, part := range strings.Split(credential, "/") {
		signing = mac(signing, part)
	}
	return hex.EncodeToString(mac(signing, text))
}

func canonicalQuery(values url.Values) string {
	return strings.ReplaceAll(values.Encode(), "+", "%20")
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// authorize checks that a key may do an IAM action.
func (k key) authorize(action string) error {
	if k.may(action) {
		return nil
	}
	user, on, more := "arn:aws:iam::"+Account+":user/"+k.id, "", ""
	if !strings.HasPrefix(action, "ec2:Describe") {
		on = " on resource: arn:aws:ec2:*:" + Account + ":*"
		more = " Encoded authorization failure message: " + base64.RawURLEncoding.EncodeToString([]byte(user+" may not "+action))
	}
	f := fault("UnauthorizedOperation", "You are not authorized to perform this operation. User: %s is not authorized to perform: %s%s "+
		"because no identity-based policy allows the %s action.%s", user, action, on, action, more)
	f.status = http.StatusForbidden
	return f
}
