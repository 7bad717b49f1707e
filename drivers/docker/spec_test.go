package docker

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
)

var update = flag.Bool("update", false, "write golden files")

// TestRequest compares what the engine is asked for with golden files.
func TestRequest(t *testing.T) {
	t.Parallel()
	ports := func(all ...string) (list []published) {
		for _, s := range all {
			p, err := parsePublish(s)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		return list
	}
	base := spec{
		Name: "machine-m1-01234567", Hostname: "m1", Image: "machine-node:bookworm-engine-0", Labels: map[string]string{labelMachine: "m1"},
		Network: "machine", Address: netip.MustParseAddr("172.28.0.2"), Rights: privileged, Modules: true,
		Volumes: []dataVolume{{"m1-docker", "/var/lib/docker"}},
	}
	for name, change := range map[string]func(*spec){
		"privileged":   func(*spec) {},
		"capabilities": func(s *spec) { s.Rights, s.Modules = capabilities, false },
		"minimal":      func(s *spec) { s.Rights, s.HostUsers = minimal, true },
		"everything": func(s *spec) {
			s.Memory, s.CPUs = 2<<30, 1.5
			s.Mounts = []mounted{{"/srv", "/srv", "ro"}, {"mine", "/var/lib/docker", ""}}
			s.Ports = ports("8080:80", "0.0.0.0:8081:80", "53/udp", "22")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := base
			change(&s)
			r := s.request()
			got, err := json.MarshalIndent(container.CreateRequest{Config: r.Config, HostConfig: r.HostConfig, NetworkingConfig: r.NetworkingConfig}, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "request-"+name+".json", append(got, '\n'))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestPickAddress(t *testing.T) {
	t.Parallel()
	small := netip.MustParsePrefix("192.0.2.0/29") // .1 is the gateway, .7 the broadcast address
	used := map[netip.Addr]bool{}
	for _, want := range []string{"192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "invalid IP"} {
		a := pickAddress(small, used, false)
		if a.String() != want {
			t.Fatalf("got %s, want %s", a, want)
		}
		used[a] = true
	}
	clear(used)
	for range 200 { // whatever chance says
		for range 5 {
			a := pickAddress(small, used, true)
			if !a.IsValid() || used[a] || a == gateway(small) || a == netip.MustParseAddr("192.0.2.7") {
				t.Fatalf("chose %s of %v", a, used)
			}
			used[a] = true
		}
		if a := pickAddress(small, used, true); a.IsValid() {
			t.Fatalf("chose %s of a full subnet", a)
		}
		clear(used)
	}
}

func TestSubnets(t *testing.T) {
	t.Parallel()
	swarm := netip.MustParsePrefix("10.0.0.0/8")
	all := subnets()
	for i, p := range all {
		if p.Overlaps(swarm) || p != p.Masked() || !p.Addr().IsPrivate() {
			t.Errorf("%s is no good subnet", p)
		}
		if len(free(all[:i], []netip.Prefix{p})) != i {
			t.Errorf("%s overlaps with an earlier one", p)
		}
	}
	taken := []netip.Prefix{netip.MustParsePrefix("172.28.5.0/24"), netip.MustParsePrefix("172.28.0.0/14"), netip.MustParsePrefix("192.168.0.0/16")}
	left := free(all, taken)
	if len(left) == 0 || left[0].String() != "172.27.0.0/16" {
		t.Errorf("left %v", left)
	}
}

func TestTagFollowsRecipe(t *testing.T) {
	t.Parallel()
	seen := map[string]Config{}
	for _, c := range []Config{
		{Suite: "bookworm"}, {Suite: "trixie"}, {Suite: "bookworm", NoEngine: true}, {Suite: "bookworm", Base: "mirror.example.com/debian:12"},
	} {
		tag, err := c.recipe().tag()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[tag]; ok {
			t.Errorf("%+v and %+v are both %s", c, other, tag)
		}
		seen[tag] = c
		if again, _ := c.recipe().tag(); again != tag {
			t.Errorf("%s became %s", tag, again)
		}
	}
}
