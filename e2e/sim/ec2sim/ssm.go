package ec2sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

const ssmPrefix = "AmazonSSM."

// ssmRequest is what GetParameter and GetParameters know.
type ssmRequest struct {
	Name           string
	Names          []string
	WithDecryption bool // nothing is encrypted here
}

func (c *Cloud) serveSSM(w http.ResponseWriter, r *http.Request, body []byte) {
	answer, err := c.ssm(r, body)
	if err != nil {
		var p *problem
		if !errors.As(err, &p) {
			p = ssmAuthProblem(err)
		}
		writeJSONProblem(w, p)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (c *Cloud) ssm(r *http.Request, body []byte) (any, error) {
	who, region, err := c.caller(r, body, "ssm")
	if err != nil {
		return nil, err
	}
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), ssmPrefix)
	if action != "GetParameter" && action != "GetParameters" {
		return nil, fault("UnknownOperationException", "")
	}
	if !who.may("ssm:" + action) {
		return nil, fault("AccessDeniedException", "User: arn:aws:iam::%s:user/%s is not authorized to perform: ssm:%s on resource: arn:aws:ssm:%s::parameter/* "+
			"because no identity-based policy allows the ssm:%s action", Account, who.id, action, region, action)
	}
	var asked ssmRequest
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return nil, fault("SerializationException", "%v", err)
	}
	if !c.admit() {
		return nil, fault("ThrottlingException", "Rate exceeded")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if action == "GetParameter" {
		return c.regions[region].getParameter(asked)
	}
	return c.regions[region].getParameters(asked)
}

func (r *region) getParameter(asked ssmRequest) (any, error) {
	if asked.Name == "" || asked.Names != nil {
		return nil, fault("ValidationException", "1 validation error detected: Value at 'name' failed to satisfy constraint: Member must not be null")
	}
	im, ok := r.parameter(asked.Name)
	if !ok {
		return nil, fault("ParameterNotFound", "")
	}
	return map[string]any{"Parameter": r.toldParameter(asked.Name, im)}, nil
}

func (r *region) getParameters(asked ssmRequest) (any, error) {
	if asked.Name != "" || len(asked.Names) < 1 || len(asked.Names) > 10 {
		return nil, fault("ValidationException", "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	found, missing := []any{}, []string{}
	for _, name := range asked.Names {
		if im, ok := r.parameter(name); ok {
			found = append(found, r.toldParameter(name, im))
		} else {
			missing = append(missing, name)
		}
	}
	return map[string]any{"Parameters": found, "InvalidParameters": missing}, nil
}

func (r *region) toldParameter(name string, im *image) map[string]any {
	return map[string]any{
		"Name": name, "Type": "String", "Value": im.id, "Version": 1, "DataType": "aws:ec2:image",
		"LastModifiedDate": float64(im.made.Unix()), "ARN": "arn:aws:ssm:" + r.name + "::parameter" + name,
	}
}

func ssmAuthProblem(err error) *problem {
	switch {
	case errors.Is(err, errUnknownKey):
		return fault("UnrecognizedClientException", "The security token included in the request is invalid.")
	case errors.Is(err, errUnsigned):
		return fault("MissingAuthenticationTokenException", "Missing Authentication Token")
	case errors.Is(err, errExpired):
		return fault("InvalidSignatureException", "Signature expired")
	case errors.Is(err, errRegion):
		return fault("InvalidSignatureException", "Credential should be scoped to a valid region.")
	}
	return fault("InvalidSignatureException", "%s", mismatch)
}

const mismatch = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

func writeJSONProblem(w http.ResponseWriter, p *problem) {
	answer := map[string]string{"__type": p.code}
	if p.text != "" {
		answer["message"] = p.text
	}
	writeJSON(w, p.status, answer)
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", requestID())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}
