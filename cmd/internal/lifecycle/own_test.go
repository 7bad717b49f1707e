package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// ownHost makes a host that runs already and lets the key in a file in; it returns the request that
// takes it over.
func (w *world) ownHost(name string) CreateRequest {
	w.t.Helper()
	pair, err := ssh.NewKeyPair("the user's own")
	if err != nil {
		w.t.Fatal(err)
	}
	key := filepath.Join(w.t.TempDir(), "my key")
	if err := os.WriteFile(key, pair.Private, 0o600); err != nil {
		w.t.Fatal(err)
	}
	h := w.hosts[name]
	h.own = true
	h.become("own", true, fake.Resource{AuthorizedKey: pair.Authorized})
	return CreateRequest{Names: []string{name}, Driver: "generic", Options: drivers.Values{
		"generic-ip-address": {"127.0.0.1"}, "generic-ssh-port": {strconv.Itoa(h.sshPort)}, "generic-engine-port": {strconv.Itoa(h.port)},
		"generic-peer-address": {h.peer}, "generic-ssh-key": {key},
	}}
}

func TestOwnHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "own")
	h, m, ctx, names := w.hosts["own"], w.manager(), t.Context(), []string{"own"}
	req := w.ownHost("own")
	h.set(func(h *host) { h.files["/etc/docker/daemon.json"] = `{"debug": true}` })
	w.create(req)
	rec := w.record("own")
	if rec.SSH.Key != ownKeyFile || rec.SSH.HostKey != "pinned" || rec.Address.Peer != h.peer || rec.Phase != store.Ready {
		t.Errorf("record %+v", rec)
	}
	if got := h.files["/etc/docker/daemon.json"]; !strings.Contains(got, `"debug": true`) || !strings.Contains(got, "tlsverify") {
		t.Errorf("daemon.json %s", got)
	}
	if !slices.Contains(h.done(), "start_engine systemd "+strconv.Itoa(h.port)+" 120") {
		t.Errorf("the engine does not listen on the port that the driver was told")
	}
	// The store has its own copy of the key.
	if err := os.Remove(req.Options["generic-ssh-key"][0]); err != nil {
		t.Fatal(err)
	}
	if err := m.Provision(ctx, ProvisionRequest{Names: names}); err != nil {
		t.Fatal(err)
	}
	if did := h.done(); len(did) > 0 {
		t.Errorf("provision did %q", did)
	}
	starts := h.starts
	if err := m.Restart(ctx, names); err != nil {
		t.Fatal(err)
	}
	if h.boots != 1 || h.starts != starts+1 {
		t.Errorf("booted %d times, engine started %d times", h.boots, h.starts-starts)
	}
	for what, err := range map[string]error{"stop": m.Stop(ctx, names), "kill": m.Kill(ctx, names)} {
		if !errors.Is(err, drivers.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := m.Remove(ctx, RemoveRequest{Names: names}); err != nil {
		t.Fatal(err)
	}
	if did := h.done(); len(did) > 0 || h.files["/etc/docker/server.pem"] == "" || h.serving == nil {
		t.Errorf("rm did %q to a host that is the user's own", did)
	}
	if names, err := m.Names(); len(names) > 0 || err != nil {
		t.Errorf("left %v, %v", names, err)
	}
}

func TestDeprovision(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "own")
	h, m, ctx := w.hosts["own"], w.manager(), t.Context()
	req := w.ownHost("own")
	req.Options["generic-deprovision"] = []string{"true"}
	h.set(func(h *host) { h.files["/etc/docker/daemon.json"] = "{\"debug\": true}\n" })
	w.create(req)
	h.set(func(h *host) { h.up = false; h.sshd.DropAll() })
	away := w.manager() // waits for no host that is away
	away.Wait.SSH = 200 * time.Millisecond
	if _, err := away.Remove(ctx, RemoveRequest{Names: req.Names}); !errors.Is(err, ssh.ErrNotReady) {
		t.Errorf("rm of a host that is away: %v", err)
	}
	if rec := w.record("own"); rec.Phase != store.Removing {
		t.Errorf("record %+v", rec)
	}
	h.set(func(h *host) { h.up = true })
	if _, err := m.Remove(ctx, RemoveRequest{Names: req.Names}); err != nil {
		t.Fatal(err)
	}
	if got := h.files["/etc/docker/daemon.json"]; !strings.Contains(got, "debug") || strings.Contains(got, "tls") {
		t.Errorf("daemon.json %s", got)
	}
	for _, file := range []string{"/etc/docker/server-key.pem", "/etc/docker/machine.json", dropIn} {
		if _, ok := h.files[file]; ok {
			t.Errorf("%s is left", file)
		}
	}
}

// TestRefusedLogin has a key that the host does not let in: create stops at once and can be repeated.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "own")
	req := w.ownHost("own")
	w.hosts["own"].sshd.SetRefuse(true)
	got, err := w.manager().Create(t.Context(), req)
	if !errors.Is(err, ssh.ErrAuth) || got[0].ReasonID != "SSH_AUTH_REFUSED" {
		t.Errorf("got %+v, %v", got, err)
	}
	w.hosts["own"].sshd.SetRefuse(false)
	w.create(req)
}
