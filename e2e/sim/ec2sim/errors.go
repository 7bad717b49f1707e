package ec2sim

import (
	"errors"
	"fmt"
	"net/http"
)

// problem is an error as EC2 tells it.
type problem struct {
	status     int
	code, text string
}

func (p *problem) Error() string { return p.code + ": " + p.text }

// fault returns a problem with the usual status of clients' errors.
func fault(code, format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// Reasons not to trust a request. Each of AWS's protocols has its own words for them.
var (
	errUnknownKey   = errors.New("unknown access key")
	errBadSignature = errors.New("bad signature")
	errExpired      = errors.New("request expired")
	errUnsigned     = errors.New("unsigned request")
	errRegion       = errors.New("wrong region")
)

func throttled() *problem {
	return &problem{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
}

func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	return &problem{http.StatusInternalServerError, "InternalError", "An internal error has occurred: " + err.Error()}
}
