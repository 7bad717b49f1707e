package hyperv

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

var update = flag.Bool("update", false, "write what the operations are now")

// TestOperations demands the operations, for options, that testdata/operations holds.
func TestOperations(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"default":     nil,
		"nat":         {"nat", "192.168.144.0/24", "ip", "192.168.144.77"},
		"docker":      {"disk-size", "30000", "memory", "1024", "cpu-count", "1", "static-macaddress", "00:15:5d:AA:bb:cc", "vlan-id", "7", "disable-dynamic-memory", "true", "virtual-switch", "lab (old)"},
		"small":       {"memory", "512", "cpu-count", "-1", "disable-secure-boot", "true"},
		"boot2docker": {"boot2docker-url", "ISO"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, hypervsim.Config{})
			must(b.AddSwitch(t.Context(), "lab (old)", "External"))
			if name == "boot2docker" {
				iso := filepath.Join(t.TempDir(), "boot2docker.iso")
				vmtest.Write(t, iso, strings.Repeat("\x00", 32769)+"CD001\x01"+strings.Repeat("\x00", 8192), 0o600)
				options = []string{"boot2docker-url", iso}
			}
			m := b.machine("m1", b.with(options...))
			m.Create()
			st := saved(m)
			if err := m.Open().Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.Remove()
			var got bytes.Buffer
			for _, q := range b.changes() {
				got.WriteString(q.Op + " ")
				if err := json.Compact(&got, q.Args); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
			}
			text := got.String()
			for from, to := range map[string]string{m.Env.Dir: "DIR", b.cache: "CACHE"} {
				text = strings.ReplaceAll(text, from, to)
			}
			if name != "docker" {
				text = strings.ReplaceAll(text, st.MAC, "MAC")
			}
			text = hideSum(text)
			file := filepath.Join("testdata", "operations", name+".txt")
			if *update {
				vmtest.Write(t, file, text, 0o644)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got\n%swant\n%s", text, want)
			}
		})
	}
}

// hideSum hides the checksums that paths in the cache have.
func hideSum(text string) string {
	const at = "CACHE/images/files/"
	parts := strings.Split(text, at)
	for i := 1; i < len(parts); i++ {
		_, rest, _ := strings.Cut(parts[i], "/")
		parts[i] = "SUM/" + rest
	}
	return strings.Join(parts, at)
}

// TestFlags demands docker-machine's flags and variables.
func TestFlags(t *testing.T) {
	t.Parallel()
	have := map[string]drivers.Option{}
	for _, o := range Factory().Options() {
		have[o.Name] = o
	}
	for name, env := range map[string]string{
		"hyperv-boot2docker-url": "HYPERV_BOOT2DOCKER_URL", "hyperv-virtual-switch": "HYPERV_VIRTUAL_SWITCH", "hyperv-disk-size": "HYPERV_DISK_SIZE",
		"hyperv-memory": "HYPERV_MEMORY", "hyperv-cpu-count": "HYPERV_CPU_COUNT", "hyperv-static-macaddress": "HYPERV_STATIC_MACADDRESS",
		"hyperv-vlan-id": "HYPERV_VLAN_ID", "hyperv-disable-dynamic-memory": "HYPERV_DISABLE_DYNAMIC_MEMORY",
	} {
		if o, ok := have[name]; !ok || !slices.Contains(o.Env, env) {
			t.Errorf("--%s with %s: got %+v", name, env, o)
		}
	}
	config, _, err := Factory().Configure(drivers.Values{
		"hyperv-virtual-switch": {"my switch"}, "hyperv-disk-size": {"20000"}, "hyperv-memory": {"1024"}, "hyperv-cpu-count": {"1"},
		"hyperv-static-macaddress": {"00155d010203"}, "hyperv-vlan-id": {"0"}, "hyperv-disable-dynamic-memory": {"false"}, "hyperv-boot2docker-url": {""},
	})
	if err != nil || !strings.Contains(string(config), `"my switch"`) {
		t.Errorf("docker-machine's own defaults: %s, %v", config, err)
	}
}
