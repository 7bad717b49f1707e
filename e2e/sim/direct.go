package sim

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
)

// Direct is a transport whose server is a handler in the same process: nothing
// is encrypted and no connection made, for suites of so many requests that this
// would be half of their work. To the handler a request is what it would be
// behind a connection. A client that goes away hears of it when the handler has
// ended, so that nothing of what it asked for comes to pass later.
type Direct struct{ Handler http.Handler }

var errClosed = errors.New("the server closed the connection")

// RoundTrip implements http.RoundTripper.
func (d Direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in, err := received(r)
	if err != nil {
		return nil, err
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	resp := d.answer(in)
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	if resp == nil {
		return nil, errClosed
	}
	resp.Request = r
	return resp, nil
}

// received is what a server sees of a request.
func received(r *http.Request) (*http.Request, error) {
	in := r.Clone(r.Context())
	var body []byte
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in.Body, in.ContentLength, in.GetBody = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	in.RequestURI, in.URL.Scheme, in.URL.Host = r.URL.RequestURI(), "", ""
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if r.URL.Scheme == "https" {
		in.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	in.Proto, in.ProtoMajor, in.ProtoMinor, in.RemoteAddr = "HTTP/1.1", 1, 1, "127.0.0.1:1"
	return in, nil
}

// answer returns the handler's answer; nil: it closed the connection.
func (d Direct) answer(r *http.Request) (resp *http.Response) {
	defer func() {
		if gone := recover(); gone != nil && gone != http.ErrAbortHandler {
			panic(gone)
		}
	}()
	w := httptest.NewRecorder()
	d.Handler.ServeHTTP(w, r)
	return w.Result()
}
