package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/hostsmith/machine/drivers"
)

func TestRightsFallBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lacks []rights
		want  rights
		asked int // containers, by two machines
	}{
		"gives all":    {nil, privileged, 2},
		"lacks one":    {[]rights{privileged}, capabilities, 3},
		"lacks many":   {[]rights{privileged, capabilities}, minimal, 4},
		"lacks modest": {[]rights{privileged, capabilities, minimal}, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			s.modules, s.lacks = true, c.lacks
			f, at := testFactory(), serve(t, s)
			m1 := newHost(t, f, "m1", on(at))
			err := m1.Create(t.Context(), request())
			if c.want == "" {
				if err == nil || hintOf(err) == "" || !strings.Contains(err.Error(), "unable to apply caps") {
					t.Errorf("got %v, want the engine's refusal and advice", err)
				}
				if err := m1.Remove(t.Context()); err != nil || len(s.containers) > 0 {
					t.Errorf("remove: %v, left %v", err, s.containers)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				// The second machine knows from the first what the engine gives.
				m2 := newHost(t, f, "m2", on(at))
				m2.mustCreate()
				if got := m2.recorded().Rights; got != c.want || m1.recorded().Rights != c.want {
					t.Errorf("rights %q and %q, want %q", m1.recorded().Rights, got, c.want)
				}
			}
			if len(s.seen) != c.asked {
				t.Errorf("asked for %d containers, want %d", len(s.seen), c.asked)
			}
		})
	}
}

// TestNameTaken demands that what has the machine's name and is not known to
// its state stays untouched, even if its labels are right.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		labels   map[string]string
		recorded bool
	}{
		"no labels":             {nil, false},
		"our labels":            {map[string]string{labelStore: testStore, labelMachine: "m1"}, false},
		"intent was recorded":   {map[string]string{labelStore: "other", labelMachine: "m1"}, true},
		"intent, other machine": {map[string]string{labelStore: testStore, labelMachine: "m2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			m := newHost(t, testFactory(), "m1", on(serve(t, s)))
			s.containers["id"] = &stubContainer{id: "id", name: "machine-m1-01234567", state: "running", config: &container.Config{Labels: c.labels}, host: &container.HostConfig{}}
			if c.recorded {
				m.state = json.RawMessage(`{"engine":{"host":"` + m.engine() + `"},"container":"machine-m1-01234567"}`)
				m.reopen()
			}
			for what, err := range map[string]error{"check": m.Check(t.Context()), "create": m.Create(t.Context(), request())} {
				if !errors.Is(err, drivers.ErrConflict) || !strings.Contains(hintOf(err), "docker rm") {
					t.Errorf("%s: got %v (%s)", what, err, hintOf(err))
				}
			}
			if err := m.Remove(t.Context()); err != nil || s.containers["id"] == nil {
				t.Errorf("remove: %v, containers %v", err, s.containers)
			}
		})
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	t.Run("is built once", func(t *testing.T) {
		t.Parallel()
		s := newStub()
		f, at := testFactory(), serve(t, s)
		var g sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			h := newHost(t, f, name, on(at))
			h.config = json.RawMessage(strings.Replace(string(h.config), `"Image":"node"`, `"Image":""`, 1))
			h.reopen()
			g.Go(func() {
				if err := h.Create(context.WithoutCancel(t.Context()), request()); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
		if s.builds != 1 {
			t.Errorf("built %d times", s.builds)
		}
	})
	t.Run("is pulled", func(t *testing.T) {
		t.Parallel()
		s := newStub()
		m := newHost(t, testFactory(), "m1", on(serve(t, s), "docker-image", "mine:1")) // the last value counts
		m.mustCreate()
		if !s.images["mine:1"] || s.builds > 0 || m.recorded().Image != "mine:1" {
			t.Errorf("images %v, recorded %q", s.images, m.recorded().Image)
		}
	})
	t.Run("cannot be pulled", func(t *testing.T) {
		t.Parallel()
		m := newHost(t, testFactory(), "m1", on(serve(t, newStub()), "docker-image", "example.com/private"))
		err := m.Create(t.Context(), request())
		if !errors.Is(err, drivers.ErrNotFound) || !strings.Contains(hintOf(err), "docker pull example.com/private") {
			t.Errorf("got %v (%s)", err, hintOf(err))
		}
	})
	for name, c := range map[string]struct{ output, want, hint string }{
		"no registry": {
			`{"stream":"Step 2/7 : FROM debian:bookworm-slim\n"}{"errorDetail":{"message":"Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host"},"error":"x"}`,
			"no such host", "docker import",
		},
		"no mirror": {
			`{"stream":"Err:1 http://deb.debian.org bookworm\n"}{"stream":"  Temporary failure resolving 'deb.debian.org'\n"}{"errorDetail":{"code":100,"message":"The command '/bin/sh -c sh /tmp/build.sh' returned a non-zero code: 100"}}`,
			"Temporary failure resolving", "HTTP_PROXY",
		},
		"full disk": {`{"errorDetail":{"message":"write /usr/lib/x: no space left on device"}}`, "no space left", "docker system df"},
		"cut off":   {`{"stream":"Step 1/7"}{"str`, "unexpected EOF", "--docker-image"},
	} {
		t.Run("build fails: "+name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			s.build = func(w io.Writer) { _, _ = io.WriteString(w, c.output) }
			m := newHost(t, testFactory(), "m1", drivers.Values{"docker-engine": {serve(t, s)}})
			err := m.Create(t.Context(), request())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(hintOf(err), c.hint) {
				t.Errorf("got %v (%s)", err, hintOf(err))
			}
			if name == "full disk" && !errors.Is(err, drivers.ErrQuota) {
				t.Errorf("%v is not ErrQuota", err)
			}
			if err := m.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInterruptedRequestIsSeenThrough cancels while the engine makes the
// container, which it then has made.
func TestInterruptedRequestIsSeenThrough(t *testing.T) {
	t.Parallel()
	cause := errors.New("interrupted")
	for _, what := range []string{"containers", "volumes", "networks"} {
		s := newStub()
		s.modules = true
		ctx, cancel := context.WithCancelCause(t.Context())
		s.before = func(_, path string) {
			if strings.HasSuffix(path, what+"/create") {
				cancel(cause)
			}
		}
		m := newHost(t, testFactory(), "m1", on(serve(t, s)))
		if err := m.Create(ctx, request()); !errors.Is(err, cause) {
			t.Errorf("%s: got %v, want the cause", what, err)
		}
		if what == "containers" && (len(s.containers) != 1 || m.recorded().ID == "") {
			t.Errorf("containers %v, recorded %q", s.containers, m.recorded().ID)
		}
		if err := m.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if left := s.list(func(map[string]string) bool { return true }); len(left) > 0 {
			t.Errorf("%s: left %v", what, left)
		}
	}
}

// TestLateContainerIsAdopted has the request of a killed Create come true only
// while the next one is at work.
func TestLateContainerIsAdopted(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.modules = true
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	m.state = json.RawMessage(`{"engine":{"host":"` + m.engine() + `"},"network":{"name":"machine"},"container":"machine-m1-01234567","address":"172.28.0.9/16","rights":"capabilities"}`)
	m.reopen()
	var once sync.Once
	s.before = func(_, path string) {
		if strings.HasSuffix(path, "/containers/create") {
			once.Do(func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.containers["late"] = &stubContainer{
					id: "late", name: "machine-m1-01234567", network: "machine", state: container.StateCreated,
					address: netip.MustParseAddr("172.28.0.7"), host: &container.HostConfig{},
					config: &container.Config{Labels: map[string]string{
						labelStore: testStore, labelMachine: "m1", labelNetwork: "machine", labelAddress: "172.28.0.7/16", labelRights: "minimal",
					}},
				}
			})
		}
	}
	got := m.mustCreate()
	if st := m.recorded(); got.Host != "172.28.0.7" || st.ID != "late" || st.Rights != minimal || len(s.containers) != 1 {
		t.Errorf("%+v, recorded %+v", got, st)
	}
}

// TestKeysAreGivenOnce demands that a host that has run keeps what it made of
// its files.
func TestKeysAreGivenOnce(t *testing.T) {
	t.Parallel()
	s := newStub()
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	m.mustCreate()
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.mustCreate()
	if len(s.planted) != 1 {
		t.Errorf("planted %d times", len(s.planted))
	}
}

// TestWhatHasRunStays demands that a refused start costs a host nothing, at
// whatever an engine may balk that it bore before.
func TestWhatHasRunStays(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*stub){
		"rights are refused": func(s *stub) { s.lacks = []rights{privileged} },
		"address is taken": func(s *stub) {
			for _, n := range s.networks {
				s.containers["rival"] = &stubContainer{
					id: "rival", network: n.Name, joined: n.ID, address: netip.MustParseAddr("172.28.0.2"), state: container.StateRunning,
					config: &container.Config{}, host: &container.HostConfig{},
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			m := newHost(t, testFactory(), "m1", on(serve(t, s)))
			m.mustCreate()
			if err := m.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := m.recorded()
			spoil(s)
			for what, act := range map[string]func() error{
				"create": func() error { return m.Create(t.Context(), request()) },
				"start":  func() error { return m.Start(t.Context()) },
			} {
				if err := act(); err == nil {
					t.Errorf("%s succeeded", what)
				}
				if s.containers[before.ID] == nil || m.recorded().ID != before.ID {
					t.Fatalf("%s lost the container", what)
				}
			}
		})
	}
}

func TestUserVolumeTakesOursPlace(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.modules = true
	newHost(t, testFactory(), "m1", on(serve(t, s), "docker-volume", "mine:/var/lib/docker")).mustCreate()
	for _, c := range s.containers {
		want := []string{"mine:/var/lib/docker", "machine-m1-01234567-containerd:/var/lib/containerd"}
		if !slices.Equal(c.host.Binds, want) {
			t.Errorf("got %q, want %q", c.host.Binds, want)
		}
	}
}
