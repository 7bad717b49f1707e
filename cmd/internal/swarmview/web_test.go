package swarmview

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func looking(v lifecycle.SwarmView) LookFunc {
	return func(context.Context) (lifecycle.SwarmView, error) { return v, nil }
}

// ask sends a request to the page as a browser would: host is where it thinks it is.
func ask(w *Web, method, host, path string, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, "http://"+host+path, nil)
	r.Host = host
	for _, c := range change {
		c(r)
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec.Result()
}

const here = "127.0.0.1:4711"

// entered is a page, and what a browser sends that has come with the token.
func entered(t *testing.T, look LookFunc) (*Web, func(*http.Request)) {
	t.Helper()
	w := NewWeb(look, time.Millisecond)
	resp := ask(w, http.MethodGet, here, w.Path())
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
		t.Fatalf("got %s, %d cookies", resp.Status, len(resp.Cookies()))
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || strings.Contains(w.Path(), c.Value) {
		t.Errorf("cookie %+v", c)
	}
	return w, func(r *http.Request) { r.AddCookie(c) }
}

func TestTokenServesOnce(t *testing.T) {
	t.Parallel()
	w := NewWeb(looking(aView()), time.Second)
	for _, path := range []string{"/", "/?token=", "/?token=guessed", "/status.json", "/graph.svg", "/page.js", "/status.json?token=" + w.token} {
		if resp := ask(w, http.MethodGet, here, path); resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) > 0 {
			t.Errorf("%s without the token: %s", path, resp.Status)
		}
	}
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if resp := ask(w, http.MethodGet, here, w.Path()); resp.StatusCode == http.StatusOK {
				in.Add(1)
			} else if len(resp.Cookies()) > 0 {
				t.Error("a refusal has a cookie")
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("the token served %d times", in.Load())
	}
}

func TestWebTellsOnlyItsBrowser(t *testing.T) {
	t.Parallel()
	w, cookie := entered(t, looking(aView()))
	forged := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: w.cookie, Value: "guessed"}) }
	site := func(s string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", s) } }
	for name, tt := range map[string]struct {
		method, host, path string
		change             []func(*http.Request)
		want               int
	}{
		"page":            {"GET", here, "/", []func(*http.Request){cookie}, 200},
		"by name":         {"GET", "localhost:4711", "/status.json", []func(*http.Request){cookie}, 200},
		"IPv6":            {"GET", "[::1]:4711", "/status.json", []func(*http.Request){cookie}, 200},
		"another port":    {"GET", "127.0.0.1:9", "/status.json", []func(*http.Request){cookie}, 200}, // forwarded by ssh -L
		"its own script":  {"GET", here, "/status.json", []func(*http.Request){cookie, site("same-origin")}, 200},
		"another page":    {"GET", here, "/status.json", []func(*http.Request){cookie, site("cross-site")}, 403},
		"another port's":  {"GET", here, "/status.json", []func(*http.Request){cookie, site("same-site")}, 403},
		"no cookie":       {"GET", here, "/status.json", nil, 403},
		"forged cookie":   {"GET", here, "/status.json", []func(*http.Request){forged}, 403},
		"rebound name":    {"GET", "evil.example:4711", "/status.json", []func(*http.Request){cookie}, 403},
		"no host":         {"GET", "", "/status.json", []func(*http.Request){cookie}, 403},
		"like ours":       {"GET", "127.0.0.1.evil.example", "/", []func(*http.Request){cookie}, 403},
		"post":            {"POST", here, "/", []func(*http.Request){cookie}, 405},
		"delete":          {"DELETE", here, "/status.json", []func(*http.Request){cookie}, 405},
		"unknown":         {"GET", here, "/etc/passwd", []func(*http.Request){cookie}, 404},
		"folder":          {"GET", here, "/page/", []func(*http.Request){cookie}, 404},
		"way out":         {"GET", here, "/page/../web.go", []func(*http.Request){cookie}, 404},
		"picture":         {"GET", here, "/graph.svg", []func(*http.Request){cookie}, 200},
		"picture unknown": {"GET", here, "/graph.svg", nil, 403},
	} {
		resp := ask(w, tt.method, tt.host, tt.path, tt.change...)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != tt.want {
			t.Errorf("%s: got %s, want %d", name, resp.Status, tt.want)
		}
		if tt.want != 200 && strings.Contains(string(body), "10.0.0.1") {
			t.Errorf("%s: tells %s", name, body)
		}
		h := resp.Header
		csp := h.Get("Content-Security-Policy")
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
			!strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "script-src 'unsafe") || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", name, h)
		}
	}
}

func TestStatusOfThePage(t *testing.T) {
	t.Parallel()
	var looks atomic.Int32
	v := aView()
	w, cookie := entered(t, func(context.Context) (lifecycle.SwarmView, error) {
		looks.Add(1)
		return v, errors.New("quorum lost") // told by the view itself
	})
	w.every = time.Hour
	for range 3 {
		var got struct {
			View  lifecycle.SwarmView
			Every int
			Error string
		}
		if err := json.NewDecoder(ask(w, http.MethodGet, here, "/status.json", cookie).Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.View.Name != "prod" || len(got.View.Nodes) != 5 || len(got.View.TaskList) != 5 || got.Error != "" || got.Every != 3600000 {
			t.Errorf("got %+v", got)
		}
	}
	if looks.Load() != 1 {
		t.Errorf("looked %d times", looks.Load())
	}
	w, cookie = entered(t, func(context.Context) (lifecycle.SwarmView, error) {
		return lifecycle.SwarmView{}, errors.New("no such swarm")
	})
	body, _ := io.ReadAll(ask(w, http.MethodGet, here, "/status.json", cookie).Body)
	if !strings.Contains(string(body), `"error":"no such swarm"`) {
		t.Errorf("got %s", body)
	}
}

func TestServeEnds(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	w := NewWeb(func(ctx context.Context) (lifecycle.SwarmView, error) {
		close(began)
		<-ctx.Done()
		return lifecycle.SwarmView{}, context.Cause(ctx)
	}, time.Second)
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx, l) }()
	url := "http://" + l.Addr().String()
	resp, err := http.Get(url + w.Path())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	go func() {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/status.json", nil)
		r.AddCookie(resp.Cookies()[0])
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-began
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
}
