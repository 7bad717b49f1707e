package ec2sim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// serveSTS tells callers who they are. That needs no permission.
func (c *Cloud) serveSTS(w http.ResponseWriter, r *http.Request, body []byte, values url.Values) {
	id := requestID()
	who, _, err := c.caller(r, body, "sts")
	switch action := values.Get("Action"); {
	case err != nil:
		writeSTSProblem(w, id, stsAuthProblem(err))
	case action != "GetCallerIdentity":
		writeSTSProblem(w, id, fault("InvalidAction", "Could not find operation %s for version %s", action, stsVersion))
	default:
		text := fmt.Sprintf("<GetCallerIdentityResponse xmlns=%q><GetCallerIdentityResult><Arn>arn:aws:iam::%s:user/%s</Arn><UserId>%s</UserId><Account>%s</Account>"+
			"</GetCallerIdentityResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
			stsNamespace, Account, escape(who.id), escape(who.id), Account, id)
		writeXML(w, http.StatusOK, id, []byte(text))
	}
}

func stsAuthProblem(err error) *problem {
	p := fault("SignatureDoesNotMatch", "%s", mismatch)
	switch {
	case errors.Is(err, errUnknownKey):
		p = fault("InvalidClientTokenId", "The security token included in the request is invalid.")
	case errors.Is(err, errUnsigned):
		p = fault("MissingAuthenticationToken", "Request is missing Authentication Token")
	case errors.Is(err, errExpired):
		p.text = "Signature expired"
	case errors.Is(err, errRegion):
		p.text = "Credential should be scoped to a valid region."
	}
	p.status = http.StatusForbidden
	return p
}

func writeSTSProblem(w http.ResponseWriter, id string, p *problem) {
	text := fmt.Sprintf("<ErrorResponse xmlns=%q><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>",
		stsNamespace, escape(p.code), escape(p.text), id)
	writeXML(w, p.status, id, []byte(text))
}
