package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/bundle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// other is a world of the same hosts with a store of its own, as a colleague has it.
func (w *world) other() *world {
	return &world{t: w.t, dir: filepath.Join(w.t.TempDir(), "other"), provider: w.provider, net: w.net, hosts: w.hosts, notes: &notes{}, log: &lockedBuffer{}, env: map[string]string{"USER": "bob"}}
}

func (w *world) export(req ExportRequest) []byte {
	w.t.Helper()
	var out bytes.Buffer
	req.File, req.Out = "-", &out
	req.Plain = req.Passphrase == ""
	if _, err := w.manager().Export(w.t.Context(), req); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes()
}

func (w *world) imports(data []byte, req ImportRequest) ([]Imported, error) {
	req.In = bytes.NewReader(data)
	if req.Keys == nil {
		req.Keys = func(agefile.Kind) (agefile.Identities, error) {
			return agefile.Identities{Passphrase: "correct horse"}, nil
		}
	}
	return w.manager().Import(w.t.Context(), req)
}

func states(all []Imported) (out []string) {
	for _, i := range all {
		out = append(out, i.Name+" "+i.State)
	}
	return out
}

func TestMachinesTravel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.create(CreateRequest{Names: []string{"m1", "m2"}, Options: drivers.Values{"fake-secret": {"token"}}})
	before := w.files()
	data := w.export(ExportRequest{Names: []string{"m1", "m2"}, Passphrase: "correct horse"})
	if after := w.files(); len(after) != len(before) {
		t.Errorf("the export changed the store: %d files, %d before", len(after), len(before))
	}
	if bytes.Contains(data, []byte("PRIVATE KEY")) {
		t.Error("a key is readable")
	}
	o := w.other()
	planned, err := o.imports(data, ImportRequest{DryRun: true})
	if want := []string{"m1 new", "m2 new"}; err != nil || !slices.Equal(states(planned), want) || len(o.files()) > 0 {
		t.Errorf("dry run: %v, %v, %v", planned, err, o.files())
	}
	got, err := o.imports(data, ImportRequest{})
	if want := []string{"m1 imported", "m2 imported"}; err != nil || !slices.Equal(states(got), want) || got[0].URL == "" {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, name := range []string{"m1", "m2"} {
		if err := errors.Join(w.answers(name), o.answers(name)); err != nil {
			t.Error(err)
		}
	}
	mine, theirs := w.files(), o.files()
	if mine["machines/m1/key.pem"] == theirs["machines/m1/key.pem"] || mine["machines/m1/ca.pem"] != theirs["machines/m1/ca.pem"] {
		t.Error("the client's key is the same, or the authority is not")
	}
	if theirs["machines/m1/secrets.json"] == "" || theirs["certs/ca.pem"] != "" {
		t.Error("secrets are missing, or an authority came unasked")
	}
	if conn, err := o.manager().Dial(t.Context(), "m1"); err != nil {
		t.Errorf("ssh: %v", err)
	} else {
		_ = conn.Close()
	}
	// Once more: what is there stays. Another one of the name is refused, and comes under another name.
	if got, err = o.imports(data, ImportRequest{}); err != nil || !slices.Equal(states(got), []string{"m1 there already", "m2 there already"}) {
		t.Errorf("again: %+v, %v", got, err)
	}
	if got, err = o.imports(data, ImportRequest{Rename: map[string]string{"m1": "x1"}}); err != nil || !slices.Equal(states(got), []string{"x1 imported", "m2 there already"}) {
		t.Errorf("renamed: %+v, %v", got, err)
	}
	if err := o.answers("x1"); err != nil {
		t.Error(err)
	}
	if _, err := o.imports(data, ImportRequest{As: "x"}); !errors.Is(err, ErrUsage) {
		t.Errorf("one name for two: got %v", err)
	}
	if _, err := o.imports(data, ImportRequest{Rename: map[string]string{"m1": "M2"}}); !errors.Is(err, store.ErrExist) {
		t.Errorf("a name that differs by case: got %v", err)
	}
	wrong := func(agefile.Kind) (agefile.Identities, error) { return agefile.Identities{Passphrase: "x"}, nil }
	if _, err := o.imports(data, ImportRequest{Keys: wrong}); !errors.Is(err, agefile.ErrKeys) || ReasonOf(err).ID != "BACKUP_KEYS" {
		t.Errorf("wrong passphrase: got %v", err)
	}
}

// TestForeignMachine is about a machine whose engine trusts the authority of the store that it comes from.
func TestForeignMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.create(CreateRequest{Names: []string{"m1"}})
	o := w.other()
	o.create(CreateRequest{Names: []string{"m2"}})
	if _, err := o.imports(w.export(ExportRequest{Names: []string{"m1"}}), ImportRequest{}); err != nil {
		t.Fatal(err)
	}
	both := func(when string) {
		t.Helper()
		if err := errors.Join(w.answers("m1"), o.answers("m1"), o.answers("m2")); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	both("imported")
	m := o.manager()
	starts := w.hosts["m1"].starts
	if err := m.Provision(t.Context(), ProvisionRequest{Names: []string{"m1"}}); err != nil || w.hosts["m1"].starts != starts {
		t.Errorf("provision: %v, %d restarts", err, w.hosts["m1"].starts-starts)
	}
	both("provisioned")
	if err := m.RegenerateCerts(t.Context(), CertsRequest{Names: []string{"m2"}, ClientCerts: true}); err != nil {
		t.Error(err)
	}
	both("client renewed")
	if err := m.RegenerateCerts(t.Context(), CertsRequest{RotateCA: true}); err != nil {
		t.Error(err)
	}
	both("authority rotated")
	// Renewing takes it over.
	if err := m.RegenerateCerts(t.Context(), CertsRequest{Names: []string{"m1"}}); err != nil || !o.noted("not let in any more") {
		t.Errorf("got %v, notes %q", err, o.notes.text)
	}
	if err := o.answers("m1"); err != nil {
		t.Error(err)
	}
	if err := w.answers("m1"); err == nil {
		t.Error("the first store is let in still")
	}
}

func TestExportOfSwarms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	o := w.other()
	if _, err := o.imports(w.export(ExportRequest{Names: []string{"m1"}}), ImportRequest{}); err != nil || !o.noted("it is a node of swarm m1") {
		t.Fatalf("got %v, notes %q", err, o.notes.text)
	}
	if rec := o.record("m1"); rec.Swarm.Name != "" || !w.noted("1 of its 2 members are not exported") {
		t.Errorf("swarm %+v, notes %q", rec.Swarm, w.notes.text)
	}
	// As a whole, under other names.
	p := w.other()
	data := w.export(ExportRequest{Names: []string{"m1", "w1"}})
	if bytes.Contains(data, []byte("SWMTKN")) {
		t.Error("a join token travels")
	}
	if _, err := p.imports(data, ImportRequest{Rename: map[string]string{"w1": "worker"}}); err != nil {
		t.Fatal(err)
	}
	c, err := p.manager().Store.Cluster("m1")
	if err != nil || len(c.Members) != 2 || c.Members["worker"].NodeID == "" || p.record("worker").Swarm.Name != "m1" {
		t.Errorf("got %+v, %v", c, err)
	}
	if st, err := p.manager().SwarmStatus(t.Context(), ""); err != nil || st.Reachable != 1 {
		t.Errorf("got %+v, %v", st, err)
	}
	// Some members, and later the others.
	q := w.other()
	for _, name := range []string{"m1", "w1"} {
		if _, err := q.imports(w.export(ExportRequest{Names: []string{name}, WithSwarms: true}), ImportRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := q.manager().Store.Cluster("m1"); err != nil || len(c.Members) != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
	// A swarm of the same name that is another.
	r := newWorld(t, "m1")
	r.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true}})
	txn, err := store.Open(r.dir).LockCluster(t.Context(), "m1", "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(txn.Put(store.Cluster{ID: "another"}), txn.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.imports(data, ImportRequest{Rename: map[string]string{"m1": "x1"}}); !errors.Is(err, store.ErrExist) {
		t.Errorf("got %v", err)
	}
}

func TestExportWithAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.create(CreateRequest{Names: []string{"m1"}})
	data := w.export(ExportRequest{Names: []string{"m1"}, WithCA: true})
	o := w.other()
	if _, err := o.imports(data, ImportRequest{}); err != nil {
		t.Fatal(err)
	}
	if o.files()["certs/ca-key.pem"] != w.files()["certs/ca-key.pem"] {
		t.Error("the authority did not come")
	}
	o.create(CreateRequest{Names: []string{"m2"}})
	if err := errors.Join(w.answers("m1"), o.answers("m1"), o.answers("m2")); err != nil {
		t.Error(err)
	}
	// A store that has one keeps it.
	p := newWorld(t, "m2")
	p.create(CreateRequest{Names: []string{"m2"}})
	had := p.files()["certs/ca-key.pem"]
	if _, err := p.imports(data, ImportRequest{}); err != nil || !p.noted("this store has one of its own") || p.files()["certs/ca-key.pem"] != had {
		t.Errorf("got %v, notes %q", err, p.notes.text)
	}
}

func TestWhatStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.create(CreateRequest{Names: []string{"m1"}, Options: drivers.Values{"fake-secret": {"token"}}})
	rec := w.record("m1")
	put := func(name string, change func(*store.Record)) {
		txn, err := store.Open(w.dir).Lock(t.Context(), name, "test")
		if err != nil {
			t.Fatal(err)
		}
		defer txn.Close()
		r := rec
		change(&r)
		if err := txn.Put(r); err != nil {
			t.Fatal(err)
		}
		key, err := store.Open(w.dir).Get("m1")
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.WriteFile(key.SSH.Key, []byte(w.files()["machines/m1/"+key.SSH.Key])); err != nil {
			t.Fatal(err)
		}
	}
	put("local", func(r *store.Record) { r.DriverName = "virtualbox" })
	put("half", func(r *store.Record) { r.Phase = store.Created })
	put("plugged", func(r *store.Record) { r.DriverName = "nobodys" })
	for name, c := range map[string]struct {
		req  ExportRequest
		want string
	}{
		"local":   {ExportRequest{Names: []string{"m1", "local"}}, "the disk of its virtual machine is on this computer"},
		"half":    {ExportRequest{Names: []string{"half"}}, "unfinished (created)"},
		"plugged": {ExportRequest{Names: []string{"plugged"}, WithoutSecrets: true}, "driver nobodys is not known here"},
	} {
		var out bytes.Buffer
		c.req.Plain, c.req.File, c.req.Out = true, "-", &out
		_, err := w.manager().Export(t.Context(), c.req)
		if !errors.Is(err, ErrStays) || !strings.Contains(err.Error(), c.want) || out.Len() > 0 || ReasonOf(err).ID != "MACHINE_STAYS" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// As a reference it goes, and rm leaves the host alone.
	o := w.other()
	if _, err := o.imports(w.export(ExportRequest{Names: []string{"m1"}, Reference: true}), ImportRequest{As: "ref"}); err != nil {
		t.Fatal(err)
	}
	ref := o.record("ref")
	if ref.DriverName != "generic" || len(ref.DriverState) > 0 || o.files()["machines/ref/secrets.json"] != "" {
		t.Errorf("got %+v", ref)
	}
	if err := o.answers("ref"); err != nil {
		t.Error(err)
	}
	if _, err := o.manager().Remove(t.Context(), RemoveRequest{Names: []string{"ref"}}); err != nil {
		t.Error(err)
	}
	if hosts, _ := w.made(); hosts != 1 {
		t.Errorf("%d hosts after rm of the reference", hosts)
	}
	// Without secrets, the environment gives them.
	data := w.export(ExportRequest{Names: []string{"m1"}, WithoutSecrets: true})
	if bytes.Contains(data, []byte(`"token"`)) {
		t.Error("the secret travels")
	}
	if _, err := o.imports(data, ImportRequest{}); err != nil || !o.record("m1").NoStoredSecrets {
		t.Errorf("got %v", err)
	}
}

// TestHostileMachines are bundles whose form is good and whose content is not.
func TestHostileMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	good, err := bundle.Read(bytes.NewReader(w.export(ExportRequest{Names: []string{"m1"}})), nil)
	if err != nil {
		t.Fatal(err)
	}
	change := func(fn func(r *store.Record, f bundle.Files)) func() bundle.Bundle {
		return func() bundle.Bundle {
			files := bundle.Files{}
			for name, data := range good.Machines["m1"] {
				files[name] = data
			}
			r, err := store.DecodeRecord("m1", files["config.json"], nil)
			if err != nil {
				t.Fatal(err)
			}
			fn(&r, files)
			if files["config.json"], err = store.EncodeRecord(r); err != nil {
				t.Fatal(err)
			}
			return bundle.Bundle{Manifest: good.Manifest, Machines: map[string]bundle.Files{"m1": files}}
		}
	}
	raw := func(data string) func() bundle.Bundle {
		return func() bundle.Bundle {
			return bundle.Bundle{Manifest: good.Manifest, Machines: map[string]bundle.Files{"m1": {"config.json": []byte(data)}}}
		}
	}
	for name, c := range map[string]struct {
		make func() bundle.Bundle
		want error
	}{
		"key elsewhere":      {change(func(r *store.Record, _ bundle.Files) { r.SSH.Key = "../../../etc/shadow" }), bundle.ErrFormat},
		"key missing":        {change(func(r *store.Record, f bundle.Files) { delete(f, r.SSH.Key) }), bundle.ErrFormat},
		"host is an option":  {change(func(r *store.Record, _ bundle.Files) { r.Address.Host = "-oProxyCommand=x" }), bundle.ErrFormat},
		"user with a space":  {change(func(r *store.Record, _ bundle.Files) { r.Address.User = "a b" }), bundle.ErrFormat},
		"jump with a quote":  {change(func(r *store.Record, _ bundle.Files) { r.SSH.Jump = "a'b" }), bundle.ErrFormat},
		"port":               {change(func(r *store.Record, _ bundle.Files) { r.Address.SSHPort = 1 << 20 }), bundle.ErrFormat},
		"other file":         {change(func(_ *store.Record, f bundle.Files) { f["disk.vmdk"] = nil }), bundle.ErrFormat},
		"pair does not fit":  {change(func(_ *store.Record, f bundle.Files) { f["key.pem"] = f["server-key.pem"] }), bundle.ErrFormat},
		"half a pair":        {change(func(_ *store.Record, f bundle.Files) { delete(f, "key.pem") }), bundle.ErrFormat},
		"authority":          {change(func(_ *store.Record, f bundle.Files) { f["ca.pem"] = []byte("x") }), bundle.ErrFormat},
		"secrets":            {change(func(_ *store.Record, f bundle.Files) { f["secrets.json"] = []byte(`["x"]`) }), store.ErrCorrupt},
		"unfinished":         {change(func(r *store.Record, _ bundle.Files) { r.Phase = store.Pending }), bundle.ErrFormat},
		"local":              {change(func(r *store.Record, _ bundle.Files) { r.DriverName = "docker" }), ErrStays},
		"driver by its path": {change(func(r *store.Record, _ bundle.Files) { r.DriverName = "/bin/true" }), ErrStays},
		"driver on a share":  {change(func(r *store.Record, _ bundle.Files) { r.DriverName = `\\\\h\\s\\x.exe` }), ErrStays},
		"record is no JSON":  {raw("{"), store.ErrCorrupt},
		"record of tomorrow": {raw(`{"ConfigVersion":77}`), store.ErrFuture},
	} {
		var out bytes.Buffer
		if err := bundle.Write(&out, nil, c.make()); err != nil {
			t.Fatal(err)
		}
		o := w.other()
		if _, err := o.imports(out.Bytes(), ImportRequest{}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if files := o.files(); len(files) > 0 {
			t.Errorf("%s: left %d files", name, len(files))
		}
	}
	for _, name := range []string{"con", "a..b", "x/../y"} {
		if _, err := w.other().imports(w.export(ExportRequest{Names: []string{"m1"}}), ImportRequest{As: name}); !errors.Is(err, store.ErrName) {
			t.Errorf("--as %s: got %v", name, err)
		}
	}
}

func TestRelocate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"IPAddress":"192.0.2.1"}`: `{"IPAddress":"192.0.2.1"}`,
		`{"StorePath":"C:\\Users\\ada\\.docker\\machine","SSHKeyPath":"C:\\Users\\ada\\.docker\\machine\\machines\\m1\\id_rsa"}`: `{"SSHKeyPath":"/new/machines/x1/id_rsa","StorePath":"/new"}`,
		`{"StorePath":"/home/ada/.docker/machine","SSHKeyPath":"/home/ada/.ssh/id"}`:                                             `{"SSHKeyPath":"/home/ada/.ssh/id","StorePath":"/new"}`,
		`[]`: `[]`,
	} {
		if got := string(relocate([]byte(in), "m1", "/new", "/new/machines/x1")); filepath.ToSlash(got) != want {
			t.Errorf("%s:\ngot  %s\nwant %s", in, got, want)
		}
	}
}

// TestDockerMachinesTravel has a record of docker-machine from Windows, which stays as it is where it comes from.
func TestDockerMachinesTravel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	h, files := w.hosts["m1"], w.files()
	dir := filepath.Join(w.dir, "machines", "dm")
	record := fmt.Sprintf(`{"ConfigVersion":3,"DriverName":"generic","Name":"dm","HostOptions":{"EngineOptions":{"TlsVerify":true}},
		"Driver":{"IPAddress":"127.0.0.1","MachineName":"dm","SSHUser":"root","SSHPort":%d,"EnginePort":%d,
		"SSHKeyPath":"C:\\Users\\Ada\\.docker\\machine\\machines\\dm\\id_rsa","StorePath":"C:\\Users\\Ada\\.docker\\machine","SSHKey":"C:\\keys\\mine"}}`, h.sshPort, h.port)
	for name, data := range map[string]string{
		"config.json": record, "id_rsa": files["machines/m1/id_ed25519"], "ca.pem": files["machines/m1/ca.pem"],
		"cert.pem": files["machines/m1/cert.pem"], "key.pem": files["machines/m1/key.pem"], "boot2docker.iso": "large",
	} {
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	data := w.export(ExportRequest{Names: []string{"dm"}, WithoutSecrets: true})
	if w.files()["machines/dm/config.json"] != record {
		t.Error("the export rewrote the record")
	}
	o := w.other()
	if _, err := o.imports(data, ImportRequest{}); err != nil {
		t.Fatal(err)
	}
	rec, left := o.record("dm"), o.files()
	if rec.SSH.Key != "id_rsa" || left["machines/dm/boot2docker.iso"] != "" || !strings.Contains(string(rec.Driver), filepath.ToSlash(o.dir)) {
		t.Errorf("record %+v", rec)
	}
	if err := o.answers("dm"); err != nil {
		t.Error(err)
	}
}

// TestKilledImport kills an import at each event: each machine is there as a whole or not at all, and the same command
// ends it.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	source := newWorld(t, "m1", "w1")
	source.swarm([]string{"m1"}, []string{"w1"})
	data := source.export(ExportRequest{Names: []string{"m1", "w1"}, WithCA: true})
	k := killing{
		names: []string{"x"},
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Import(ctx, ImportRequest{In: bytes.NewReader(data)})
		},
		kinds: "write import has put",
	}
	k.each(t, func(t *testing.T, w *world) {
		for path := range w.files() {
			name, isMachine := strings.CutPrefix(path, "machines/")
			if name, _, _ = strings.Cut(name, "/"); !isMachine {
				continue
			}
			if _, err := w.manager().Store.Get(name); err != nil || w.files()["machines/"+name+"/key.pem"] == "" {
				t.Errorf("half of %s: %v", name, err)
			}
		}
		if got, err := w.imports(data, ImportRequest{}); err != nil || len(got) != 2 {
			t.Fatalf("again: %+v, %v", got, err)
		}
		c, err := w.manager().Store.Cluster("m1")
		if err != nil || len(c.Members) != 2 || w.record("w1").Swarm.Name != "m1" || w.files()["certs/ca-key.pem"] == "" {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

// FuzzImport demands that a record from a bundle never leads out of the machine's folder.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"ConfigVersion":4,"DriverName":"generic","Driver":{},"Phase":"ready","SSH":{"Key":"ssh_key"}}`), "ssh_key", []byte("key"))
	f.Add([]byte(`{"ConfigVersion":3,"DriverName":"generic","Driver":{"SSHKeyPath":"/a/machines/m1/../x","IPAddress":"-o"}}`), "id_rsa", []byte("key"))
	f.Add([]byte(`{"ConfigVersion":0,"DriverName":"virtualbox","Driver":{}}`), "x", []byte(nil))
	f.Fuzz(func(t *testing.T, record []byte, file string, content []byte) {
		var out bytes.Buffer
		b := bundle.Bundle{
			Manifest: bundle.Manifest{Machines: []bundle.Machine{{Name: "m1"}}},
			Machines: map[string]bundle.Files{"m1": {file: content, "config.json": record}},
		}
		if bundle.Write(&out, nil, b) != nil {
			return
		}
		b, err := bundle.Read(&out, nil)
		if err != nil {
			return
		}
		i := &importing{m: &Manager{Store: store.Open("/nowhere"), Drivers: drivers.Table{fake.New(fake.Memory())}}, b: b}
		g, err := i.guest("m1", "m1")
		if err != nil {
			return
		}
		for _, word := range []string{g.rec.SSH.Key, g.rec.Address.Host, g.rec.Address.User, g.rec.SSH.Jump} {
			if strings.HasPrefix(word, "-") || strings.ContainsAny(word, " \n'\"$`") {
				t.Errorf("accepted %q", word)
			}
		}
		if key := g.rec.SSH.Key; key != "" && filepath.Base(key) != key {
			t.Errorf("accepted key %q", key)
		}
	})
}
