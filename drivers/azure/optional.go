package azure

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/hostsmith/machine/drivers"
)

// missing tells whether an endpoint does not know the method that it was asked
// for, as the endpoint of a stack, an older or a test one may not. Azure itself
// tells by a code what it does not find.
func missing(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.status {
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return true
	case http.StatusNotFound:
		return r.code == "" || r.is("InvalidResourceType", "NoRegisteredProviderFound")
	}
	return r.is("InvalidResourceType", "NoRegisteredProviderFound", "InvalidApiVersionParameter", "NotImplemented") || unable(r.message)
}

// unable tells whether the SDK's fake servers say that nobody wrote an answer.
func unable(message string) bool {
	return strings.Contains(message, "not implemented") || strings.HasPrefix(message, "fake ")
}

// failing tells whether an endpoint cannot answer, and not only for a moment.
func failing(err error) bool {
	return missing(err) || isCode(err, http.StatusInternalServerError) || isCode(err, http.StatusBadGateway)
}

// spared tells whether a machine can do without the answer to a question that
// is asked to know better: because nobody knows it, or nobody may ask.
func spared(err error) bool {
	return failing(err) || errors.Is(err, drivers.ErrPermission)
}

// How often a request is tried again that fails for reasons of the endpoint's.
const (
	manyTries = 6
	fewTries  = 2 // of a question whose answer can be done without
)

// retry says when requests are tried again; delay is the first pause, 0: the SDK's.
func retry(tries int32, delay time.Duration) policy.RetryOptions {
	return policy.RetryOptions{MaxRetries: tries, RetryDelay: delay, MaxRetryDelay: 2 * time.Minute, ShouldRetry: passing}
}

// curious is for questions whose answer can be done without.
func (a *account) curious(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, retry(fewTries, a.delay))
}

// passing tells whether a request may go better when it is tried again.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		return !errors.As(err, &untrusted)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError:
		return !unable(string(body(resp)))
	}
	return false
}
