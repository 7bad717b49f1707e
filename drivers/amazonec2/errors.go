package amazonec2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/hostsmith/machine/drivers"
)

// errMissing is about what a host needs; drivers.ErrNotFound is about the host.
var errMissing = errors.New("does not exist")

// refusal is what the provider said when it did not do something.
type refusal struct {
	operation string
	code      string
	message   string
	request   string // id
	kind      error  // what callers decide on; nil: nothing
}

func (r *refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", r.operation)
	switch {
	case r.kind == drivers.ErrUnsupported:
		b.WriteString("not supported by the provider: ")
	case r.kind != nil:
		fmt.Fprintf(&b, "%v: ", r.kind)
	}
	fmt.Fprintf(&b, "%s: %s", r.code, r.message)
	if r.request != "" {
		fmt.Fprintf(&b, " (request %s)", r.request)
	}
	return b.String()
}

func (r *refusal) Unwrap() error { return r.kind }

// says tells whether err is a refusal with one of these codes.
func says(err error, codes ...string) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, code := range codes {
		if r.code == code {
			return true
		}
	}
	return false
}

// dispensable tells whether err is about an action that the provider does not
// know, does not let the user have, or fails at: what is only looked up by it is
// done without.
func dispensable(err error) bool {
	return errors.Is(err, drivers.ErrUnsupported) || errors.Is(err, drivers.ErrPermission) ||
		says(err, "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "Unavailable")
}

var (
	encodedMessage = regexp.MustCompile(`\s*Encoded authorization failure message: (\S+)`)
	deniedAction   = regexp.MustCompile(`\bperform:? ([a-z0-9-]+:[A-Za-z]+)`)
)

// fault turns an error of the SDK into one that says what the provider said.
func fault(ctx context.Context, err error) error {
	operation, service := "request", "ec2"
	var op *smithy.OperationError
	if errors.As(err, &op) {
		operation, service = op.OperationName, strings.ToLower(op.ServiceID)
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", operation, cause)
	}
	r := &refusal{operation: operation}
	status := 0
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		r.request, status = response.RequestID, response.HTTPStatusCode()
	}
	var api smithy.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode() != "UnknownError":
		r.code, r.message = api.ErrorCode(), strings.TrimSpace(api.ErrorMessage())
	case status >= http.StatusBadRequest: // not in the provider's words
		r.code, r.message = fmt.Sprintf("HTTP %d", status), http.StatusText(status)
	default:
		return unreached(operation, err)
	}
	var encoded string
	if m := encodedMessage.FindStringSubmatch(r.message); m != nil {
		encoded, r.message = m[1], encodedMessage.ReplaceAllString(r.message, "")
	}
	var advice string
	if r.kind, advice = meaning(r.code); status == http.StatusNotImplemented {
		r.kind = drivers.ErrUnsupported
	}
	if r.kind == drivers.ErrPermission {
		action := service + ":" + operation
		if r.code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted" { // the first spot instance of an account
			action = "iam:CreateServiceLinkedRole"
		}
		if m := deniedAction.FindStringSubmatch(r.message); m != nil {
			action = m[1]
		}
		r.kind = fmt.Errorf("%w: action %s", drivers.ErrPermission, action)
		advice = "allow the action " + action + " to the user or role; the driver's page has a policy that is enough"
		if encoded != "" {
			advice += "; why not: aws sts decode-authorization-message --encoded-message " + encoded
		}
	}
	if advice == "" {
		return r
	}
	return &drivers.HintError{Err: r, Advice: advice}
}

// unreached is the error for a request without an answer that can be read.
func unreached(operation string, err error) error {
	var sending *smithyhttp.RequestSendError
	if !errors.As(err, &sending) {
		var op *smithy.OperationError
		if errors.As(err, &op) {
			err = op.Err
		}
		var broken net.Error
		if errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF) { // amid the answer
			return fmt.Errorf("%s: %w: %w", operation, drivers.ErrUnreachable, err)
		}
		return fmt.Errorf("%s: %w", operation, err)
	}
	advice := "see that the network and the proxy let HTTPS to the provider through, and that --amazonec2-region and --amazonec2-endpoint are right"
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		advice = "if the endpoint's certificate is of an authority of your own, name its file with AWS_CA_BUNDLE"
	}
	return &drivers.HintError{Err: fmt.Errorf("%s: %w: %w", operation, drivers.ErrUnreachable, sending.Err), Advice: advice}
}

const quotaAdvice = "ask for more at https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas, or remove what is not needed"

// meaning returns what callers decide on, and advice, for an error code:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
func meaning(code string) (kind error, advice string) {
	switch code {
	case "UnauthorizedOperation", "AuthFailure.ServiceLinkedRoleCreationNotPermitted", "AccessDenied", "AccessDeniedException", "UnauthorizedAccess":
		return drivers.ErrPermission, ""
	case "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "MissingAuthenticationToken",
		"InvalidSignatureException", "IncompleteSignature", "InvalidAccessKeyId", "NotSignedUp", "MissingAuthenticationTokenException":
		return drivers.ErrCredentials, "see that the access key is active and belongs to this provider, and that this computer's clock is right"
	case "OptInRequired":
		return drivers.ErrCredentials, "enable the region for the account, or subscribe to the image at AWS Marketplace"
	case "Blocked", "PendingVerification":
		return drivers.ErrCredentials, "the account must be cleared with AWS first"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return drivers.ErrCredentials, "log in again (aws sso login, or new temporary credentials), and see that this computer's clock is right"
	case "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
		"EC2ThrottledException", "RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded":
		return drivers.ErrThrottled, "wait a minute, or have more patience: --amazonec2-retries"
	case "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientCapacityOnHost",
		"InsufficientCapacity", "InsufficientVolumeCapacity", "ReservationCapacityExceeded", "InstanceTypeNotSupported", "Unsupported", "InsufficientFreeAddressesInSubnet":
		return drivers.ErrCapacity, "offer more to choose from: --amazonec2-instance-type and --amazonec2-zone take several"
	case "InsufficientAddressCapacity":
		return drivers.ErrCapacity, "try again later, or name an address that you have: --amazonec2-elastic-ip"
	case "SpotMaxPriceTooLow":
		return drivers.ErrCapacity, "offer more with --amazonec2-spot-price, or take an on-demand instance then with --amazonec2-spot-fallback"
	}
	if quota := quotaOf(code); quota != "" {
		return fmt.Errorf("%w: %s", drivers.ErrQuota, quota), quotaAdvice
	}
	switch {
	case code == "InvalidInstanceID.NotFound": // what else is missing does not mean that the host is
		return drivers.ErrNotFound, ""
	case strings.HasSuffix(code, ".Duplicate"), code == "InvalidIPAddress.InUse", code == "Resource.AlreadyAssociated":
		return drivers.ErrConflict, ""
	case code == "DependencyViolation", code == "VolumeInUse", code == "OperationNotPermitted":
		return drivers.ErrInUse, ""
	case code == "InvalidAction", code == "UnsupportedOperation", code == "UnknownOperationException", code == "UnknownOperation",
		code == "NotImplemented", code == "NotImplementedException", code == "UnsupportedOperationException",
		code == "HTTP 404", code == "HTTP 405", code == "HTTP 501":
		return drivers.ErrUnsupported, ""
	}
	return nil, ""
}

// quotaOf names the quota that is exhausted, as Service Quotas does; empty: none.
func quotaOf(code string) string {
	switch code {
	case "VcpuLimitExceeded", "InstanceLimitExceeded":
		return "running instances of this kind in the region (vCPUs)"
	case "MaxSpotInstanceCountExceeded":
		return "spot instance requests of this kind in the region (vCPUs)"
	case "AddressLimitExceeded":
		return "EC2-VPC Elastic IPs"
	case "SecurityGroupLimitExceeded":
		return "VPC security groups per region"
	case "RulesPerSecurityGroupLimitExceeded":
		return "inbound or outbound rules per security group"
	case "SecurityGroupsPerInterfaceLimitExceeded", "SecurityGroupsPerInstanceLimitExceeded":
		return "security groups per network interface"
	case "VolumeLimitExceeded", "MaxIOPSLimitExceeded", "Client.VolumeLimitExceeded":
		return "EBS storage in the region"
	case "NetworkInterfaceLimitExceeded":
		return "network interfaces per region"
	case "TagLimitExceeded":
		return "tags per resource"
	case "InstanceCreditSpecification.NotSupported":
		return ""
	}
	if strings.HasSuffix(code, "LimitExceeded") || code == "ResourceCountLimitExceeded" {
		return code
	}
	return ""
}
