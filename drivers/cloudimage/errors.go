package cloudimage

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/hostsmith/machine/drivers"
)

// errBroken marks what another attempt may bring.
var errBroken = errors.New("broken off")

// brokenError is an error in the middle of a file.
type brokenError struct{ err error }

func (e *brokenError) Error() string   { return e.err.Error() }
func (e *brokenError) Unwrap() []error { return []error{e.err, errBroken} }

// statusError is what a server said instead of sending the file.
type statusError struct {
	address, status string
	code            int
}

func (e *statusError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrFetch, e.address, e.status) }
func (e *statusError) Unwrap() error { return ErrFetch }

// passing tells whether another attempt may help.
func passing(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.code >= 500 || status.code == http.StatusTooManyRequests || status.code == http.StatusRequestTimeout
	}
	var local *localError
	var dns *net.DNSError
	switch {
	case errors.As(err, &local), isTLS(err), errors.As(err, &dns) && dns.IsNotFound:
		return false
	case errors.Is(err, errBroken), errors.Is(err, io.EOF):
		return true
	}
	var network net.Error
	var op *net.OpError
	return errors.As(err, &network) || errors.As(err, &op)
}

// unreachable tells whether no connection was made.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

func isTLS(err error) bool {
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid)
}

// advise adds what to do about err.
func advise(img Image, dir string, err error) error {
	var has *drivers.HintError
	if errors.As(err, &has) {
		return err
	}
	var status *statusError
	var local *localError
	errors.As(err, &local)
	advice := ""
	switch {
	case isFull(err):
		err = fmt.Errorf("%w: %w", ErrFull, err)
		advice = "free some space for " + dir + "; machine image rm --all removes the images that no machine uses"
		if local != nil && local.total > local.done {
			advice += fmt.Sprintf("; at least %d MB more are needed, and the same command goes on from there", (local.total-local.done)>>20+1)
		}
	case errors.Is(err, ErrChecksum) && img.Name == "" && img.Sums == "":
		advice = "compare the checksum that you gave with the one that the publisher names; if it is right, somebody in between changes what comes"
	case errors.Is(err, ErrChecksum):
		advice = "try again later: a publisher who replaces an image may need a moment; if it stays so, somebody in between changes what comes"
	case errors.Is(err, ErrFormat):
		advice = "check that the URL or path is that of a disk image, not of a page about it"
	case isTLS(err):
		advice = "check the clock of this computer; if a proxy opens TLS here, its authority must be among the system's certificates"
	case errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone):
		advice = "the file is not there any more or never was; look it up at its publisher and name the image by its URL"
	case errors.As(err, &status) && (status.code == http.StatusForbidden || status.code == http.StatusUnauthorized):
		advice = "the server wants to know who asks; download the file yourself and name the image by its path"
	case errors.As(err, &status) && status.code == http.StatusProxyAuthRequired:
		advice = "put user and password of the proxy into HTTPS_PROXY"
	case errors.Is(err, ErrFetch):
		advice = "check the network, and HTTPS_PROXY if there is a proxy; machine image pull fetches an image ahead, and an image can be named by its path"
	default:
		return err
	}
	return &drivers.HintError{Err: err, Advice: advice}
}
