package store

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// v0 is what the first releases of docker-machine wrote: flat, without a version.
const v0 = `{"DriverName":"virtualbox","Driver":{"IPAddress":"192.168.99.100","SSHUser":"docker","SSHPort":53507,"MachineName":"m1",
"CaCertPath":"/Users/jo/.docker/machine/certs/ca.pem","PrivateKeyPath":"/Users/jo/.docker/machine/certs/ca-key.pem",
"SwarmMaster":true,"SwarmHost":"tcp://0.0.0.0:3376","SwarmDiscovery":"token://1234","CPU":-1,"Memory":1024,"DiskSize":20000},
"StorePath":"/Users/jo/.docker/machine/machines/m1","CaCertPath":"/Users/jo/.docker/machine/certs/ca.pem",
"PrivateKeyPath":"/Users/jo/.docker/machine/certs/ca-key.pem","SwarmHost":"tcp://0.0.0.0:3376","SwarmMaster":true,
"SwarmDiscovery":"token://1234","HostOptions":{"Driver":"","Memory":0,"Disk":0,"EngineOptions":null,"SwarmOptions":null,"AuthOptions":null}}`

// v1 has the options nested; the key of the authority is called PrivateKeyPath.
const v1 = `{"ConfigVersion":1,"DriverName":"digitalocean","Driver":{"MachineName":"m1","IPAddress":"203.0.113.5","SSHUser":"root","SSHPort":22,
"AccessToken":"t","DropletID":7},"StorePath":"/home/jo/.docker/machine","HostOptions":{"Driver":"","Memory":0,"Disk":0,
"EngineOptions":{"ArbitraryFlags":["mtu=1400"],"Dns":["1.1.1.1"],"GraphDir":"","Ipv6":false,"InsecureRegistry":["r:5000"],"Labels":["a=b"],
"LogLevel":"","StorageDriver":"aufs","SelinuxEnabled":false,"TlsVerify":true,"RegistryMirror":["http://mirror"],"InstallURL":"https://get.docker.com"},
"SwarmOptions":{"IsSwarm":true,"Address":"","Discovery":"token://9","Master":false,"Host":"tcp://0.0.0.0:3376","Image":"swarm:latest","Strategy":"spread",
"Heartbeat":0,"Overcommit":0,"ArbitraryFlags":["x=y"]},
"AuthOptions":{"StorePath":"/home/jo/.docker/machine/machines/m1","CaCertPath":"/home/jo/.docker/machine/certs/ca.pem","PrivateKeyPath":"/k"}}}`

// v2 renamed the paths of certificates.
var v2 = strings.Replace(strings.Replace(v1, `"ConfigVersion":1`, `"ConfigVersion":2`, 1), `"PrivateKeyPath":"/k"`, `"CaPrivateKeyPath":"/k","CertDir":"/c"`, 1)

// v3 is the last of docker-machine's.
const v3 = `{"ConfigVersion":3,"Driver":{"IPAddress":"127.0.0.1","MachineName":"g1","SSHUser":"root","SSHPort":23822,
"SSHKeyPath":"/s/machines/m1/key","StorePath":"/s","SwarmMaster":false,"SwarmHost":"","SwarmDiscovery":"","EnginePort":23876,"SSHKey":"/home/u/.ssh/key"},
"DriverName":"generic","HostOptions":{"Driver":"","Memory":0,"Disk":0,
"EngineOptions":{"ArbitraryFlags":[],"Dns":null,"GraphDir":"","Env":["TEST=VALUE"],"Ipv6":false,"InsecureRegistry":[],"Labels":["spam=eggs"],"LogLevel":"",
"StorageDriver":"","SelinuxEnabled":false,"TlsVerify":true,"RegistryMirror":[],"InstallURL":"https://get.docker.com"},
"SwarmOptions":{"IsSwarm":false,"Address":"","Discovery":"","Agent":false,"Master":false,"Host":"tcp://0.0.0.0:3376","Image":"swarm:latest","Strategy":"spread",
"Heartbeat":0,"Overcommit":0,"ArbitraryFlags":[],"ArbitraryJoinFlags":[],"Env":null,"IsExperimental":false},
"AuthOptions":{"CertDir":"/s/certs","CaCertPath":"/s/certs/ca.pem","CaPrivateKeyPath":"/s/certs/ca-key.pem","CaCertRemotePath":"","ServerCertPath":"/s/machines/g1/server.pem",
"ServerKeyPath":"/s/machines/g1/server-key.pem","ClientKeyPath":"/s/certs/key.pem","ServerCertRemotePath":"","ServerKeyRemotePath":"","ClientCertPath":"/s/certs/cert.pem",
"ServerCertSANs":["foo.bar.tld"],"StorePath":"/s/machines/g1"}},"Name":"g1"}`

// v3null is what made docker-machine itself panic.
const v3null = `{"ConfigVersion":3,"Driver":{},"DriverName":"none","HostOptions":{"EngineOptions":null,"SwarmOptions":null,"AuthOptions":null},"Name":"m1"}`

func none(string) bool { return false }

func TestMigrateGolden(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"v0": v0, "v1": v1, "v2": v2, "v3": v3, "v3null": v3null} {
		r, err := decode("m1", []byte(text), none)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".golden.json")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The driver's configuration is the driver's: nothing in it changes.
func TestMigrateKeepsDriver(t *testing.T) {
	t.Parallel()
	var old struct{ Driver map[string]any }
	if err := json.Unmarshal([]byte(v3), &old); err != nil {
		t.Fatal(err)
	}
	r, err := decode("m1", []byte(v3), none)
	if err != nil {
		t.Fatal(err)
	}
	var now map[string]any
	if err := json.Unmarshal(r.Driver, &now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old.Driver, now); diff != "" {
		t.Error(diff)
	}
}

func TestMigrateKeyFile(t *testing.T) {
	t.Parallel()
	idRSA := func(file string) bool { return file == "id_rsa" }
	for _, tc := range []struct {
		path   string
		folder func(string) bool
		want   string
	}{
		{"/home/jo/.docker/machine/machines/m1/id_rsa", none, "id_rsa"},
		{`C:\Users\jo\.docker\machine\machines\m1\id_rsa`, none, "id_rsa"},
		{"/elsewhere/machines/m1/id_rsa", idRSA, "id_rsa"},
		{"/home/jo/.ssh/id_rsa", idRSA, ""},
		{"/s/machines/m2/id_rsa", idRSA, ""},
		{"/s/machines/m1/sub/id_rsa", idRSA, ""},
		{"/s/machines/m1/..", none, ""},
		{"/s/machines/m1/", none, ""},
		{"id_rsa", none, ""},
		{"", idRSA, "id_rsa"},
		{"", none, ""},
	} {
		if got := keyFile(tc.path, "m1", tc.folder); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.path, got, tc.want)
		}
	}
}

// A driver may mean something else by a name that others share.
func TestMigrateForeignDriver(t *testing.T) {
	t.Parallel()
	r, err := decode("m1", []byte(`{"ConfigVersion":3,"DriverName":"odd","Driver":{"IPAddress":["192.0.2.1"],"SSHPort":"22","SSHUser":7,"EnginePort":99999}}`), none)
	if err != nil {
		t.Fatal(err)
	}
	if r.Address != (Address{}) || r.SSH != (SSH{}) || r.Phase != Ready {
		t.Errorf("Got %+v", r)
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want error
		says string
	}{
		{"", ErrCorrupt, "the file is empty"},
		{" \n", ErrCorrupt, "the file is empty"},
		{"{\n  \"ConfigVersion\": 4,\n  \"Name\": oops\n}", ErrCorrupt, "line 3, column 11: invalid character 'o'"},
		{`{"ConfigVersion":4,`, ErrCorrupt, "line 1, column 19: unexpected end"},
		{strings.Repeat("\x00", 300), ErrCorrupt, "line 1, column 1: invalid character"},
		{`null`, ErrCorrupt, "DriverName is missing"},
		{`{}`, ErrCorrupt, "DriverName is missing"},
		{`[]`, ErrCorrupt, "line 1"},
		{`{"ConfigVersion":"4"}`, ErrCorrupt, "ConfigVersion"},
		{`{"ConfigVersion":-1}`, ErrCorrupt, "ConfigVersion is -1"},
		{`{"ConfigVersion":4,"SSH":[]}`, ErrCorrupt, "SSH"},
		{`{"ConfigVersion":4} {}`, ErrCorrupt, "after top-level value"},
		{`{"ConfigVersion":3,"DriverName":"none","Driver":[]}`, ErrCorrupt, "Driver is not an object"},
		{`{"ConfigVersion":3,"DriverName":"none","Driver":null}`, ErrCorrupt, "Driver is not an object"},
		{`{"ConfigVersion":3,"DriverName":"none"}`, ErrCorrupt, "Driver is not an object"},
		{`{"ConfigVersion":3,"DriverName":"none","Driver":{},"HostOptions":"x"}`, ErrCorrupt, "HostOptions"},
		{`{"DriverName":"none","Driver":{},"SwarmMaster":"yes"}`, ErrCorrupt, "SwarmMaster"},
		{`{"ConfigVersion":5}`, ErrFuture, "version 5, this program knows up to 4"},
		{`{"ConfigVersion":5,"Name":[],"SSH":7}`, ErrFuture, "version 5"},
	} {
		_, err := decode("m1", []byte(tc.text), none)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: got %v, want %v with %q", tc.text, err, tc.want, tc.says)
		}
	}
}

// A program of the same schema may have had one field more.
func TestDecodeToleratesUnknownFields(t *testing.T) {
	t.Parallel()
	r, err := decode("m1", []byte(`{"ConfigVersion":4,"Name":"other","DriverName":"none","Driver":null,"Later":{"a":1},"HostOptions":{"New":[]}}`), none)
	if err != nil || r.Name != "m1" || r.DriverName != "none" || r.Driver != nil {
		t.Errorf("Got %+v, %v", r, err)
	}
}

// What GitLab Runner and others read by themselves.
func TestRecordKeepsOldNames(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	put(t, s, "m1")
	data, err := os.ReadFile(filepath.Join(s.MachineDir("m1"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		ConfigVersion    int
		Name, DriverName string
		Driver           struct{ IPAddress string }
		HostOptions      struct {
			EngineOptions struct {
				Labels    []string
				TlsVerify bool //nolint:revive // docker-machine's name
			}
			SwarmOptions struct{ IsSwarm bool }
			AuthOptions  struct{ ServerCertSANs []string }
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.ConfigVersion != 4 || doc.Name != "m1" || doc.DriverName != "generic" || doc.Driver.IPAddress != "192.0.2.7" ||
		!slices.Equal(doc.HostOptions.EngineOptions.Labels, []string{"a=b"}) || !doc.HostOptions.EngineOptions.TlsVerify ||
		!doc.HostOptions.SwarmOptions.IsSwarm || len(doc.HostOptions.AuthOptions.ServerCertSANs) != 1 {
		t.Errorf("Got %+v", doc)
	}
	if !strings.Contains(string(data), "dial <tcp>") || !strings.HasSuffix(string(data), "}\n") || !strings.Contains(string(data), "\n    \"Name\"") {
		t.Errorf("Got %s", data)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{v0, v1, v2, v3, v3null, "", "{}", "null", "[]", `{"ConfigVersion":5}`, `{"ConfigVersion":4,"Driver":{"a":[1,2]},"Created":"x"}`} {
		f.Add([]byte(text))
	}
	for _, old := range oldRecords(f) {
		f.Add([]byte(old.data))
	}
	data, err := encode(sample("m1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode("m1", data, func(file string) bool { return len(file)%2 == 0 })
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFuture) {
				t.Fatalf("Got %v", err)
			}
			return
		}
		if r.ConfigVersion != Version || r.Name != "m1" {
			t.Fatalf("Got version %d, name %q", r.ConfigVersion, r.Name)
		}
		if r.SSH.Key != "" && strings.ContainsAny(r.SSH.Key, `/\`) && r.Creator == "docker-machine" {
			t.Fatalf("Got key %q outside the folder", r.SSH.Key)
		}
		// What was read can be written, and is the same when it is read again.
		out, err := encode(r)
		if err != nil {
			if len(data) < maxRecord/8 {
				t.Fatal(err)
			}
			return
		}
		again, err := decode("m1", out, none)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := encode(again)
		if err != nil || string(out) != string(twice) {
			t.Fatalf("%s\n%s\n%v", out, twice, err)
		}
	})
}
