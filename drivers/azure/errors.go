package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/hostsmith/machine/drivers"
)

// refusal is what Azure said, with the sentinel it amounts to.
type refusal struct {
	code, message string
	status        int
	request       string // id, for Microsoft's support
	kind          error  // may be nil
	cause         error
}

func (r *refusal) Error() string {
	text := r.message
	if r.code != "" {
		text = r.code + ": " + text
	}
	if r.request != "" {
		text += " (request " + r.request + ")"
	}
	if r.kind != nil {
		return r.kind.Error() + ": " + text
	}
	return text
}

func (r *refusal) Unwrap() []error {
	if r.kind == nil {
		return []error{r.cause}
	}
	return []error{r.kind, r.cause}
}

// fault turns an error of the SDK into one that callers decide on.
func (a *account) fault(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(err, cause) {
			return fmt.Errorf("%s: %w", what, err)
		}
		return fmt.Errorf("%s: %w", what, cause)
	}
	var known *refusal
	if errors.As(err, &known) {
		return err // told already
	}
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		return a.advise(what, a.refusal(response))
	}
	if said := unheard.FindStringSubmatch(err.Error()); said != nil && isCredentials(err) {
		return &drivers.HintError{
			Err:    fmt.Errorf("%s: log in: %w: %s", what, drivers.ErrUnreachable, a.redact(oneLine(said[1]))),
			Advice: "see that the network and the proxy let HTTPS to Azure through, and that this computer trusts who answers there",
		}
	}
	if isCredentials(err) {
		return &drivers.HintError{Err: fmt.Errorf("%s: %w: %w", what, drivers.ErrCredentials, a.denied(err)), Advice: waysToLogIn}
	}
	var address *url.Error
	var network net.Error
	if errors.As(err, &address) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w: %w", what, drivers.ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// credentialError is an error of making a credential.
func (d *driver) credentialError(err error) error {
	var advised *drivers.HintError
	if errors.As(err, &advised) {
		return err
	}
	if !errors.Is(err, drivers.ErrCredentials) {
		err = fmt.Errorf("%w: %w", drivers.ErrCredentials, err)
	}
	return &drivers.HintError{Err: err, Advice: waysToLogIn}
}

// unheard is a log-in that did not reach the authority; the SDK tells it by words alone. What one link of its chain of
// credentials did not reach says nothing of the others.
var unheard = regexp.MustCompile(`(?s)^(?:ClientSecret|ClientCertificate|WorkloadIdentity|DeviceCode)Credential: .*?((?:Get|Post) "https?://[^"]*": .*?)(?:\. To troubleshoot|$)`)

func isCredentials(err error) bool {
	var failed *azidentity.AuthenticationFailedError
	var required *azidentity.AuthenticationRequiredError
	var unavailable interface{ NonRetriable() }
	return errors.As(err, &failed) || errors.As(err, &required) ||
		errors.As(err, &unavailable) && strings.Contains(err.Error(), "Credential")
}

// authority returns what the authority said of a log-in: its own sentence if there is one.
func authority(err error) string {
	var failed *azidentity.AuthenticationFailedError
	if errors.As(err, &failed) && failed.RawResponse != nil {
		var said struct {
			Description string `json:"error_description"`
		}
		if json.Unmarshal(body(failed.RawResponse), &said) == nil && said.Description != "" {
			return oneLine(said.Description)
		}
	}
	return oneLine(err.Error())
}

// chainError says that no way of the SDK's chain leads in.
type chainError struct{ tried []string }

func (e *chainError) Error() string { return "none of " + string(byChain) + " gives a token" }

// Details says why each of the ways does not.
func (e *chainError) Details() []string { return e.tried }

// denied says why a log-in failed.
func (a *account) denied(err error) error {
	words := authority(err)
	_, tried, chain := strings.Cut(err.Error(), "Attempted credentials:")
	if !chain || words != oneLine(err.Error()) {
		return errors.New(a.redact(words))
	}
	e := &chainError{}
	for _, line := range strings.Split(tried, "\n") {
		switch said := a.redact(oneLine(line)); {
		case said == "":
		case strings.HasPrefix(line, "\t\t") && len(e.tried) > 0: // goes on
			e.tried[len(e.tried)-1] += " " + said
		default:
			e.tried = append(e.tried, said)
		}
	}
	return e
}

// body returns the body of an answer, which stays readable.
func body(resp *http.Response) []byte {
	if resp == nil || resp.Body == nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		data = nil
	}
	if s, ok := resp.Body.(io.Seeker); ok {
		_, _ = s.Seek(0, io.SeekStart) // in memory
	} else {
		resp.Body = io.NopCloser(bytes.NewReader(data))
	}
	return data
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// said is the body of a refusal.
type said struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []said `json:"details"`
	Error   *said  `json:"error"`
}

// deepest returns the code and message that say most: Azure wraps them in general ones.
func (s said) deepest() (code, message string) {
	if s.Error != nil {
		return s.Error.deepest()
	}
	general := []string{"DeploymentFailed", "Conflict", "BadRequest", "ResourceDeploymentFailure", ""}
	if slices.Contains(general, s.Code) {
		for _, d := range s.Details {
			if code, message := d.deepest(); code != "" {
				return code, message
			}
		}
	}
	return s.Code, s.Message
}

func (a *account) refusal(e *azcore.ResponseError) *refusal {
	r := &refusal{code: e.ErrorCode, status: e.StatusCode, cause: hidden{e}}
	if e.RawResponse != nil {
		r.request = e.RawResponse.Header.Get("x-ms-request-id")
		code, message := read(e.RawResponse)
		r.message = a.redact(message)
		if code != "" {
			r.code = code
		}
	}
	if r.message == "" {
		r.message = fmt.Sprintf("Azure answers %d %s", r.status, http.StatusText(r.status))
	}
	r.kind = kindOf(r)
	return r
}

// read returns the code and the message of a refusal. A short text that is no
// JSON is the message itself.
func read(resp *http.Response) (code, message string) {
	var s said
	text := body(resp)
	if json.Unmarshal(text, &s) == nil {
		code, message = s.deepest()
		return code, oneLine(message)
	}
	if plain := oneLine(string(text)); len(plain) < 300 && !strings.HasPrefix(plain, "<") {
		return "", plain
	}
	return "", ""
}

// is tells whether the code is one of several.
func (r *refusal) is(codes ...string) bool {
	return slices.ContainsFunc(codes, func(c string) bool { return same(c, r.code) })
}

// hidden keeps an error for errors.As; its own text is long and has many lines.
type hidden struct{ error }

func (h hidden) Unwrap() error { return h.error }

// kindOf tells what callers decide on.
func kindOf(r *refusal) error {
	code := strings.ToLower(r.code)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(code, strings.ToLower(w)) })
	}
	switch {
	case has("AuthorizationFailed", "LinkedAuthorizationFailed", "RequestDisallowedByPolicy", "AuthorizationPermissionMismatch"):
		return drivers.ErrPermission
	case has("InvalidAuthenticationToken", "ExpiredAuthenticationToken", "AuthenticationFailed", "AADSTS", "SubscriptionNotFound"), r.status == http.StatusUnauthorized:
		return drivers.ErrCredentials
	case has("QuotaExceeded", "PublicIPCountLimitReached", "ResourceQuotaExceeded", "SubscriptionCoreQuotaExceeded", "NetworkSecurityGroupCountLimitReached"),
		strings.Contains(code, "quotaexceeded"), strings.Contains(code, "countlimit"),
		has("OperationNotAllowed") && quotaSaid.MatchString(r.message):
		return drivers.ErrQuota
	case has("SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest", "OverconstrainedZonalAllocationRequest",
		"NotAvailableForSubscription", "LocationNotAvailableForResourceType", "SpotAllocationFailed"):
		return drivers.ErrCapacity
	case has("LocationNotAvailableForResourceGroup"):
		return drivers.ErrOption
	case has("TooManyRequests", "SubscriptionRequestsThrottled"), r.status == http.StatusTooManyRequests:
		return drivers.ErrThrottled
	case has("DnsRecordInUse", "DnsRecordIsReserved"):
		return drivers.ErrConflict
	case strings.Contains(r.message, "cannot be deleted because it is referenced by"):
		return drivers.ErrInUse // an application security group, by whatever code
	case has("InUse", "SubnetInUse", "PublicIPAddressCannotBeDeleted", "NicInUse", "AttachDiskWhileBeingDetached", "NetworkSecurityGroupCannotBeDeleted"),
		has("CannotDelete"), strings.Contains(code, "inuse"):
		return drivers.ErrInUse
	case has("ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound", "ImageNotFound", "PlatformImageNotFound",
		"ReferencedResourceNotFound", "InvalidResourceReference"), r.status == http.StatusNotFound:
		return drivers.ErrNotFound
	case r.status == http.StatusForbidden:
		return drivers.ErrPermission
	}
	return nil
}

var (
	quotaSaid = regexp.MustCompile(`(?i)quota|limit`)
	namespace = regexp.MustCompile(`Microsoft\.[A-Za-z]+`)
)

// advise adds what to do next.
func (a *account) advise(what string, r *refusal) error {
	err := fmt.Errorf("%s: %w", what, error(r))
	hint := func(advice string) error { return &drivers.HintError{Err: err, Advice: advice} }
	switch {
	case errors.Is(r.kind, drivers.ErrPermission):
		return hint("give the role in docs/drivers/azure.md to whoever logs in; az role assignment list shows what there is")
	case r.is("InvalidAuthenticationTokenTenant"):
		return hint("name the tenant of the subscription with --azure-tenant-id; az account list shows it")
	case r.is("SubscriptionNotFound", "InvalidSubscriptionId"):
		return hint("az account list shows the subscriptions; --azure-environment names the cloud, if it is another than the public one")
	case errors.Is(r.kind, drivers.ErrCredentials):
		return hint(waysToLogIn)
	case errors.Is(r.kind, drivers.ErrQuota):
		return hint("az vm list-usage --location LOCATION shows the quotas; ask for more in the portal, or use another size or location")
	case errors.Is(r.kind, drivers.ErrCapacity):
		return hint("try another --azure-size, --azure-zone or --azure-location")
	case errors.Is(r.kind, drivers.ErrOption):
		return hint("az account list-locations --output table shows what --azure-location can be")
	case r.code == "MissingSubscriptionRegistration":
		name := namespace.FindString(r.message)
		if name == "" {
			name = "Microsoft.Compute"
		}
		return hint("az provider register --namespace " + name)
	case strings.HasPrefix(r.code, "Marketplace"), strings.HasPrefix(r.code, "ResourcePurchase"), r.code == "VMMarketplaceInvalidInput":
		return hint("accept the terms of the image once: az vm image terms accept --urn PUBLISHER:OFFER:SKU:VERSION")
	}
	return err
}

// heals tells whether a refusal is one that waiting ends.
func heals(err error) bool {
	return isCode(err, 0, "AnotherOperationInProgress", "RetryableError", "RetryableErrorDueToAnotherOperation", "ResourceGroupBeingDeleted",
		"OperationPreempted", "ReferencedResourceNotProvisioned", "NicReservedForAnotherVm", "CanceledAndSupersededDueToAnotherOperation") ||
		isCode(err, 0, "Conflict") && strings.Contains(err.Error(), "concurrent request")
}

// errLost is that something that a machine hangs on is not there any more.
var errLost = errors.New("it is not there any more")

// lost tells whether something that a machine hangs on does not exist.
func lost(err error) bool {
	return errors.Is(err, errLost) || isCode(err, 0, "InvalidResourceReference", "ReferencedResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound",
		"NotFound", "ResourceNotFound", "SubnetNotFound")
}

// isCode tells whether Azure answered with a status (0: any) or with one of the codes.
func isCode(err error, status int, codes ...string) bool {
	var r *refusal
	if errors.As(err, &r) {
		return status != 0 && r.status == status || r.is(codes...)
	}
	var e *azcore.ResponseError
	if !errors.As(err, &e) {
		return false
	}
	return status != 0 && e.StatusCode == status || slices.ContainsFunc(codes, func(c string) bool { return same(c, e.ErrorCode) })
}
