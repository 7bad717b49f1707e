package lifecycle

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/all"
	"github.com/hostsmith/machine/store"
)

// oldStore puts the golden records of docker-machine's versions into the world's store, which has its authority,
// and returns the machines' names. Their addresses answer nobody.
func (w *world) oldStore() []string {
	w.t.Helper()
	paths, err := filepath.Glob("../../../store/testdata/old/*/*.json")
	if err != nil || len(paths) < 60 {
		w.t.Fatalf("%d old records, %v", len(paths), err)
	}
	var names []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(path)) + "-" + strings.TrimSuffix(filepath.Base(path), ".json")
		w.put("machines/"+name+"/config.json", strings.NewReplacer("192.0.2.", "127.0.0.", "2001:db8::11", "::1").Replace(string(data)))
		w.put("machines/"+name+"/id_rsa", "a key")
		names = append(names, name)
	}
	w.oldAuthority()
	files := w.files()
	for _, name := range names {
		for _, file := range []string{"ca.pem", "cert.pem", "key.pem"} {
			w.put("machines/"+name+"/"+file, files["certs/"+file])
		}
	}
	return names
}

func (w *world) put(path, text string) {
	w.t.Helper()
	path = filepath.Join(w.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// oldAuthority is docker-machine's: RSA 2048, and nothing but an organisation as its subject.
func (w *world) oldAuthority() {
	w.t.Helper()
	serial := int64(0)
	issue := func(org string, ca bool, parent *x509.Certificate, parentKey *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey, string, string) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			w.t.Fatal(err)
		}
		serial++
		tpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{org}}, NotBefore: time.Now().Add(-5 * time.Minute),
			NotAfter: time.Now().Add(1080 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
		if ca {
			tpl.IsCA, tpl.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment|x509.KeyUsageKeyAgreement|x509.KeyUsageCertSign
			parent, parentKey = tpl, key
		} else {
			tpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		der, err := x509.CreateCertificate(rand.Reader, tpl, parent, key.Public(), parentKey)
		if err != nil {
			w.t.Fatal(err)
		}
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		return tpl, key, string(cert), string(private)
	}
	ca, caKey, caPEM, caKeyPEM := issue("ada", true, nil, nil)
	_, _, cert, key := issue("ada.<bootstrap>", false, ca, caKey)
	w.put("certs/ca.pem", caPEM)
	w.put("certs/ca-key.pem", caKeyPEM)
	w.put("certs/cert.pem", cert)
	w.put("certs/key.pem", key)
}

// TestOldStoreIsOnlyRead asks all that changes nothing about machines of each version and driver.
func TestOldStoreIsOnlyRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := w.oldStore()
	for _, stray := range []string{"machines/.DS_Store", "machines/notes.txt", "machines/.Trash/config.json"} {
		w.put(stray, "x")
	}
	if err := os.Mkdir(filepath.Join(w.dir, "machines", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := w.files()
	m, ctx := w.manager(), t.Context()
	rows, err := m.List(ctx, ListRequest{DockerHost: "tcp://127.0.0.11:2376"})
	if err != nil || len(rows) != len(names)+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		_, driver, _ := strings.Cut(r.Name, "-")
		if r.Name != "empty" && !strings.HasPrefix(r.Name, "rancher-") && r.DriverName != driver {
			t.Errorf("row %+v", r)
		}
	}
	for _, name := range names {
		_, err := m.Status(ctx, name)
		if r := ReasonOf(err); err != nil && r.ID != "DRIVER_MISSING" {
			t.Errorf("status %s: %v", name, err)
		}
		ip, err := m.IP(ctx, name)
		if name != "rancher-noop" && (err != nil || !strings.HasPrefix(ip, "127.0.0.") && ip != "::1") {
			t.Errorf("ip %s: %q, %v", name, ip, err)
		}
		shown, err := m.Inspect(ctx, name)
		if err != nil || !json.Valid(shown) || strings.Contains(string(shown), "SECRET-") {
			t.Errorf("inspect %s: %v, %s", name, err, shown)
		}
		login, err := m.Login(ctx, name)
		if err != nil && !errors.Is(err, drivers.ErrUnsupported) && !errors.Is(err, ErrNotRunning) || err == nil && login.Target.Host != ip {
			t.Errorf("login %s: %+v, %v", name, login, err)
		}
		_, _ = m.URL(ctx, name)
		_, _ = m.Endpoint(ctx, name, false)
		_, _ = m.EngineVersion(ctx, name)
	}
	_, _ = m.Active(ctx, "tcp://127.0.0.11:2376", time.Minute)
	_ = m.Warnings()
	if after := w.files(); !maps.Equal(before, after) {
		for path := range after {
			if before[path] != after[path] {
				t.Errorf("%s was written", path)
			}
		}
		t.Errorf("%d files, were %d", len(after), len(before))
	}
}

// TestOldRecordsOpen opens what each version recorded with the drivers that there are, keeps secrets apart, and
// gives them no state of another's.
func TestOldRecordsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table, heirs := all.Table(), 0
	for _, name := range w.oldStore() {
		rec := w.record(name)
		f, err := table.Lookup(rec.DriverName)
		if err != nil {
			continue
		}
		if _, err := f.Open(rec.Driver, nil, nil, nil, drivers.Env{Machine: name, Dir: t.TempDir()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		heir, ok := f.(drivers.Heir)
		if !ok {
			continue
		}
		h, ok, err := heir.Inherit(rec.Driver)
		if err != nil || !ok {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		had := strings.Contains(string(rec.Driver), "SECRET-")
		if strings.Contains(string(h.Config)+string(h.State), "SECRET-") || had != strings.Contains(string(h.Secrets), "SECRET-"+rec.DriverName) {
			t.Errorf("%s: config %s, state %s", name, h.Config, h.State)
		}
		heirs++
	}
	if heirs < 15 {
		t.Errorf("only %d records were taken apart", heirs)
	}
}

// oldHost is a machine that docker-machine made with a driver that is not here. Its host runs.
func (w *world) oldHost(name, driver string) {
	w.t.Helper()
	w.oldAuthority()
	w.create(w.ownHost(name))
	h := w.hosts[name]
	record := map[string]any{
		"ConfigVersion": 3, "DriverName": driver, "Name": name,
		"Driver": map[string]any{"MachineName": name, "IPAddress": "127.0.0.1", "SSHUser": "root", "SSHPort": h.sshPort, "EnginePort": h.port,
			"SSHKeyPath": `C:\Users\jo\.docker\machine\machines\` + name + `\id_rsa`, "Project": "my-project", "Zone": "us-central1-a", "Token": hush},
		"HostOptions": map[string]any{"EngineOptions": map[string]any{"Labels": []string{"tier=old"}, "InstallURL": "https://get.docker.com"}, "SwarmOptions": nil, "AuthOptions": nil},
	}
	data, err := json.MarshalIndent(record, "", "    ")
	if err != nil {
		w.t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "machines", name)
	w.put("machines/"+name+"/config.json", string(data))
	if err := errors.Join(os.Rename(filepath.Join(dir, ownKeyFile), filepath.Join(dir, "id_rsa")), os.Remove(filepath.Join(dir, knownHostsFile))); err != nil {
		w.t.Fatal(err)
	}
}

// TestDriverless does all that needs no provider with a machine whose driver is not here, and says of the rest what it
// needs.
func TestDriverless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "old")
	w.oldHost("old", "google")
	h, m, ctx, names := w.hosts["old"], w.manager(), t.Context(), []string{"old"}
	before := w.files()
	rows, err := m.List(ctx, ListRequest{})
	if err != nil || len(rows) != 1 || rows[0].State != drivers.Running || rows[0].DockerVersion != "v28.5.2" || rows[0].Error != "" || rows[0].DriverName != "google" {
		t.Errorf("got %+v, %v", rows, err)
	}
	conn, err := m.Dial(ctx, "old")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	after := w.files()
	if n := strings.Count(after["machines/old/known_hosts"], "\n"); n != 1 || !w.noted("pinned the host key on first contact") {
		t.Errorf("%d known host keys, notes %q", n, w.notes.text)
	}
	delete(after, "machines/old/known_hosts")
	if !maps.Equal(before, after) {
		t.Error("a login wrote more than the host key")
	}
	before = w.files()
	if ep, err := m.Endpoint(ctx, "old", false); err != nil || ep.URL != "tcp://127.0.0.1:"+strconv.Itoa(h.port) {
		t.Errorf("got %+v, %v", ep, err)
	}
	for what, err := range map[string]error{"stop": m.Stop(ctx, names), "kill": m.Kill(ctx, names), "restart": m.Restart(ctx, names),
		"rm": func() error { _, err := m.Remove(ctx, RemoveRequest{Names: names}); return err }()} {
		if r := ReasonOf(err); r.ID != "DRIVER_MISSING" || !strings.Contains(HintOf(err), "docker-machine-driver-google") {
			t.Errorf("%s: %v, hint %q", what, err, HintOf(err))
		}
	}
	if after := w.files(); !maps.Equal(before, after) {
		t.Error("what was only asked or refused was written")
	}
	if err := m.Provision(ctx, ProvisionRequest{Names: names}); err != nil {
		t.Fatal(err)
	}
	rec, files := w.record("old"), w.files()
	if rec.SSH.Key != "id_rsa" || rec.SSH.HostKey != "pinned" || rec.DriverName != "google" || !slices.Contains(rec.HostOptions.EngineOptions.Labels, "tier=old") {
		t.Errorf("record %+v", rec)
	}
	if files["machines/old/config.json.bak"] != before["machines/old/config.json"] {
		t.Error("no backup, or not the old record")
	}
	if !strings.Contains(files["machines/old/config.json"], "us-central1-a") {
		t.Error("the driver's configuration is lost")
	}
	if err := m.RegenerateCerts(ctx, CertsRequest{Names: names, ClientCerts: true}); err != nil {
		t.Fatal(err)
	}
	if now := w.files(); now["certs/ca.pem"] != before["certs/ca.pem"] || now["machines/old/server.pem"] == files["machines/old/server.pem"] || now["machines/old/cert.pem"] == before["machines/old/cert.pem"] {
		t.Error("certificates: the authority changed, or the others did not")
	}
	if err := w.answers("old"); err != nil {
		t.Error(err)
	}
	h.set(func(h *host) { h.newest = "29.0.0" })
	if err := m.Upgrade(ctx, UpgradeRequest{Names: names}); err != nil {
		t.Error(err)
	}
	if removed, err := m.Remove(ctx, RemoveRequest{Names: names, Force: true}); err != nil || len(removed) != 1 {
		t.Errorf("removed %q, %v", removed, err)
	}
	if !w.noted("Project my-project, Zone us-central1-a, address 127.0.0.1") || w.noted(hush) {
		t.Errorf("notes %q", w.notes.text)
	}
}

// TestDriverlessSilent is of a machine whose driver is not here and that does not answer.
func TestDriverlessSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.oldStore()
	m, before := w.manager(), w.files()
	_, err := m.Status(t.Context(), "v3-digitalocean")
	for what, err := range map[string]error{"status": err, "start": m.Start(t.Context(), []string{"v3-digitalocean"})} {
		if r := ReasonOf(err); r.ID != "DRIVER_MISSING" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !maps.Equal(before, w.files()) {
		t.Error("what was refused was written")
	}
}

// TestKeyElsewhere logs in with a key that docker-machine did not have in the machine's folder, which gets it with
// the first change.
func TestKeyElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "old")
	w.oldHost("old", "google")
	key := filepath.Join(t.TempDir(), "jo")
	files := w.files()
	if err := os.WriteFile(key, []byte(files["machines/old/id_rsa"]), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	w.put("machines/old/config.json", strings.Replace(files["machines/old/config.json"], `"C:\\Users\\jo\\.docker\\machine\\machines\\old\\id_rsa"`, string(quoted), 1))
	if login, err := w.manager().Login(t.Context(), "old"); err != nil || login.Target.Key != key {
		t.Errorf("got %+v, %v", login, err)
	}
	if err := w.manager().Provision(t.Context(), ProvisionRequest{Names: []string{"old"}}); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("old"); rec.SSH.Key != ownKeyFile || w.files()["machines/old/ssh_key"] != files["machines/old/id_rsa"] {
		t.Errorf("record %+v", rec)
	}
	// The path of a folder that was called otherwise.
	w.put("machines/old/config.json", strings.Replace(files["machines/old/config.json"], `machines\\old\\id_rsa`, `machines\\other\\id_rsa`, 1))
	if login, err := w.manager().Login(t.Context(), "old"); err != nil || filepath.Base(login.Target.Key) != "id_rsa" {
		t.Errorf("got %+v, %v", login, err)
	}
}

// TestCustomScript leaves machines of rancher-machine alone that never had an engine.
func TestCustomScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "old")
	w.oldHost("old", "google")
	config := w.files()["machines/old/config.json"]
	w.put("machines/old/config.json", strings.Replace(config, `"HostOptions": {`, `"HostOptions": {"CustomInstallScript": "/tmp/i", `, 1))
	m, names := w.manager(), []string{"old"}
	if rows, err := m.List(t.Context(), ListRequest{}); err != nil || rows[0].State != drivers.Running || rows[0].Error != "" {
		t.Errorf("got %+v, %v", rows, err)
	}
	for what, err := range map[string]error{"provision": m.Provision(t.Context(), ProvisionRequest{Names: names}), "upgrade": m.Upgrade(t.Context(), UpgradeRequest{Names: names}),
		"regenerate-certs": m.RegenerateCerts(t.Context(), CertsRequest{Names: names})} {
		if !errors.Is(err, drivers.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzOldRecord reads whatever there may be in config.json, and has each driver take it apart.
func FuzzOldRecord(f *testing.F) {
	paths, err := filepath.Glob("../../../store/testdata/old/*/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	table := all.Table()
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := store.DecodeRecord("m1", data, func(string) bool { return true })
		if err != nil {
			return
		}
		factory, err := table.Lookup(rec.DriverName)
		if err != nil {
			d := &driverless{rec: rec, cause: err}
			_ = d.whereabouts()
			return
		}
		if heir, ok := factory.(drivers.Heir); ok {
			h, ok, err := heir.Inherit(rec.Driver)
			if err == nil && ok {
				_, err = factory.Open(h.Config, h.Secrets, h.State, nil, drivers.Env{Machine: "m1"})
			}
			if err != nil && ok {
				t.Logf("%s: %v", rec.DriverName, err)
			}
		}
		_, _ = factory.Open(rec.Driver, nil, nil, nil, drivers.Env{Machine: "m1"})
	})
}
