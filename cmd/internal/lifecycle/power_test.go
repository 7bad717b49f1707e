package lifecycle

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/drivers/none"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

func (w *world) noted(text string) bool {
	w.notes.mu.Lock()
	defer w.notes.mu.Unlock()
	return slices.ContainsFunc(w.notes.text, func(n string) bool { return strings.Contains(n, text) })
}

func TestPower(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	m, ctx, names := w.manager(), t.Context(), []string{"m1"}
	var already *AlreadyError
	if err := m.Start(ctx, names); !errors.As(err, &already) || err.Error() != `machine "m1" is already running` {
		t.Errorf("start a running one: %v", err)
	}
	if err := m.Stop(ctx, names); err != nil {
		t.Fatal(err)
	}
	if st, err := m.Status(ctx, "m1"); st != drivers.Stopped || err != nil {
		t.Errorf("status %q, %v", st, err)
	}
	if err := m.Stop(ctx, names); !errors.Is(err, ErrAlready) {
		t.Errorf("stop again: %v", err)
	}
	_, login := m.Login(ctx, "m1")
	_, url := m.URL(ctx, "m1")
	_, ip := m.IP(ctx, "m1")
	_, env := m.Endpoint(ctx, "m1", false)
	_, version := m.EngineVersion(ctx, "m1")
	for what, err := range map[string]error{
		"ssh": login, "url": url, "ip": ip, "env": env, "version": version,
		"provision": m.Provision(ctx, ProvisionRequest{Names: names}), "upgrade": m.Upgrade(ctx, UpgradeRequest{Names: names}),
	} {
		if !errors.Is(err, ErrNotRunning) || ReasonOf(err).ID != "NOT_RUNNING" {
			t.Errorf("%s of a stopped machine: %v", what, err)
		}
	}
	starts := w.hosts["m1"].starts
	if err := m.Start(ctx, names); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(ctx, names); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(ctx, names); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(ctx, names); err != nil {
		t.Fatal(err)
	}
	if err := w.answers("m1"); err != nil {
		t.Error(err)
	}
	if got := w.hosts["m1"].starts - starts; got != 3 {
		t.Errorf("the engine was started %d times, want 3: once with each start of the host", got)
	}
	if rec := w.record("m1"); rec.Phase != store.Ready || rec.Problem != nil {
		t.Errorf("record %+v", rec)
	}
	if got := w.hosts["m1"].done(); len(got) != 5 {
		t.Errorf("scripts did %q: more than create's", got)
	}
}

// TestAddressChange stops a machine and starts it at another address: the known host key moves
// along, and the server certificate is issued for the new address.
func TestAddressChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	m, names := w.manager(), []string{"m1"}
	before := w.record("m1")
	old := w.files()["machines/m1/"+serverFile]
	if err := m.Stop(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	// The same key at another port, and another address for other machines.
	h := w.hosts["m1"]
	port := h.relay()
	h.set(func(h *host) { h.sshPort, h.peer = port, "10.9.9.9" })
	// The file was edited by hand and lacks the last line's end.
	known := filepath.Join(m.Store.MachineDir("m1"), knownHostsFile)
	if err := os.WriteFile(known, []byte(strings.TrimSpace(w.files()["machines/m1/"+knownHostsFile])), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	rec := w.record("m1")
	if rec.Address.SSHPort != port || rec.Address.Peer != "10.9.9.9" || rec.Address.SSHPort == before.Address.SSHPort {
		t.Errorf("address %+v", rec.Address)
	}
	if rec.SSH.HostKey != "pinned" || strings.Count(strings.Join(w.notes.text, "\n"), "pinned the host key") != 1 {
		t.Errorf("the known key did not move along: %q", w.notes.text)
	}
	if !w.noted("certificate is issued again") || w.files()["machines/m1/"+serverFile] == old || !slices.Contains(rec.Installed.Hosts, "10.9.9.9") {
		t.Errorf("certificate for %v", rec.Installed.Hosts)
	}
	if err := w.answers("m1"); err != nil {
		t.Error(err)
	}
	lines := w.files()["machines/m1/"+knownHostsFile]
	for range 3 {
		if err := m.Restart(t.Context(), names); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.files()["machines/m1/"+knownHostsFile]; got != lines || strings.Count(got, "\n") > 2 {
		t.Errorf("known hosts grew:\n%s", got)
	}
}

// TestStartGoesOn has a start at another address end anywhere. The next one goes on where the host runs.
func TestStartGoesOn(t *testing.T) {
	t.Parallel()
	names := []string{"m1"}
	k := killing{
		names: names,
		before: func(w *world) {
			w.create(CreateRequest{Names: names})
			if err := w.manager().Stop(t.Context(), names); err != nil {
				t.Error(err)
			}
			w.hosts["m1"].set(func(h *host) { h.peer = "10.9.9.9" })
		},
		act:   func(ctx context.Context, w *world) { _ = w.manager().Start(ctx, names) },
		kinds: "put write ssh before after",
	}
	k.each(t, func(t *testing.T, w *world) {
		if err := w.manager().Start(t.Context(), names); err != nil && !errors.Is(err, ErrAlready) {
			t.Fatal(err)
		}
		info, err := certs.Inspect([]byte(w.hosts["m1"].files["/etc/docker/server.pem"]))
		if err != nil || !slices.Contains(info.Hosts, "10.9.9.9") || w.record("m1").Address.Peer != "10.9.9.9" {
			t.Errorf("the engine has a certificate for %v, %v, the record %+v", info.Hosts, err, w.record("m1").Address)
		}
		if err := w.answers("m1"); err != nil {
			t.Error(err)
		}
	})
}

// TestCertificateOnItsWay has a command end while a new server certificate is on its way to the
// host: the next start takes no certificate for the engine's that the engine does not have.
func TestCertificateOnItsWay(t *testing.T) {
	t.Parallel()
	names := []string{"m1"}
	k := killing{
		names: names,
		before: func(w *world) {
			w.create(CreateRequest{Names: names})
			w.hosts["m1"].set(func(h *host) { h.peer = "10.9.9.9" })
		},
		act:   func(ctx context.Context, w *world) { _ = w.manager().Provision(ctx, ProvisionRequest{Names: names}) },
		kinds: "put write ssh before after",
	}
	k.each(t, func(t *testing.T, w *world) {
		if err := w.manager().Restart(t.Context(), names); err != nil {
			t.Fatal(err)
		}
		info, err := certs.Inspect([]byte(w.hosts["m1"].files["/etc/docker/server.pem"]))
		if err != nil || !slices.Contains(info.Hosts, "10.9.9.9") {
			t.Errorf("the engine has a certificate for %v, %v", info.Hosts, err)
		}
	})
}

func TestChangedHostKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.create(CreateRequest{Names: []string{"m1"}})
	w.create(CreateRequest{Names: []string{"m2"}, Options: drivers.Values{"fake-seed-host-key": {"true"}}})
	ctx := t.Context()
	for _, name := range []string{"m1", "m2"} {
		w.hosts[name].sshd.SetHostKeys() // another one
		w.hosts[name].done()
		before := w.files()["machines/"+name+"/"+knownHostsFile]
		_, dial := w.manager().Dial(ctx, name)
		for what, err := range map[string]error{
			"provision": w.manager().Provision(ctx, ProvisionRequest{Names: []string{name}}), "restart": w.manager().Restart(ctx, []string{name}), "ssh": dial,
		} {
			var changed *ssh.HostKeyError
			if !errors.Is(err, ssh.ErrHostKey) || ReasonOf(err).ID != "SSH_HOST_KEY_CHANGED" || !errors.As(err, &changed) || HintOf(err) == "" {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
		if rec := w.record(name); rec.Problem == nil || rec.Problem.Reason != "SSH_HOST_KEY_CHANGED" || rec.Phase != store.Ready {
			t.Errorf("record %+v", rec.Problem)
		}
		if got := w.files()["machines/"+name+"/"+knownHostsFile]; got != before {
			t.Errorf("the known key was changed to %s", got)
		}
		if did := w.hosts[name].done(); len(did) > 0 {
			t.Errorf("scripts were sent: %q", did)
		}
	}
}

// TestSeededKeyIsDemanded has a host that presents another key than the one it was given at birth.
func TestSeededKeyIsDemanded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	_, err := w.manager().Create(t.Context(), CreateRequest{
		Names: []string{"m1"}, Driver: fake.Name, UserData: []byte("other host key"),
		Options: drivers.Values{"fake-seed-host-key": {"true"}},
	})
	if !errors.Is(err, ssh.ErrHostKey) {
		t.Errorf("got %v", err)
	}
}

func TestProvisionTwiceDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	h, m, names := w.hosts["m1"], w.manager(), []string{"m1"}
	h.done()
	before := w.files()
	planned, err := m.PlanProvision(t.Context(), names)
	if err != nil || len(planned) != 1 || len(planned[0].Steps) != 0 {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if err := m.Provision(t.Context(), ProvisionRequest{Names: names}); err != nil {
		t.Fatal(err)
	}
	if did := h.done(); len(did) > 0 || h.starts != 1 || !w.noted("nothing to do") {
		t.Errorf("did %q, started %d times, notes %q", did, h.starts, w.notes.text)
	}
	for path, data := range w.files() {
		if before[path] != data {
			t.Errorf("%s was changed", path)
		}
	}
	// Someone breaks the configuration.
	h.set(func(h *host) { delete(h.files, "/etc/docker/server.pem") })
	planned, err = m.PlanProvision(t.Context(), names)
	if err != nil || len(planned[0].Steps) != 2 || strings.Contains(strings.Join(planned[0].Scripts, "\n"), "PRIVATE KEY") {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if did := h.done(); len(did) > 0 {
		t.Errorf("a plan did %q", did)
	}
	if err := m.Provision(t.Context(), ProvisionRequest{Names: names}); err != nil {
		t.Fatal(err)
	}
	if did := h.done(); !slices.Equal(did, []string{"write_tls /etc/docker", "start_engine systemd 2376 120"}) {
		t.Errorf("did %q", did)
	}
}

// TestPlanProvisionWritesNothing plans for a machine whose certificate is due.
func TestPlanProvisionWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	before := w.files()
	m := w.manager()
	m.Now = func() time.Time { return time.Now().Add(certs.LeafLifetime - 20*24*time.Hour) }
	planned, err := m.PlanProvision(t.Context(), []string{"m1"})
	if err != nil || len(planned) != 1 || len(planned[0].Steps) == 0 {
		t.Errorf("plan %+v, %v", planned, err)
	}
	for path, data := range w.files() {
		if before[path] != data && strings.HasPrefix(path, "machines/") && filepath.Base(path) != certFile && filepath.Base(path) != keyFile {
			t.Errorf("%s was changed", path)
		}
	}
}

func TestDueServerCertificateIsRenewedByProvision(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	old := w.files()["machines/m1/"+serverFile]
	m := w.manager()
	soon := certs.LeafLifetime - 29*24*time.Hour
	m.Now = func() time.Time { return time.Now().Add(soon) }
	rows, err := m.List(t.Context(), ListRequest{})
	if err != nil || !strings.Contains(rows[0].Error, "certificate expires in 28 days") || rows[0].CertExpires.IsZero() {
		t.Errorf("rows %+v, %v", rows, err)
	}
	if !slices.ContainsFunc(m.Warnings(), func(s string) bool { return strings.HasPrefix(s, "m1: certificate expires") }) {
		t.Errorf("warnings %q", m.Warnings())
	}
	// The engine's clock is the test's, which is why it is not asked with the new pair here.
	err = m.Provision(t.Context(), ProvisionRequest{Names: []string{"m1"}})
	if !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), "not yet valid") {
		t.Fatalf("got %v", err)
	}
	if got := w.files()["machines/m1/"+serverFile]; got == old || w.hosts["m1"].files["/etc/docker/server.pem"] != got {
		t.Error("the certificate was not renewed, or did not come to the host")
	}
}

func TestFailedStepIsToldAndHealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	h := w.hosts["m1"]
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Engine: EngineOptions{ArbitraryFlags: []string{"storage-opt=nonsense"}}}
	h.set(func(h *host) { h.fail["start_engine"] = 79 })
	got, err := w.manager().Create(t.Context(), req)
	var step *provision.StepError
	if !errors.Is(err, provision.ErrEngineStart) || !errors.As(err, &step) || got[0].ReasonID != "ENGINE_NOT_STARTED" {
		t.Errorf("got %+v, %v", got, err)
	}
	if rec := w.record("m1"); rec.Phase != store.Created || rec.Problem == nil || rec.Problem.Reason != "ENGINE_NOT_STARTED" {
		t.Errorf("record %+v", rec)
	}
	rows, err := w.manager().List(t.Context(), ListRequest{})
	if err != nil || rows[0].State != drivers.Running || !strings.HasPrefix(rows[0].Error, "unfinished (created): ") {
		t.Errorf("rows %+v, %v", rows, err)
	}
	h.set(func(h *host) { delete(h.fail, "start_engine") })
	w.create(req)
	if rec := w.record("m1"); rec.Phase != store.Ready || rec.Problem != nil {
		t.Errorf("record %+v", rec)
	}
}

// TestSilentEngine has an engine that dies after its start: the error brings evidence.
func TestSilentEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	w.hosts["m1"].set(func(h *host) { h.enabled = false }) // it does not come with the host
	m := w.manager()
	m.Wait.Engine = 3 * time.Second
	err := m.Restart(t.Context(), []string{"m1"})
	var silent *EngineError
	if !errors.As(err, &silent) || !errors.Is(err, ErrTLS) || !strings.Contains(strings.Join(DetailsOf(err), "\n"), "fake evidence of m1") {
		t.Errorf("got %v, details %q", err, DetailsOf(err))
	}
	if rec := w.record("m1"); rec.Problem == nil || rec.Problem.Reason != "ENGINE_UNREACHABLE" {
		t.Errorf("record %+v", rec.Problem)
	}
	w.hosts["m1"].set(func(h *host) { h.enabled = true })
	if err := w.manager().Restart(t.Context(), []string{"m1"}); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("m1"); rec.Problem != nil {
		t.Errorf("the problem is over and still recorded: %+v", rec.Problem)
	}
}

func TestHostThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	w.hosts["m1"].set(func(h *host) { h.up = false })
	m := w.manager()
	m.Wait.SSH = 3 * time.Second
	start := time.Now()
	err := m.Provision(t.Context(), ProvisionRequest{Names: []string{"m1"}})
	if !errors.Is(err, ssh.ErrNotReady) || time.Since(start) > time.Minute {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
	if !w.noted("waiting for SSH") {
		t.Errorf("the wait was not told: %q", w.notes.text)
	}
	if _, err := m.Dial(t.Context(), "m1"); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("dial: %v", err)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	m := w.manager()
	login, err := m.Login(t.Context(), "m1")
	dir := m.Store.MachineDir("m1")
	if err != nil || login.Target.User != "root" || login.Target.Key != filepath.Join(dir, newKeyFile) || login.Target.KnownHosts != filepath.Join(dir, knownHostsFile) || login.Target.Pin {
		t.Errorf("login %+v, %v", login, err)
	}
	conn, err := m.Dial(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	// A provider that does not tell does not keep one out.
	w.setenv(fake.EnvFail, "status:unreachable")
	if conn, err = m.Dial(t.Context(), "m1"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	w.setenv(fake.EnvFail, "status:not-found")
	if _, err := m.Login(t.Context(), "m1"); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("login on a host that is gone: %v", err)
	}
}

// TestPowerOfOwnHost: what a host that is the user's own cannot do is said in its driver's words alone.
func TestPowerOfOwnHost(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, none.New())
	if _, err := m.Create(t.Context(), CreateRequest{Driver: "none", Names: []string{"n1"}, Options: drivers.Values{"url": {"tcp://192.0.2.1:2376"}}}); err != nil {
		t.Fatal(err)
	}
	for want, do := range map[string]func(context.Context, []string) error{
		"hosts without a driver cannot be stopped": m.Stop,
		"hosts without a driver cannot be killed":  m.Kill,
	} {
		if err := do(t.Context(), []string{"n1"}); err == nil || err.Error() != want {
			t.Errorf("Got %v, want %s", err, want)
		}
	}
}
