package lifecycle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers/all"
)

// Classic is a cloud's machine in docker-machine's words.
func (c cloud) Classic() any {
	return map[string]any{"InstanceId": c.state.Value.ID, "SecretKey": "", "Region": "classic"}
}

// inspected is a machine as inspect shows it.
func inspected(t *testing.T, m *Manager, name string) map[string]any {
	t.Helper()
	raw, err := m.Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), hush) {
		t.Errorf("a secret is shown: %s", raw)
	}
	var shown map[string]any
	if err := json.Unmarshal(raw, &shown); err != nil {
		t.Fatal(err)
	}
	return shown
}

// at is what a template finds at a path such as Driver.Region; absent: there is nothing.
func at(shown map[string]any, path string) any {
	var v any = shown
	for _, name := range strings.Split(path, ".") {
		object, _ := v.(map[string]any)
		value, ok := object[name]
		if !ok {
			return absentField{}
		}
		v = value
	}
	return v
}

type absentField struct{}

func wantFields(t *testing.T, shown map[string]any, want map[string]any) {
	t.Helper()
	for path, v := range want {
		if got := at(shown, path); !reflect.DeepEqual(got, v) {
			t.Errorf("%s is %#v, want %#v", path, got, v)
		}
	}
}

// TestInspectOptions demands all of docker-machine's HostOptions, its lists as lists.
func TestInspectOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	none := []any{}
	wantFields(t, inspected(t, w.manager(), "m1"), map[string]any{
		"HostOptions.Driver": "", "HostOptions.Memory": 0.0, "HostOptions.Disk": 0.0,

		"HostOptions.EngineOptions.ArbitraryFlags": none, "HostOptions.EngineOptions.Env": none, "HostOptions.EngineOptions.InsecureRegistry": none,
		"HostOptions.EngineOptions.Labels": none, "HostOptions.EngineOptions.RegistryMirror": none, "HostOptions.EngineOptions.Dns": nil,
		"HostOptions.EngineOptions.GraphDir": "", "HostOptions.EngineOptions.Ipv6": false, "HostOptions.EngineOptions.LogLevel": "",
		"HostOptions.EngineOptions.StorageDriver": "", "HostOptions.EngineOptions.SelinuxEnabled": false, "HostOptions.EngineOptions.TlsVerify": true,
		"HostOptions.EngineOptions.InstallURL": "",

		"HostOptions.SwarmOptions.IsSwarm": false, "HostOptions.SwarmOptions.Address": "", "HostOptions.SwarmOptions.Discovery": "",
		"HostOptions.SwarmOptions.Agent": false, "HostOptions.SwarmOptions.Master": false, "HostOptions.SwarmOptions.Host": "tcp://0.0.0.0:3376",
		"HostOptions.SwarmOptions.Image": "swarm:latest", "HostOptions.SwarmOptions.Strategy": "spread", "HostOptions.SwarmOptions.Heartbeat": 0.0,
		"HostOptions.SwarmOptions.Overcommit": 0.0, "HostOptions.SwarmOptions.ArbitraryFlags": none, "HostOptions.SwarmOptions.ArbitraryJoinFlags": none,
		"HostOptions.SwarmOptions.Env": nil, "HostOptions.SwarmOptions.IsExperimental": false,

		"HostOptions.AuthOptions.ServerCertSANs": none, "HostOptions.AuthOptions.CaCertRemotePath": "",
		"HostOptions.AuthOptions.ServerCertRemotePath": "", "HostOptions.AuthOptions.ServerKeyRemotePath": "",
	})
}

// TestInspectInherited shows a machine of docker-machine as it was recorded, and in the same words once it is ours.
func TestInspectInherited(t *testing.T) {
	t.Parallel()
	w, m, _ := oldMachine(t)
	wantFields(t, inspected(t, m, "old"), map[string]any{
		"Driver.InstanceId": "i-1", "Driver.Region": "r1", "Driver.SecretKey": "", "Driver.StorePath": w.dir, "Driver.SSHKeyPath": "",
	})
	if err := m.Stop(t.Context(), []string{"old"}); err != nil {
		t.Fatal(err)
	}
	wantFields(t, inspected(t, m, "old"), map[string]any{
		"Driver.InstanceId": "i-1", "Driver.Region": "classic", "Driver.SecretKey": "", "Driver.StorePath": w.dir, "Driver.SSHKeyPath": "",
	})
}

// TestInspectUnknownDriver shows a machine whose driver is not there.
func TestInspectUnknownDriver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "old")
	dir := filepath.Join(w.dir, "machines", "old")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	record := `{"ConfigVersion":3,"DriverName":"google","Name":"old","Driver":{"MachineName":"old","StorePath":"/s","IPAddress":"192.0.2.1",
		"SSHUser":"me","SSHPort":2222,"SSHKeyPath":"/elsewhere/key","Zone":"z1","MachineType":"n1","Project":"p1","DiskSize":10,
		"Password":"` + hush + `","Client":{"User":"u","ApiKey":"` + hush + `"},"Accounts":[{"AccessToken":"` + hush + `"}],"APISecretKey":"` + hush + `",
		"TokenFile":"/t","ExistingKey":true,"KeyName":"k"},"HostOptions":{}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFields(t, inspected(t, w.manager(), "old"), map[string]any{
		"DriverName": "google", "Driver.Zone": "z1", "Driver.MachineType": "n1", "Driver.Project": "p1", "Driver.DiskSize": 10.0,
		"Driver.IPAddress": "192.0.2.1", "Driver.SSHUser": "me", "Driver.SSHPort": 2222.0, "Driver.SSHKeyPath": "/elsewhere/key",
		"Driver.StorePath": w.dir, "Driver.Password": "", "Driver.Client.User": "u", "Driver.Client.ApiKey": "", "Driver.APISecretKey": "",
		"Driver.TokenFile": "/t", "Driver.ExistingKey": true, "Driver.KeyName": "k",
		"HostOptions.AuthOptions.StorePath": dir,
	})
}

// TestInspectOld demands all that docker-machine and rancher-machine recorded of a machine, by each driver: as it was, but for
// the secrets, and for what is known better by now.
func TestInspectOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager()
	m.Drivers = all.Table()
	better := []string{"MachineName", "IPAddress", "SSHUser", "SSHPort", "SSHKeyPath", "StorePath"}
	for _, name := range w.oldStore() {
		var old struct{ Driver map[string]any }
		if err := json.Unmarshal([]byte(w.files()["machines/"+name+"/config.json"]), &old); err != nil {
			t.Fatal(err)
		}
		hideSecrets(old.Driver)
		driver, _ := inspected(t, m, name)["Driver"].(map[string]any)
		for field, was := range old.Driver {
			is, ok := driver[field]
			if !ok || !slices.Contains(better, field) && !reflect.DeepEqual(is, was) {
				t.Errorf("%s: %s is %#v, want %#v", name, field, is, was)
			}
		}
	}
}
