package vspheresim

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/vmware/govmomi/vim25/soap"
)

// serveSOAP has the simulator answer. It would wait for updates for ever, also
// when the client is gone or the cloud is closed.
func (c *Cloud) serveSOAP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	method := soapMethod(body)
	if !strings.HasPrefix(method, "WaitForUpdates") {
		c.inTurn(w, r, method)
		return
	}
	answer := &kept{header: http.Header{}, status: http.StatusOK, done: make(chan struct{})}
	go func() {
		defer close(answer.done)
		c.model.Service.ServeMux.ServeHTTP(answer, r)
	}()
	select {
	case <-answer.done:
		answer.release(w)
	case <-r.Context().Done():
	case <-c.ctx.Done():
		http.Error(w, "the vCenter goes down", http.StatusServiceUnavailable)
	}
}

// kept is an answer that its client may not wait for.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
	done   chan struct{}
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (k *kept) release(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body.Bytes()) // the client may be gone
}

// mayTransfer refuses files to and from datastores without a session, as the
// simulator does not.
func (c *Cloud) mayTransfer(w http.ResponseWriter, r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if ok && user == Username && password == Password {
		return true
	}
	if cookie, err := r.Cookie(soap.SessionCookieName); err == nil && c.hasSession(cookie.Value) {
		return true
	}
	if cookie, err := r.Cookie("vmware_cgi_ticket"); err == nil && cookie.Value != "" {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
	w.WriteHeader(http.StatusUnauthorized)
	return false
}
