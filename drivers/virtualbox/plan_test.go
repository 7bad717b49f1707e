package virtualbox

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

var update = flag.Bool("update", false, "write the golden files")

// TestCommands compares all that VBoxManage is asked to do, for the life of a machine
// under some options, with golden files.
func TestCommands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   vboxsim.Config
		pairs []string
		world func(*world)
	}{
		"defaults":  {},
		"dhcp":      {pairs: []string{"ip", "dhcp", "hostonly-cidr", "192.168.60.1/24"}},
		"forwarded": {pairs: []string{"access", "forwarded", "ip", "192.168.56.99", "cpu-count", "-1", "firmware", "uefi", "no-dns-proxy", "true", "host-dns-resolver", "true"}},
		"old":       {cfg: vboxsim.Config{Version: "6.1.50r161033"}, pairs: []string{"nat-nictype", "82540EM", "hostonly-nicpromisc", "allow-all"}},
		"mac":       {cfg: vboxsim.Config{Mac: true}, world: func(w *world) { w.os = "darwin" }},
		"arm":       {cfg: vboxsim.Config{Mac: true}, world: func(w *world) { w.os, w.arch = "darwin", "arm64" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.cfg)
			if c.world != nil {
				c.world(&b.world)
			}
			m := b.machine("m1", b.with(c.pairs...))
			if err := m.Open().Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.Create()
			if err := m.Open().Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := m.Open().Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			was := saved(m)
			m.Remove()
			calls, err := b.Calls()
			if err != nil {
				t.Fatal(err)
			}
			hide := strings.NewReplacer(was.UUID, "UUID", was.Disk, "DISK", was.Folder, "FOLDER", was.MAC, "MAC2", was.NATMAC, "MAC1",
				localvm.Colons(was.MAC), "MAC2", b.cache, "CACHE", filepath.Dir(b.cache), "DIR")
			var text strings.Builder
			for _, args := range calls {
				if hidden(args) {
					continue
				}
				for i, a := range args {
					if i > 0 {
						text.WriteByte(' ')
					}
					if a = hide.Replace(a); a == "" || strings.ContainsAny(a, " '\"") {
						a = "'" + a + "'"
					}
					if strings.Contains(a, "CACHE") {
						a = "CACHE/..." + filepath.Ext(a)
					}
					text.WriteString(a)
				}
				text.WriteByte('\n')
			}
			golden(t, name+".commands", text.String())
		})
	}
}

// hidden tells whether a call is a question, of which there may be more or fewer.
func hidden(args []string) bool {
	switch args[0] {
	case "list", "showvminfo", "--version", "getextradata", "guestproperty":
		return true
	}
	return args[0] == "dhcpserver" && args[1] == "findlease"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

func TestFirmware(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option, arch string
		image        []string
		want         string
	}{
		{"auto", "amd64", nil, "bios"},
		{"auto", "amd64", []string{"bios", "uefi"}, "bios"},
		{"auto", "amd64", []string{"uefi"}, "efi"},
		{"uefi", "amd64", []string{"bios"}, "efi"},
		{"bios", "amd64", []string{"uefi"}, "bios"},
		{"auto", "arm64", nil, "efi"},
	} {
		d := &driver{cfg: Config{Firmware: c.option}, world: world{arch: c.arch}, state: &drivers.Durable[State]{}}
		if got := d.firmware(imageWith(c.image)); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}
