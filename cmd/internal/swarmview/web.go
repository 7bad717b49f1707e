package swarmview

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

//go:embed page
var page embed.FS

// LookFunc tells how a swarm is now. A view with a name is of use with an error too.
type LookFunc = func(context.Context) (lifecycle.SwarmView, error)

// Web is the page of swarm ui and what it asks for. It only tells. Who has not come with the token, which serves once,
// is told nothing.
type Web struct {
	look  LookFunc
	every time.Duration

	token  string
	used   atomic.Bool
	cookie string // its name: cookies are not kept apart by port, so others' pages may have some of theirs
	key    string

	mu   sync.Mutex // held while somebody looks, so that all who ask meanwhile get one answer
	at   time.Time
	last lifecycle.SwarmView
	err  error
}

// NewWeb returns a page that looks at a swarm at most once per every.
func NewWeb(look LookFunc, every time.Duration) *Web {
	return &Web{look: look, every: every, token: rand.Text(), cookie: "machine_" + rand.Text()[:8], key: rand.Text()}
}

// Path is the path of the first request, with the token.
func (w *Web) Path() string { return "/?token=" + w.token }

// Serve answers on l until ctx ends, which is no error.
func (w *Web) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // nothing that is under way is worth waiting for
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP refuses whoever is not the browser that came with the token.
func (w *Web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	switch {
	case !loopback(r.Host): // a name of somebody's that leads here is how other pages would get at this one
		http.Error(rw, "this page is only on the loopback", http.StatusForbidden)
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		http.Error(rw, "this page can only be read", http.StatusMethodNotAllowed)
	case r.URL.Path == "/" && w.enters(rw, r), w.knows(r):
		w.serve(rw, r)
	default:
		http.Error(rw, "the address of machine swarm ui serves once, in one browser; run the command again for a new one", http.StatusForbidden)
	}
}

// loopback tells whether a Host header names this computer itself.
func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return name == "127.0.0.1" || name == "localhost" || name == "::1" || name == "[::1]"
}

// enters takes the token, once, and gives the browser a cookie for it.
func (w *Web) enters(rw http.ResponseWriter, r *http.Request) bool {
	if !same(r.URL.Query().Get("token"), w.token) || !w.used.CompareAndSwap(false, true) {
		return false
	}
	http.SetCookie(rw, &http.Cookie{Name: w.cookie, Value: w.key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return true
}

func (w *Web) knows(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	c, err := r.Cookie(w.cookie)
	return err == nil && same(c.Value, w.key)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (w *Web) serve(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		w.file(rw, "index.html", "text/html; charset=utf-8")
	case "/page.css":
		w.file(rw, "page.css", "text/css; charset=utf-8")
	case "/page.js":
		w.file(rw, "page.js", "text/javascript; charset=utf-8")
	case "/status.json":
		w.status(rw, r)
	case "/graph.svg":
		rw.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
		rw.Header().Set("Content-Type", "image/svg+xml")
		w.mu.Lock()
		view := w.last
		w.mu.Unlock()
		_, _ = rw.Write(SVG(view)) // who has gone does not need it
	default:
		http.NotFound(rw, r)
	}
}

func (w *Web) file(rw http.ResponseWriter, name, kind string) {
	data, err := page.ReadFile("page/" + name)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", kind)
	_, _ = rw.Write(data)
}

// What the page is told.
type (
	pageNews struct {
		View  pageView `json:"view"`
		Every int64    `json:"every"` // milliseconds until it should ask again
		Error string   `json:"error,omitempty"`
	}
	pageView struct {
		lifecycle.SwarmView
		Nodes []pageNode `json:"nodes"`
	}
	pageNode struct {
		lifecycle.SwarmNode
		Certificate string `json:"certificate"`
	}
)

func (w *Web) status(rw http.ResponseWriter, r *http.Request) {
	view, err := w.now(r.Context())
	news := pageNews{View: pageView{SwarmView: view, Nodes: []pageNode{}}, Every: w.every.Milliseconds()}
	for _, n := range view.Nodes {
		news.View.Nodes = append(news.View.Nodes, pageNode{n, n.CertLeft(view.AskedAt)})
	}
	if view.Name == "" && err != nil {
		news.Error = err.Error()
	}
	data, err := json.Marshal(news)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(data)
}

// now looks, unless somebody has a moment ago.
func (w *Web) now(ctx context.Context) (lifecycle.SwarmView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) < w.every/2 {
		return w.last, w.err
	}
	view, err := w.look(ctx)
	if ctx.Err() != nil {
		return view, err // cut short: nothing to keep
	}
	w.last, w.err, w.at = view, err, time.Now()
	return view, err
}
