package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDirectIsAsAConnection sends the same requests through a connection and directly.
func TestDirectIsAsAConnection(t *testing.T) {
	t.Parallel()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.URL.Path == "/gone" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Seen", r.Header.Get("X-Sent"))
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintln(w, r.Method, r.RequestURI, r.URL, r.Proto, r.ContentLength, r.TLS != nil, string(body), err)
	})
	server := httptest.NewTLSServer(echo)
	t.Cleanup(server.Close)
	ask := func(client *http.Client, method, path, body string) string {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Sent", "this")
		resp, err := client.Do(r)
		if err != nil {
			return "refused"
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, resp.Header.Get("X-Seen"), resp.Request == r, string(text), err)
	}
	for _, c := range [][3]string{{"GET", "/a%2Fb?c=d%20e", ""}, {"PUT", "/x", "body"}, {"POST", "/gone", "body"}} {
		far, near := ask(server.Client(), c[0], c[1], c[2]), ask(&http.Client{Transport: Direct{Handler: echo}}, c[0], c[1], c[2])
		if far != near {
			t.Errorf("%q: got %q directly, %q through a connection", c, near, far)
		}
	}
}

// TestDirectEndsWithTheHandler has a client that goes away wait for the handler.
func TestDirectEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	served := 0
	client := &http.Client{Transport: Direct{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel(enough)
		<-r.Context().Done()
		served++
	})}}
	for range 2 { // the second one is not sent
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://cloud.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, enough) || served != 1 {
			t.Errorf("served %d times, %v", served, err)
		}
	}
}
