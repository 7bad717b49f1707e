package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// setUp makes a host on which a person has installed an engine, and returns what adopts it.
func (w *world) setUp(name string) AdoptRequest {
	w.t.Helper()
	own := w.ownHost(name)
	h := w.hosts[name]
	h.set(func(h *host) {
		h.plain = true
		h.engine.SetDown(false)
		h.files["/etc/docker/daemon.json"] = "{\"debug\": true}\n"
	})
	return AdoptRequest{
		Name: name, URL: fmt.Sprintf("ssh://root@127.0.0.1:%d", h.sshPort), KeyFile: own.Options["generic-ssh-key"][0],
		Confirm: func(context.Context, string, string) (bool, error) { return true, nil },
	}
}

func TestAdoptOverSSH(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "h1")
	req, h, m := w.setUp("h1"), w.hosts["h1"], w.manager()
	req.DryRun = true
	res, err := m.Adopt(t.Context(), req)
	if err != nil || len(w.files()) > 0 || len(res.Steps) != 2 || !strings.HasPrefix(res.HostKey, "SHA256:") || res.URL != req.URL {
		t.Fatalf("got %+v, %v", res, err)
	}
	if res.Found.Engine != "28.5.2" || !res.Found.Socket || !slices.Equal(res.Found.DaemonJSON, []string{"debug"}) {
		t.Errorf("found %+v", res.Found)
	}
	req.DryRun = false
	if _, err := m.Adopt(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	rec := w.record("h1")
	if !rec.OverSSH || rec.Phase != store.Ready || rec.SSH.Key != ownKeyFile || rec.SSH.HostKey == "" || rec.Installed.Engine != "28.5.2" {
		t.Errorf("record %+v", rec)
	}
	if did := h.done(); len(did) > 0 {
		t.Errorf("did %q on the host", did)
	}
	if files := w.files(); files["certs/ca.pem"] != "" || files["machines/h1/known_hosts"] == "" {
		t.Error("an authority was made, or the host key is not known")
	}
	// It is used as others are.
	ep, err := m.Endpoint(t.Context(), "h1", false)
	if err != nil || ep.URL != req.URL || ep.TLS || ep.CertPath != "" {
		t.Errorf("endpoint %+v, %v", ep, err)
	}
	rows, err := m.List(t.Context(), ListRequest{DockerHost: req.URL})
	if err != nil || len(rows) != 1 || rows[0].DockerVersion != "v28.5.2" || rows[0].URL != req.URL || !rows[0].ActiveHost || rows[0].Error != "" {
		t.Errorf("rows %+v, %v", rows, err)
	}
	if v, err := m.EngineVersion(t.Context(), "h1"); err != nil || v != "28.5.2" {
		t.Errorf("version %q, %v", v, err)
	}
	if _, err := m.Inspect(t.Context(), "h1"); err != nil {
		t.Error(err)
	}
	// What needs more of the host says so.
	names := []string{"h1"}
	_, perr := m.PlanProvision(t.Context(), names)
	for what, err := range map[string]error{
		"provision": m.Provision(t.Context(), ProvisionRequest{Names: names}), "plan": perr,
		"regenerate-certs": m.RegenerateCerts(t.Context(), CertsRequest{Names: names}),
		"upgrade":          m.Upgrade(t.Context(), UpgradeRequest{Names: names}),
	} {
		if !errors.Is(err, ErrOverSSH) || ReasonOf(err).ID != "ENGINE_OVER_SSH" {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := m.RegenerateCerts(t.Context(), CertsRequest{RotateCA: true}); err != nil {
		t.Errorf("rotate: %v", err)
	}
	// It travels, too.
	o := w.other()
	if _, err := o.imports(w.export(ExportRequest{Names: names}), ImportRequest{}); err != nil {
		t.Fatal(err)
	}
	if v, err := o.manager().EngineVersion(t.Context(), "h1"); err != nil || v != "28.5.2" {
		t.Errorf("version in the other store %q, %v", v, err)
	}
	if _, err := m.Adopt(t.Context(), req); !errors.Is(err, store.ErrExist) {
		t.Errorf("again: got %v", err)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: names}); err != nil {
		t.Error(err)
	}
	if did := h.done(); len(did) > 0 {
		t.Errorf("all in all, did %q on the host", did)
	}
}

func TestAdoptWithTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "h1")
	req, h, m := w.setUp("h1"), w.hosts["h1"], w.manager()
	req.TLS, req.Port = true, h.port
	req.DryRun = true
	res, err := m.Adopt(t.Context(), req)
	if err != nil || len(w.files()) > 0 || len(h.done()) > 0 || !slices.ContainsFunc(res.Steps, func(s string) bool { return strings.Contains(s, "merge TLS") }) {
		t.Fatalf("got %+v, %v", res, err)
	}
	req.DryRun = false
	if _, err := m.Adopt(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	did := strings.Join(h.done(), "\n")
	on, start, off := strings.Index(did, "live_restore on"), strings.Index(did, "start_engine"), strings.Index(did, "live_restore off")
	if on < 0 || start < on || off < start || res.Found.Containers != 3 {
		t.Errorf("found %+v, did\n%s", res.Found, did)
	}
	if err := w.answers("h1"); err != nil {
		t.Error(err)
	}
	rec := w.record("h1")
	if rec.OverSSH || rec.Phase != store.Ready || rec.HostOptions.EngineOptions.Source != "keep" || rec.SSH.HostKey != pinned {
		t.Errorf("record %+v", rec)
	}
	if got := h.files["/etc/docker/daemon.json"]; !strings.Contains(got, `"debug": true`) || strings.Contains(got, "live-restore") {
		t.Errorf("daemon.json %s", got)
	}
	if err := m.Provision(t.Context(), ProvisionRequest{Names: []string{"h1"}}); err != nil || !w.noted("nothing to do") {
		t.Errorf("provision after it: %v, notes %q", err, w.notes.text)
	}
	req.Name = "h1"
	if _, err := m.Adopt(t.Context(), req); !errors.Is(err, store.ErrExist) {
		t.Errorf("again: got %v", err)
	}
}

func TestAdoptHostKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "h1")
	req, m := w.setUp("h1"), w.manager()
	ask := req.Confirm
	home := t.TempDir()
	w.setenv("HOME", home)
	req.DryRun, req.Confirm = true, func(context.Context, string, string) (bool, error) { return false, io.EOF }
	_, err := m.Adopt(t.Context(), req)
	if !errors.Is(err, ssh.ErrUnknownKey) || !strings.Contains(HintOf(err), "--host-key SHA256:") {
		t.Fatalf("nobody answers: got %v, hint %q", err, HintOf(err))
	}
	req.Confirm = nil
	_, err = m.Adopt(t.Context(), req)
	if !errors.Is(err, ssh.ErrUnknownKey) || !strings.Contains(HintOf(err), "--host-key SHA256:") {
		t.Fatalf("nobody to ask: got %v, hint %q", err, HintOf(err))
	}
	_, req.HostKey, _ = strings.Cut(HintOf(err), "--host-key ")
	if res, err := m.Adopt(t.Context(), req); err != nil || res.HostKey != req.HostKey {
		t.Errorf("given: %+v, %v", res, err)
	}
	right := req.HostKey
	req.HostKey = "SHA256:another"
	if _, err := m.Adopt(t.Context(), req); !errors.Is(err, ssh.ErrHostKey) {
		t.Errorf("another: got %v", err)
	}
	req.HostKey = ""
	req.Confirm = func(_ context.Context, _, fingerprint string) (bool, error) { return fingerprint != right, nil }
	if _, err := m.Adopt(t.Context(), req); !errors.Is(err, ssh.ErrUnknownKey) {
		t.Errorf("declined: got %v", err)
	}
	// The user's own known_hosts speaks for it.
	req.Confirm, req.DryRun = ask, false
	if _, err := m.Adopt(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	line := w.files()["machines/h1/known_hosts"]
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"h1"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(home, ".ssh", "known_hosts")
	if err := os.WriteFile(known, []byte("nonsense\n"+line), 0o600); err != nil {
		t.Fatal(err)
	}
	req.Confirm = nil
	if res, err := m.Adopt(t.Context(), req); err != nil || res.HostKey != right || w.files()["machines/h1/known_hosts"] != line {
		t.Errorf("known: %+v, %v", res, err)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"h1"}}); err != nil {
		t.Fatal(err)
	}
	pair, err := ssh.NewKeyPair("other")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Fields(line)[0] + " " + pair.Authorized + "\n"
	if err := os.WriteFile(known, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	req.Confirm = ask
	if _, err := m.Adopt(t.Context(), req); !errors.Is(err, ssh.ErrHostKey) {
		t.Errorf("known as another: got %v", err)
	}
}

func TestAdoptRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "h1")
	good := w.setUp("h1")
	for name, c := range map[string]struct {
		change func(r *AdoptRequest)
		want   error
	}{
		"not ssh":            {func(r *AdoptRequest) { r.URL = "tcp://127.0.0.1:2376" }, ErrUsage},
		"a path":             {func(r *AdoptRequest) { r.URL += "/var/run/docker.sock" }, ErrUsage},
		"a password":         {func(r *AdoptRequest) { r.URL = "ssh://root:secret@127.0.0.1" }, ErrUsage},
		"an option":          {func(r *AdoptRequest) { r.URL = "ssh://-oProxyCommand=x@127.0.0.1" }, drivers.ErrOption},
		"install, no TLS":    {func(r *AdoptRequest) { r.Engine = EngineInstall }, ErrUsage},
		"version of what is": {func(r *AdoptRequest) { r.Version = "28" }, ErrUsage},
		"source of what is":  {func(r *AdoptRequest) { r.Source = "distro" }, ErrUsage},
		"mirror, no install": {func(r *AdoptRequest) { r.TLS, r.Engine, r.RepoURL = true, EngineUpgrade, "https://mirror" }, ErrUsage},
		"no such thing":      {func(r *AdoptRequest) { r.Engine = "mend" }, ErrUsage},
		"name":               {func(r *AdoptRequest) { r.Name = "../x" }, store.ErrName},
		"key file":           {func(r *AdoptRequest) { r.KeyFile = "/nonexistent" }, ErrCheck},
	} {
		req := good
		c.change(&req)
		_, err := w.manager().Adopt(t.Context(), req)
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	w.hosts["h1"].set(func(h *host) { h.noSocket = true })
	res, err := w.manager().Adopt(t.Context(), good)
	if !errors.Is(err, ErrRefused) || res.Refused == "" || res.Hint == "" || ReasonOf(err).Exit != ExitCheck {
		t.Errorf("no right to the socket: got %+v, %v", res, err)
	}
	if len(w.files()) > 0 {
		t.Errorf("left %v", w.files())
	}
}

// TestKilledAdopt kills an adoption at each event: the same command ends it, and the host has what it was to have.
func TestKilledAdopt(t *testing.T) {
	t.Parallel()
	for name, tls := range map[string]bool{"TLS": true, "SSH": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := make(chan map[*world]AdoptRequest, 1)
			requests <- map[*world]AdoptRequest{}
			request := func(w *world, put *AdoptRequest) AdoptRequest {
				all := <-requests
				defer func() { requests <- all }()
				if put != nil {
					all[w] = *put
				}
				return all[w]
			}
			kinds := "ssh import"
			if tls {
				kinds = "ssh put write before after"
			}
			k := killing{
				names: []string{"h1"},
				before: func(w *world) {
					req := w.setUp("h1")
					if req.TLS = tls; tls {
						req.Port = w.hosts["h1"].port
					}
					request(w, &req)
				},
				act:   func(ctx context.Context, w *world) { _, _ = w.manager().Adopt(ctx, request(w, nil)) },
				kinds: kinds,
			}
			k.each(t, func(t *testing.T, w *world) {
				_, err := w.manager().Adopt(t.Context(), request(w, nil))
				if err != nil && !errors.Is(err, store.ErrExist) {
					t.Fatalf("again: %v", err)
				}
				if rec := w.record("h1"); rec.Phase != store.Ready || rec.OverSSH == tls {
					t.Errorf("record %+v", rec)
				}
				if _, err := w.manager().EngineVersion(t.Context(), "h1"); err != nil {
					t.Error(err)
				}
				if !tls {
					return
				}
				// One that was cut off at its very end is ended by the next provisioning.
				if err := w.manager().Provision(t.Context(), ProvisionRequest{Names: []string{"h1"}}); err != nil {
					t.Error(err)
				}
				if h := w.hosts["h1"]; h.files["bridge"] != "" || strings.Contains(h.files["/etc/docker/daemon.json"], "live-restore") {
					t.Errorf("live-restore is on still: %v", h.files)
				}
			})
		})
	}
}

// TestAdoptionPlans has a golden file for each kind of host.
func TestAdoptionPlans(t *testing.T) {
	t.Parallel()
	running := AdoptedHost{OS: "Debian GNU/Linux 12", Arch: "amd64", User: "root", Root: true, Engine: "20.10.24", Package: "docker.io", State: "active", Socket: true, Asked: true, Containers: 3, DockerCLI: true}
	facts := provision.Facts{EngineState: "active", ExecStart: "/usr/sbin/dockerd -H fd://"}
	steps := []provision.Step{{Name: "write TLS files to /etc/docker"}, {Name: "restart the engine"}}
	with := func(change func(in *adoptionInput)) adoptionInput {
		in := adoptionInput{req: AdoptRequest{Name: "h1", TLS: true, Engine: EngineKeep}, facts: facts, found: running, steps: steps}
		change(&in)
		return in
	}
	off := func(in *adoptionInput) { in.req.TLS, in.steps = false, nil }
	cases := map[string]adoptionInput{
		"tls":      with(func(*adoptionInput) {}),
		"idle":     with(func(in *adoptionInput) { in.found.Containers = 0 }),
		"live":     with(func(in *adoptionInput) { in.found.LiveOn = true }),
		"no-live":  with(func(in *adoptionInput) { in.facts.DaemonJSON = []byte(`{"live-restore": false}`) }),
		"as-it-is": with(func(in *adoptionInput) { in.steps, in.found.TLS, in.found.Ours = nil, "port 2376", true }),
		"foreign": with(func(in *adoptionInput) {
			in.found.TLS, in.found.Authority, in.found.Manager = "port 2376", "ada", "/etc/systemd/system/docker.service.d/10-machine.conf"
		}),
		"upgrade": with(func(in *adoptionInput) { in.req.Engine = EngineUpgrade }),
		"bare": with(func(in *adoptionInput) {
			in.found = AdoptedHost{OS: "Debian", User: "root", Root: true}
			in.facts.EngineState = ""
		}),
		"install": with(func(in *adoptionInput) {
			in.found = AdoptedHost{OS: "Debian", User: "root", Root: true}
			in.facts.EngineState, in.req.Engine = "", EngineInstall
		}),
		"no-root":     with(func(in *adoptionInput) { in.found.User, in.found.Root = "bob", false }),
		"refused":     with(func(in *adoptionInput) { in.planErr = provision.ErrConfig }),
		"swarm":       with(func(in *adoptionInput) { in.found.Swarm, in.found.SwarmID, in.found.NodeID = "manager", "c1", "n1" }),
		"member":      with(func(in *adoptionInput) { in.found.Swarm, in.found.SwarmName, in.found.NodeID = "worker", "prod", "n1" }),
		"rootless":    with(func(in *adoptionInput) { in.found.Rootless = true }),
		"ssh":         with(off),
		"ssh-swarm":   with(func(in *adoptionInput) { off(in); in.found.Swarm = "worker" }),
		"ssh-context": with(func(in *adoptionInput) { off(in); in.req.DockerContext, in.found.DockerCLI = true, false }),
		"ssh-group":   with(func(in *adoptionInput) { off(in); in.found.User, in.found.Socket = "bob", false }),
		"ssh-stopped": with(func(in *adoptionInput) {
			off(in)
			in.facts.EngineState, in.found.State, in.found.Asked = "inactive", "inactive", false
		}),
	}
	for name, in := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planAdoption(in)
			out := map[string]any{"found": in.found.Lines(), "steps": p.steps, "warnings": p.warnings}
			if p.refused != nil {
				out["refused"], out["hint"], out["reason"] = p.refused.Error(), HintOf(p.refused), ReasonOf(p.refused).ID
				if !errors.Is(p.refused, ErrRefused) {
					t.Errorf("refused with %v", p.refused)
				}
			}
			got, err := json.MarshalIndent(out, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "adopt", name+".golden")
			if *update {
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, append(got, '\n'), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || string(want) != string(got)+"\n" {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
			}
		})
	}
}
