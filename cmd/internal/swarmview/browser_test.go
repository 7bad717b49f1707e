package swarmview

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/e2e/browsertest"
)

// TestPageInABrowser looks at the page with the eyes of a real browser.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a browser")
	}
	b := browsertest.Open(t, "evil.example")
	var mu sync.Mutex
	view := aView()
	w := NewWeb(func(context.Context) (lifecycle.SwarmView, error) {
		mu.Lock()
		defer mu.Unlock()
		v := view
		v.AskedAt = time.Now()
		return v, nil
	}, 200*time.Millisecond)
	srv := httptest.NewServer(w)
	defer srv.Close()
	const limit = time.Minute

	// A page of somebody else's whose name leads here, which even knows the token.
	evil := b.Page()
	evil.Open(strings.Replace(srv.URL, "127.0.0.1", "evil.example", 1) + w.Path())
	evil.Until(limit, func() error { return shows(evil, "body", "this page is only on the loopback") })

	p := b.Page()
	b.Complaints()
	p.Open(srv.URL + w.Path())
	p.Until(limit, func() error { return shows(p, "#title", "Swarm prod") })
	rows := p.Rows("#nodes")
	var names []string
	for _, r := range rows {
		names = append(names, strings.Join(r[:5], "|"))
	}
	want := []string{
		"m1|manager|ready|drain|leader", "m2|manager|ready|active|reachable", "m3|manager|down|active|unreachable", "w1|worker|ready|active|-",
		`<script>alert("1")</script>&|worker|ready|active|-`,
	}
	if !slices.Equal(names, want) {
		t.Errorf("nodes %q, want %q", names, want)
	}
	if got := p.Rows("#services"); len(got) != 2 || got[0][2] != "0/2" || got[0][4] != "task: non-zero exit (1)" {
		t.Errorf("services %q", got)
	}
	if got := p.Rows("#tasks"); len(got) != 5 || got[1][1] != "-" {
		t.Errorf("tasks %q", got)
	}
	if got := p.Text("#problems"); !strings.Contains(got, "machine start m3; if it is lost for good: machine rm m3") {
		t.Errorf("problems %q", got)
	}
	if got := p.Text("#numbers"); strings.Join(strings.Fields(got), " ") != "managers 3 reachable 2 needed 2 may be lost 0" {
		t.Errorf("quorum %q", got)
	}
	var facts struct {
		Scripts, Width int
		Token          bool
		Cookie, Alt    string
	}
	p.Until(limit, func() error {
		err := p.Eval(`({scripts: document.scripts.length, width: document.getElementById("graph").naturalWidth,
			token: location.href.includes("token"), cookie: document.cookie, alt: document.getElementById("graph").alt})`, &facts)
		if err == nil && facts.Width == 0 {
			return fmt.Errorf("the picture is not loaded")
		}
		return err
	})
	if facts.Scripts != 1 || facts.Token || facts.Cookie != "" || facts.Alt == "" {
		t.Errorf("got %+v", facts)
	}

	// With the keyboard: the first stop leads past the header.
	p.Do("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}, nil)
	var focused string
	if err := p.Eval("document.activeElement.className", &focused); err != nil || focused != "skip" {
		t.Errorf("the first stop is %q, %v", focused, err)
	}
	ground := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		p.Do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		var color string
		if err := p.Eval("getComputedStyle(document.body).backgroundColor", &color); err != nil {
			t.Fatal(err)
		}
		ground[color] = scheme
	}
	if len(ground) != 2 {
		t.Errorf("light and dark look alike: %v", ground)
	}

	// The token is void, for another browser.
	second := b.Page()
	second.Open(srv.URL + w.Path())
	second.Until(limit, func() error { return shows(second, "body", "serves once") })
	if got := b.Complaints(); slices.ContainsFunc(got, func(c string) bool { return !strings.Contains(c, "403") }) {
		t.Errorf("the page complains: %q", got)
	}

	// A change is followed, and so is the end.
	mu.Lock()
	view = silentView()
	mu.Unlock()
	p.Until(limit, func() error { return shows(p, "#health", lifecycle.HealthNoQuorum) })
	if got := p.Text("#problems"); !strings.Contains(got, "machine swarm recover prod") {
		t.Errorf("problems %q", got)
	}
	srv.CloseClientConnections()
	srv.Close()
	p.Until(limit, func() error { return shows(p, "#link", "connection lost") })
	if got := p.Rows("#nodes"); len(got) != 2 {
		t.Errorf("what was last seen is gone: %q", got)
	}
}

func shows(p *browsertest.Page, selector, want string) error {
	if got := p.Text(selector); !strings.Contains(got, want) {
		return fmt.Errorf("%s shows %q, want %q", selector, got, want)
	}
	return nil
}
