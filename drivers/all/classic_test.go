package all_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/all"
)

// TestClassic demands of each driver that docker-machine had, too, each field of its record, of the same type. The files
// have a machine as docker-machine 0.16.2 recorded it.
func TestClassic(t *testing.T) {
	t.Parallel()
	base := strings.Fields("IPAddress MachineName SSHUser SSHPort SSHKeyPath StorePath SwarmMaster SwarmHost SwarmDiscovery")
	files, err := filepath.Glob("testdata/docker-machine/*.json")
	if err != nil || len(files) != 7 {
		t.Fatalf("got %q, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			for _, field := range base {
				delete(want, field) // these are not the driver's
			}
			got := classicOf(t, name)
			for field, v := range want {
				have, ok := got[field]
				_, list := v.([]any)
				if !ok || fmt.Sprintf("%T", have) != fmt.Sprintf("%T", v) && (have != nil || !list) {
					t.Errorf("%s is %T, want %T", field, have, v)
				}
			}
		})
	}
}

// hush is the secret that must not be shown.
const hush = "do-not-show"

// classicOf is a machine in docker-machine's words, made with what its driver demands and all the secrets that it takes.
func classicOf(t *testing.T, name string) map[string]any {
	t.Helper()
	f, err := all.Table().Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	values := drivers.Values{}
	for _, o := range f.Options() {
		switch {
		case o.Secret:
			values[o.Name] = []string{hush}
		case o.Name == "url":
			values[o.Name] = []string{"tcp://192.0.2.1:2376"}
		case o.Required:
			values[o.Name] = []string{"192.0.2.1"}
		}
	}
	switch name {
	case "azure":
		values["azure-subscription-id"] = []string{"00000000-0000-0000-0000-000000000001"}
		values["azure-client-id"] = values["azure-subscription-id"]
		values["azure-tenant-id"] = values["azure-subscription-id"]
		delete(values, "azure-client-certificate-password") // goes with another way to log in
	case "vmwarevsphere":
		values["vmwarevsphere-clone-from"] = []string{"debian"}
	}
	config, secrets, err := f.Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Open(config, secrets, nil, nil, drivers.Env{Machine: "m", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	classic, ok := d.(drivers.Classic)
	if !ok {
		t.Fatalf("driver %s does not speak docker-machine's words", name)
	}
	data, err := json.Marshal(classic.Classic())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), hush) {
		t.Errorf("a secret is shown: %s", data)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return got
}
