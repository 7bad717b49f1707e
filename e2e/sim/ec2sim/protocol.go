package ec2sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
)

const (
	ec2Version = "2016-11-15"
	stsVersion = "2011-06-15"
)

// form returns the parameters of a request in AWS's query protocol.
func form(r *http.Request, body []byte) (url.Values, bool) {
	if r.Method == http.MethodGet {
		return r.URL.Query(), r.URL.Query().Has("Action")
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, false
	}
	values, err := url.ParseQuery(string(body))
	return values, err == nil
}

// Action names what a request asks for; see sim.Provider.
func (c *Cloud) Action(r *http.Request, body []byte) string {
	if target, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), ssmPrefix); ok {
		return target
	}
	values, _ := form(r, body)
	return values.Get("Action")
}

// ServeHTTP answers a request.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r = r.WithContext(context.WithoutCancel(r.Context())) // what AWS begins it ends, whoever listens
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), ssmPrefix) {
		c.serveSSM(w, r, body)
		return
	}
	values, ok := form(r, body)
	switch {
	case !ok:
		writeError(w, fault("InvalidRequest", "The request is no form with an Action."))
	case values.Get("Version") == stsVersion:
		c.serveSTS(w, r, body, values)
	default:
		c.serveEC2(w, r, body, values)
	}
}

func (c *Cloud) serveEC2(w http.ResponseWriter, r *http.Request, body []byte, values url.Values) {
	id := requestID()
	answer, err := c.ec2(r, body, values)
	if err != nil {
		writeProblem(w, id, asProblem(err))
		return
	}
	text, err := c.api.render(values.Get("Action"), id, answer)
	if err != nil {
		writeProblem(w, id, asProblem(err))
		return
	}
	writeXML(w, http.StatusOK, id, text)
}

func (c *Cloud) ec2(r *http.Request, body []byte, values url.Values) (m, error) {
	who, region, err := c.caller(r, body, "ec2")
	if err != nil {
		return nil, ec2AuthProblem(err)
	}
	action := values.Get("Action")
	do := c.handlers[action]
	if _, ok := c.api.Actions[action]; !ok || do == nil {
		return nil, fault("InvalidAction", "The action %s is not valid for this web service.", action)
	}
	if v := values.Get("Version"); v != ec2Version {
		return nil, fault("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", v)
	}
	if !c.admit() {
		return nil, throttled()
	}
	p, err := c.api.read(action, values)
	if err != nil {
		return nil, err
	}
	if err := who.authorize("ec2:" + action); err != nil {
		return nil, err
	}
	if strings.Contains(action, "Instance") || action == "DescribeNetworkInterfaces" {
		c.refresh(r.Context(), region)
	}
	k := &call{c: c, p: p, key: who, action: action}
	return k.run(r.Context(), region, do)
}

// run does an action under the lock, and then what it left for later.
func (k *call) run(ctx context.Context, region string, do handler) (m, error) {
	answer, err := func() (m, error) {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		k.now, k.r = k.c.now(), k.c.regions[region]
		k.r.settle(k.c, k.now)
		return do(k)
	}()
	if err != nil {
		return nil, err
	}
	if !k.ready {
		return nil, errors.New(k.action + " did not check its parameters")
	}
	for _, task := range k.tasks {
		if err := task(ctx); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// caller returns whose request it is, and for which region.
func (c *Cloud) caller(r *http.Request, body []byte, service string) (key, string, error) {
	s, ok := scopeOf(r)
	if !ok {
		return key{}, "", errUnsigned
	}
	who, err := c.authentic(r, body, s)
	if err != nil {
		return key{}, "", err
	}
	if s.service != service || !slices.Contains(c.names, s.region) {
		return key{}, "", errRegion
	}
	return who, s.region, nil
}

func ec2AuthProblem(err error) error {
	p := fault("AuthFailure", "AWS was not able to validate the provided access credentials")
	p.status = http.StatusUnauthorized
	switch {
	case errors.Is(err, errExpired):
		return fault("RequestExpired", "Request has expired.")
	case errors.Is(err, errUnsigned):
		return fault("MissingAuthenticationToken", "Request is missing Authentication Token")
	case errors.Is(err, errRegion):
		p.text = "Credential should be scoped to a valid region."
	}
	return p
}

// bucket lets through so many requests at once and per second.
type bucket struct {
	tokens float64
	filled time.Time
}

func (c *Cloud) admit() bool {
	if c.config.Rate == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	burst, now := float64(max(c.config.Burst, 1)), c.now()
	if c.bucket.filled.IsZero() {
		c.bucket.tokens = burst
	} else {
		c.bucket.tokens = min(burst, c.bucket.tokens+now.Sub(c.bucket.filled).Seconds()*float64(c.config.Rate))
	}
	c.bucket.filled = now
	if c.bucket.tokens < 1 {
		return false
	}
	c.bucket.tokens--
	return true
}

// Refuse answers a request as EC2, SSM or STS does when it fails so; see sim.Provider.
func (c *Cloud) Refuse(w http.ResponseWriter, r *http.Request, f sim.Fault) {
	p := &problem{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}
	ssm := strings.HasPrefix(r.Header.Get("X-Amz-Target"), ssmPrefix)
	if f.Mode == sim.Throttle {
		p = throttled()
		if ssm {
			p = fault("ThrottlingException", "Rate exceeded")
		}
	}
	if f.Status != 0 {
		p.status = f.Status
	}
	if f.Code != "" {
		p.code = f.Code
	}
	if f.Text != "" {
		p.text = f.Text
	}
	if ssm {
		writeJSONProblem(w, p)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if values, _ := form(r, body); values.Get("Version") == stsVersion {
		if f.Mode == sim.Throttle {
			p = fault("Throttling", "Rate exceeded")
		}
		writeSTSProblem(w, requestID(), p)
		return
	}
	writeError(w, p)
}

func writeError(w http.ResponseWriter, p *problem) { writeProblem(w, requestID(), p) }

func writeProblem(w http.ResponseWriter, id string, p *problem) {
	text := fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>",
		escape(p.code), escape(p.text), id)
	writeXML(w, p.status, id, []byte(text))
}

func writeXML(w http.ResponseWriter, status int, id string, text []byte) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes all
	return b.String()
}

func requestID() string {
	x := random(16)
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// random returns hexadecimal digits of n bytes.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it cannot fail
	return hex.EncodeToString(b)
}
