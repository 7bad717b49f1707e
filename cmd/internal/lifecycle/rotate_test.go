package lifecycle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/provision/ssh"
)

// reached demands that each machine's client gets an answer of its engine with what is in its
// folder now.
func (w *world) reached(t *testing.T, when string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := w.answers(name); err != nil {
			t.Errorf("%s: locked out of %s: %v", when, name, err)
		}
	}
}

// rotated demands that nothing is left of the authority old, whose client pair is client.
func (w *world) rotated(t *testing.T, old authority, names ...string) {
	t.Helper()
	m := w.manager()
	a, err := m.readAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if string(a.cert) == string(old.cert) || string(a.trust) != string(certs.Bundle(a.cert)) || m.hasCert(nextFile) || m.hasCert(nextKeyFile) || m.hasCert(oldFile) {
		t.Error("the old authority, or a part of the rotation, is still there")
	}
	w.reached(t, "after the rotation", names...)
	for _, name := range names {
		h := w.hosts[name]
		h.done()
		if got := h.files["/etc/docker/ca.pem"]; strings.TrimSpace(got) != strings.TrimSpace(string(a.cert)) {
			t.Errorf("%s trusts another than the new authority", name)
		}
		if w.files()["machines/"+name+"/"+caFile] != string(a.cert) {
			t.Errorf("the client of %s trusts another than the new authority", name)
		}
		if err := handshake(t.Context(), h.port, old.client); err == nil {
			t.Errorf("%s lets a client of the old authority in", name)
		}
		if err := handshake(t.Context(), h.port, a.client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// handshake asks as the client that pair is; whom it speaks to does not matter.
func handshake(ctx context.Context, port int, pair certs.Pair) error {
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil }} //nolint:gosec // the client is judged here
	eng := newEngine("any", fmt.Sprintf("https://127.0.0.1:%d", port), conf, nil)
	defer eng.close()
	_, err = eng.version(ctx)
	return err
}

// TestRotation looks, before each write of the store and each step on a host, whether all clients
// reach their engines.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "alone", "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	w.create(CreateRequest{Names: []string{"alone"}})
	names := []string{"alone", "m1", "w1"}
	old, err := w.manager().readAuthority()
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	var mu sync.Mutex
	w.hooks(nil, func(what string) error {
		if strings.HasPrefix(what, "provider") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		looks++
		for _, name := range names {
			// Two files cannot be replaced as one: between them the pair does not fit.
			if err := w.answers(name); err != nil && what != "write "+certFile {
				t.Errorf("before %s: locked out of %s: %v", what, name, err)
			}
		}
		return nil
	})
	m := w.manager()
	m.Limit = 1
	if err := m.RegenerateCerts(t.Context(), CertsRequest{RotateCA: true}); err != nil {
		t.Fatal(err)
	}
	w.hooks(nil, nil)
	if looks < 60 {
		t.Errorf("only %d looks", looks)
	}
	w.rotated(t, old, names...)
	if err := m.Provision(t.Context(), ProvisionRequest{Names: names}); err != nil {
		t.Error(err)
	}
	for name, h := range w.hosts {
		if did := h.done(); len(did) > 0 {
			t.Errorf("provision of %s has something to do after the rotation: %q", name, did)
		}
		if h.starts != 3 {
			t.Errorf("the engine of %s was started %d times, want 3: at first, with both and with the new authority", name, h.starts)
		}
	}
}

func TestRotationMeetsAMachineThatIsAway(t *testing.T) {
	t.Parallel()
	for _, move := range []string{"first", "last"} {
		w := newWorld(t, "a", "b", "c")
		w.create(CreateRequest{Names: []string{"a", "b"}})
		old, err := w.manager().readAuthority()
		if err != nil {
			t.Fatal(err)
		}
		away := func() { w.hosts["b"].set(func(h *host) { h.up = false; h.sshd.DropAll() }) }
		w.hooks(nil, func(what string) error {
			if move == "first" || what == "remove certs/"+nextKeyFile {
				away()
			}
			return nil
		})
		m := w.manager()
		m.Wait.SSH = 3 * time.Second // time enough for who is there
		err = m.RegenerateCerts(t.Context(), CertsRequest{RotateCA: true})
		w.hooks(nil, nil)
		if !errors.Is(err, ssh.ErrNotReady) || !strings.Contains(err.Error(), "b: ") {
			t.Errorf("%s move: %v", move, err)
		}
		w.reached(t, move+" move, one is away", "a", "b") // only its SSH is
		// The store is at work as ever.
		w.create(CreateRequest{Names: []string{"c"}})
		w.reached(t, move+" move, a new one", "a", "b", "c")
		w.hosts["b"].set(func(h *host) { h.up = true })
		if err := w.manager().RegenerateCerts(t.Context(), CertsRequest{RotateCA: true}); err != nil {
			t.Fatalf("%s move, continued: %v", move, err)
		}
		w.rotated(t, old, "a", "b", "c")
	}
}

// TestKilledRotation kills the rotation at each event. Nobody is locked out, but of a machine whose
// client pair was being replaced; the same command ends it.
func TestKilledRotation(t *testing.T) {
	t.Parallel()
	names := []string{"a"}
	var mu sync.Mutex
	former := map[*world]authority{}
	k := killing{
		names: names,
		before: func(w *world) {
			w.create(CreateRequest{Names: names})
			a, err := w.manager().readAuthority()
			if err != nil {
				w.t.Fatal(err)
			}
			mu.Lock()
			former[w] = a
			mu.Unlock()
		},
		act: func(ctx context.Context, w *world) {
			_ = w.manager().RegenerateCerts(ctx, CertsRequest{RotateCA: true})
		},
		kinds: "put write remove ssh before after",
	}
	k.each(t, func(t *testing.T, w *world) {
		for _, name := range names {
			if err := w.answers(name); err != nil {
				t.Errorf("locked out of %s: %v", name, err)
			}
		}
		m := w.manager()
		if m.hasCert(nextFile) || m.hasCert(oldFile) {
			if err := m.RegenerateCerts(t.Context(), CertsRequest{RotateCA: true}); err != nil {
				t.Fatalf("continued: %v", err)
			}
		}
		mu.Lock()
		old := former[w]
		mu.Unlock()
		if a, err := m.readAuthority(); err == nil && string(a.cert) == string(old.cert) {
			return // killed before anything
		}
		w.rotated(t, old, names...)
	})
}

func TestRegenerateCerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	w.create(CreateRequest{Names: []string{"a", "b"}})
	m := w.manager()
	before := w.files()
	if err := m.RegenerateCerts(t.Context(), CertsRequest{Names: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	changed := func(before map[string]string) (paths []string) {
		for path, data := range w.files() {
			if before[path] != data && !strings.HasSuffix(path, "config.json") {
				paths = append(paths, path)
			}
		}
		slices.Sort(paths)
		return paths
	}
	if got, want := changed(before), []string{"machines/a/" + serverKeyFile, "machines/a/" + serverFile}; !slices.Equal(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
	if w.hosts["a"].starts != 2 || w.hosts["b"].starts != 1 {
		t.Errorf("engines were started %d and %d times", w.hosts["a"].starts, w.hosts["b"].starts)
	}
	before = w.files()
	if err := m.RegenerateCerts(t.Context(), CertsRequest{Names: []string{"b"}, ClientCerts: true}); err != nil {
		t.Fatal(err)
	}
	want := []string{"certs/cert.pem", "certs/key.pem", "machines/a/cert.pem", "machines/a/key.pem", "machines/b/cert.pem", "machines/b/key.pem", "machines/b/server-key.pem", "machines/b/server.pem"}
	if got := changed(before); !slices.Equal(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
	w.reached(t, "renewed", "a", "b")
	if err := m.RegenerateCerts(t.Context(), CertsRequest{Names: []string{"a"}, RotateCA: true}); !errors.Is(err, ErrUsage) {
		t.Errorf("rotate for one machine: %v", err)
	}
}

// TestUnfinishedMachinesDoNotStopTheRotation has a machine of which nothing is made yet.
func TestUnfinishedMachinesDoNotStopTheRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	w.create(CreateRequest{Names: []string{"a"}})
	old, err := w.manager().readAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w.setenv(fake.EnvFail, "create-before")
	req := CreateRequest{Names: []string{"b"}, Driver: fake.Name}
	if _, err := w.manager().Create(t.Context(), req); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	if err := w.manager().RegenerateCerts(t.Context(), CertsRequest{RotateCA: true}); err != nil {
		t.Fatal(err)
	}
	w.create(req)
	w.rotated(t, old, "a", "b")
}
