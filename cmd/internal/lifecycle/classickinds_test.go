package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

func TestClassicRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(w *world)
		o      SwarmOptions
		reason string
		says   string
	}{
		"too new": {func(w *world) { w.hosts["m1"].engine.SetMinAPI("1.44") }, SwarmOptions{Master: true, Agent: true}, "CLASSIC_ENGINE_TOO_NEW", "no API older than 1.44"},
		"pull":    {func(w *world) { w.hosts["m1"].engine.FailPulls("toomanyrequests: slow down") }, SwarmOptions{Master: true}, "CLASSIC_IMAGE", "pull image swarm:latest: image of classic Swarm cannot be had: toomanyrequests: slow down"},
		"crash":   {func(w *world) { w.hosts["m1"].engine.Crash("level=fatal no such strategy") }, SwarmOptions{Master: true}, "CLASSIC_SWARM", "swarm-agent-master ended with 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1")
			w.hooks(func(step string) {
				if step == "m1: verify the engine over TLS" {
					tt.before(w)
				}
			}, nil)
			_, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Classic: true, Swarm: tt.o})
			if err == nil || ReasonOf(err).ID != tt.reason || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %s: %v", ReasonOf(err).ID, err)
			}
			if len(w.hosts["m1"].engine.Containers()) != 0 && name != "crash" {
				t.Errorf("made %v", w.hosts["m1"].engine.Containers())
			}
			if _, listed := w.hosts["m1"].files[swarmboot.ListDir+"/m1"]; listed && name == "too new" {
				t.Error("wrote a list")
			}
			if name == "crash" && !slices.Contains(DetailsOf(err), "level=fatal no such strategy") {
				t.Errorf("details %q", DetailsOf(err))
			}
			w.hooks(nil, nil)
			w.hosts["m1"].engine.SetMinAPI("1.24")
			w.hosts["m1"].engine.FailPulls("")
			w.hosts["m1"].engine.Crash("")
			if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Classic: true, Swarm: tt.o}); err != nil {
				t.Errorf("the same command again: %v", err)
			}
			if w.args("m1", swarmboot.ClassicMaster) == "" || w.record("m1").Phase != store.Ready {
				t.Error("not made")
			}
		})
	}
	w := newWorld(t, "m1", "a", "w1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true}})
	for name, tt := range map[string]struct {
		o    SwarmOptions
		says string
	}{
		"strategy":    {SwarmOptions{Master: true, Strategy: "pack"}, `strategy "pack": want spread, binpack or random`},
		"discovery":   {SwarmOptions{Master: true, Discovery: "1234"}, `discovery "1234"`},
		"host":        {SwarmOptions{Master: true, Host: "unix:///x"}, "want tcp://ADDRESS:PORT"},
		"replication": {SwarmOptions{Master: true, ArbitraryFlags: []string{"replication"}}, "key-value store"},
		"no swarm":    {SwarmOptions{Agent: true}, "no such swarm: there is no classic one"},
		"unknown":     {SwarmOptions{Agent: true, Name: "x"}, `there is no classic swarm "x"`},
		"other kind":  {SwarmOptions{Master: true, Name: "m1"}, `"m1" is in Swarm mode`},
	} {
		if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"a"}, Driver: fake.Name, Classic: true, Swarm: tt.o}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestClassicKinds: commands of Swarm mode do not mistake a classic swarm for one of theirs, nor the other way round.
func TestClassicKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "s1", "x1")
	w.classic(SwarmOptions{Name: "prod"}, "m1", "w1")
	w.create(CreateRequest{Names: []string{"s1"}, Swarm: SwarmOptions{Master: true}})
	w.create(CreateRequest{Names: []string{"x1"}})
	m, ctx := w.manager(), t.Context()
	for what, call := range map[string]func() error{
		"status by name":   func() error { _, err := m.SwarmStatus(ctx, "prod"); return err },
		"status by member": func() error { _, err := m.SwarmStatus(ctx, "w1"); return err },
		"tokens":           func() error { _, _, err := m.SwarmRotateTokens(ctx, RotateTokensRequest{Swarm: "m1"}); return err },
		"join": func() error {
			_, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"x1"}, Options: SwarmOptions{Name: "prod"}})
			return err
		},
		"env of an agent": func() error { _, err := m.Endpoint(ctx, "w1", true); return err },
		"members":         func() error { _, err := m.ClassicMembers(ctx, "s1"); return err },
		"create": func() error {
			_, err := m.Create(ctx, CreateRequest{Names: []string{"y"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true, Name: "prod"}})
			return err
		},
	} {
		if err := call(); !errors.Is(err, ErrKind) || ReasonOf(err).ID != "SWARM_KIND" {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"w1"}, Options: SwarmOptions{Name: "s1"}}); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("a member of a classic swarm joins: %v", err)
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"s1"}, Classic: true}); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("a member in Swarm mode joins: %v", err)
	}
	if st, err := m.SwarmStatus(ctx, ""); err != nil || st.Name != "s1" {
		t.Errorf("the only swarm in Swarm mode is %q, %v", st.Name, err)
	}
	_, err := m.Endpoint(ctx, "w1", true)
	if err == nil || err.Error() != `"w1" is not a swarm master. The --swarm flag is intended for use with swarm masters` {
		t.Errorf("got %v", err)
	}
	if _, err := m.Endpoint(ctx, "prod", true); !errors.Is(err, ErrSwarmDown) || err.Error() != "Connection to Swarm cannot be checked but the certs are valid. Maybe swarm is not started" {
		t.Errorf("got %v", err)
	}
}

// TestClassicEndpoint has something listen where the manager would, with the certificate of the engine.
func TestClassicEndpoint(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w := newWorld(t, "m1")
	w.classic(SwarmOptions{Name: "prod", Host: fmt.Sprintf("tcp://0.0.0.0:%d", l.Addr().(*net.TCPAddr).Port)}, "m1")
	x, err := w.manager().view("m1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(x.path(serverFile), x.path(serverKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).HandshakeContext(context.Background())
			_ = conn.Close()
		}
	}()
	for _, name := range []string{"m1", "prod"} {
		ep, err := w.manager().Endpoint(t.Context(), name, true)
		if err != nil || ep.URL != "tcp://"+l.Addr().String() || ep.Machine != "m1" || ep.CertPath == "" {
			t.Errorf("%s: got %+v, %v", name, ep, err)
		}
	}
}

// TestClassicService asks a token service as the manager would.
func TestClassicService(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/clusters/1234" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`["10.0.0.1:2376","10.0.0.2:2376"]`))
	}))
	t.Cleanup(srv.Close)
	at := "token://" + srv.Listener.Addr().String() + "/v1/"
	for url, want := range map[string]string{at + "1234": "[10.0.0.1:2376 10.0.0.2:2376] <nil>", at + "5": "404", at: "none", "token://1234": "none", "consul://x/y": "none"} {
		got := "none"
		if base, token, ok := ownService(url); ok {
			members, err := askService(t.Context(), srv.Client(), base, token)
			got = fmt.Sprint(members, " ", err)
		}
		if got != want && !(want == "404" && strings.Contains(got, want)) {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}
