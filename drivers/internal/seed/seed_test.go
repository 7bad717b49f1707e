package seed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
)

func hostKey(t testing.TB) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, 32)), "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func full(t testing.TB) Seed {
	t.Helper()
	return Seed{
		Instance: "i-1", Hostname: "m1", User: "machine", Keys: []string{"ssh-ed25519 AAAA one", "ssh-rsa BBBB two"}, HostKey: hostKey(t),
		Network: []Interface{
			{Name: "eth0", MAC: "52:54:00:AB:cd:01", DHCP: true},
			{
				MAC: "52:54:00:ab:cd:02", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.56.7/21"), netip.MustParsePrefix("fd00::7/64")},
				Gateway: netip.MustParseAddr("192.168.56.1"), DNS: []netip.Addr{netip.MustParseAddr("192.168.56.1"), netip.MustParseAddr("9.9.9.9")},
			},
			{MAC: "52:54:00:ab:cd:03", DHCP: true, NoRoute: true},
			{MAC: "52:54:00:ab:cd:04", Addresses: []netip.Prefix{netip.MustParsePrefix("fd01::7/64")}, Gateway: netip.MustParseAddr("fd01::1")},
		},
	}
}

// contents reads an image with the library that made it.
func contents(t *testing.T, path string) (label string, files map[string]string) {
	t.Helper()
	disk, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	stat, err := disk.Stat()
	if err != nil {
		t.Fatal(err)
	}
	iso, err := iso9660.Read(file.New(disk, true), stat.Size(), 0, sectorSize)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	err = fs.WalkDir(iso, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(iso, name)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(iso.Label(), " \x00"), files
}

func TestNoCloud(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seed.iso")
	s := full(t)
	s.UserData = []byte("#!/bin/sh\necho hello\n" + strings.Repeat("# long\n", 1000))
	if err := Write(path, KindNoCloud, s); err != nil {
		t.Fatal(err)
	}
	label, files := contents(t, path)
	if label != "cidata" || len(files) != 4 {
		t.Errorf("label %q, %d files", label, len(files))
	}
	if got, want := files["meta-data"], "{\n \"instance-id\": \"i-1\",\n \"local-hostname\": \"m1\"\n}\n"; got != want {
		t.Errorf("meta-data %s", got)
	}
	for _, want := range []string{"hostname\": \"m1\"", "echo hello", "OPENSSH PRIVATE KEY", "ssh-ed25519 AAAA one"} {
		if !strings.Contains(files["user-data"], want) {
			t.Errorf("user-data has no %s", want)
		}
	}
	if !strings.HasPrefix(files["vendor-data"], "#cloud-config\n") || !strings.Contains(files["vendor-data"], "growpart") {
		t.Errorf("vendor-data %s", files["vendor-data"])
	}
	var got any
	if err := json.Unmarshal([]byte(files["network-config"]), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantNetwork(), got); diff != "" {
		t.Error(diff)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("a host key for everybody: %v, %v", stat.Mode(), err)
	}
}

func wantNetwork() any {
	type m = map[string]any
	type l = []any
	return m{"version": 2.0, "ethernets": m{
		"eth0": m{"match": m{"macaddress": "52:54:00:ab:cd:01"}, "set-name": "eth0", "dhcp4": true},
		"eth1": m{
			"match": m{"macaddress": "52:54:00:ab:cd:02"}, "set-name": "eth1", "dhcp4": false, "addresses": l{"192.168.56.7/21", "fd00::7/64"},
			"routes": l{m{"to": "0.0.0.0/0", "via": "192.168.56.1"}}, "nameservers": m{"addresses": l{"192.168.56.1", "9.9.9.9"}},
		},
		"eth2": m{"match": m{"macaddress": "52:54:00:ab:cd:03"}, "set-name": "eth2", "dhcp4": true, "dhcp4-overrides": m{"use-routes": false, "use-dns": false}},
		"eth3": m{
			"match": m{"macaddress": "52:54:00:ab:cd:04"}, "set-name": "eth3", "dhcp4": false, "addresses": l{"fd01::7/64"},
			"routes": l{m{"to": "::/0", "via": "fd01::1"}},
		},
	}}
}

func TestConfigDrive(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seed.iso")
	s := full(t)
	if err := Write(path, KindConfigDrive, s); err != nil {
		t.Fatal(err)
	}
	label, files := contents(t, path)
	if label != "config-2" || len(files) != 2 {
		t.Errorf("label %q, %v", label, files)
	}
	var meta struct {
		UUID, Hostname string
		Keys           map[string]string `json:"public_keys"`
	}
	if err := json.Unmarshal([]byte(files["openstack/latest/meta_data.json"]), &meta); err != nil || meta.UUID != "i-1" || meta.Hostname != "m1" || len(meta.Keys) != 0 {
		t.Errorf("meta data %+v, %v", meta, err)
	}
	body, ok := strings.CutPrefix(files["openstack/latest/user_data"], "#cloud-config\n")
	if !ok {
		t.Fatalf("user data %s", body)
	}
	var config struct {
		Hostname string
		Users    []struct {
			Name   string
			Groups []string
			Keys   []string `json:"ssh_authorized_keys"`
		}
		Files []struct {
			Path, Permissions, Owner, Content string
		} `json:"write_files"`
		CoreOS struct {
			Units []struct{ Name, Content string }
		}
	}
	if err := json.Unmarshal([]byte(body), &config); err != nil {
		t.Fatal(err)
	}
	if config.Hostname != "m1" || len(config.Users) != 1 || config.Users[0].Name != "machine" || config.Users[0].Groups[0] != "sudo" || len(config.Users[0].Keys) != 2 {
		t.Errorf("got %+v", config)
	}
	if len(config.Files) != 2 || config.Files[0].Path != "/etc/ssh/ssh_host_ed25519_key" || config.Files[0].Permissions != "0600" || config.Files[0].Content != string(s.HostKey) {
		t.Fatalf("files %+v", config.Files)
	}
	private, err := ssh.ParsePrivateKey([]byte(config.Files[0].Content))
	if err != nil {
		t.Fatal(err)
	}
	if want := string(ssh.MarshalAuthorizedKey(private.PublicKey())); config.Files[1].Content != want || config.Files[1].Path != config.Files[0].Path+".pub" {
		t.Errorf("public key %q, want %q", config.Files[1].Content, want)
	}
	wantUnit := "[Match]\nMACAddress=52:54:00:ab:cd:02\n\n[Network]\nAddress=192.168.56.7/21\nAddress=fd00::7/64\nGateway=192.168.56.1\nDNS=192.168.56.1\nDNS=9.9.9.9\n"
	if u := config.CoreOS.Units; len(u) != 4 || u[1].Name != "05-nic1.network" || u[1].Content != wantUnit || !strings.Contains(u[2].Content, "DHCP=ipv4\n\n[DHCPv4]\nUseRoutes=false\nUseDNS=false\n") {
		t.Errorf("units %+v", u)
	}

	s.User, s.UserData = "core", []byte("#cloud-config\nhostname: theirs\n")
	if err := Write(path, KindConfigDrive, s); err != nil {
		t.Fatal(err)
	}
	_, files = contents(t, path)
	if data := files["openstack/latest/user_data"]; !strings.HasPrefix(data, "Content-Type: multipart/mixed;") || strings.Index(data, `"hostname": "m1"`) < strings.Index(data, "hostname: theirs") || strings.Contains(data, `"users"`) {
		t.Errorf("user data %s", data)
	}
	if meta := files["openstack/latest/meta_data.json"]; !strings.Contains(meta, "ssh-ed25519 AAAA one") || !strings.Contains(meta, "ssh-rsa BBBB two") {
		t.Errorf("meta data %s", meta)
	}
}

func TestSameBytes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{KindNoCloud, KindConfigDrive} {
		dir := t.TempDir()
		s := full(t)
		var all [][]byte
		for _, name := range []string{"a.iso", "b/c.iso"} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			for range 2 { // replaced
				if err := Write(path, kind, s); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data)
			time.Sleep(1100 * time.Millisecond) // times have seconds
		}
		if !bytes.Equal(all[0], all[1]) {
			t.Errorf("%s differs a second later", kind)
		}
		if files, _ := os.ReadDir(dir); len(files) != 2 {
			t.Errorf("left over: %v", files)
		}
		s.Hostname = "m2"
		if err := Write(filepath.Join(dir, "a.iso"), kind, s); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(filepath.Join(dir, "a.iso")); bytes.Equal(data, all[0]) {
			t.Errorf("%s is the same for another host", kind)
		}
	}
}

func TestLeftOverWork(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seed.iso")
	if err := os.MkdirAll(filepath.Join(path+".work", "tree", "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, KindNoCloud, Seed{Instance: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, files := contents(t, path); len(files) != 3 {
		t.Errorf("got %v", files)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind   string
		change func(*Seed)
		want   string
		is     error
	}{
		"kind":          {"floppy", func(*Seed) {}, `kind "floppy"`, drivers.ErrUnsupported},
		"no instance":   {KindNoCloud, func(s *Seed) { s.Instance = "" }, "no instance id", nil},
		"mac":           {KindNoCloud, func(s *Seed) { s.Network[0].MAC = "52:54" }, `"52:54" is no MAC address`, nil},
		"long mac":      {KindNoCloud, func(s *Seed) { s.Network[0].MAC = "00:00:5e:00:53:01:00:00" }, "is no MAC address", nil},
		"name":          {KindNoCloud, func(s *Seed) { s.Network[0].Name = "a b" }, `"a b" is no name`, nil},
		"same names":    {KindNoCloud, func(s *Seed) { s.Network[0].Name = "eth3" }, "two interfaces are called eth3", nil},
		"address":       {KindNoCloud, func(s *Seed) { s.Network[0].Addresses = make([]netip.Prefix, 1) }, "an address is not valid", nil},
		"user":          {KindNoCloud, func(s *Seed) { s.User = "a b" }, "no name for a user", drivers.ErrOption},
		"user data":     {KindNoCloud, func(s *Seed) { s.UserData = []byte("x") }, "nothing that cloud-init knows", drivers.ErrOption},
		"other data":    {KindConfigDrive, func(s *Seed) { s.UserData = []byte("#include\nhttps://example.com") }, "only cloud-configs and scripts", drivers.ErrOption},
		"host key":      {KindConfigDrive, func(s *Seed) { s.HostKey = []byte("x") }, "host key: not an OpenSSH", nil},
		"user of drive": {KindConfigDrive, func(s *Seed) { s.User = "a b" }, "no name for a user", drivers.ErrOption},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := full(t)
			tt.change(&s)
			path := filepath.Join(t.TempDir(), "seed.iso")
			err := Write(path, tt.kind, s)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("something was written")
			}
		})
	}
}
