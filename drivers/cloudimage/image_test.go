package cloudimage

import (
	"errors"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestCatalogue(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, img := range Catalogue() {
		key := strings.Join(append([]string{img.Name, img.Arch, img.Format}, img.Firmware...), " ")
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		for what, ok := range map[string]bool{
			"name":     img.Name != "" && strings.Trim(img.Name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "",
			"summary":  img.Summary != "",
			"arch":     slices.Contains([]string{"amd64", "arm64"}, img.Arch),
			"format":   slices.Contains([]string{"qcow2", "raw", "vmdk", "vhdx"}, img.Format),
			"packed":   slices.Contains([]string{"", "xz", "gz", "bz2", "zip", "tar.xz"}, img.Packed) && strings.HasSuffix(img.URL, img.Packed),
			"user":     img.User != "",
			"seed":     slices.Contains([]string{"nocloud", "configdrive"}, img.Seed),
			"firmware": len(img.Firmware) > 0 && (img.Arch == "amd64" || slices.Equal(img.Firmware, []string{"uefi"})),
			"checksum": img.Checksum == "" && img.Sums != "", // published images are replaced
		} {
			if !ok {
				t.Errorf("%s: bad %s", key, what)
			}
		}
		for _, address := range []string{img.URL, img.Sums} {
			if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.RawQuery != "" || path.Clean(u.Path) != u.Path {
				t.Errorf("%s: bad URL %q", key, address)
			}
		}
	}
	for _, name := range []string{"debian-12", "debian-13", "ubuntu-24.04", "rocky-9", "flatcar"} {
		for _, arch := range []string{"amd64", "arm64"} {
			if _, err := Find(name, arch, []string{"qcow2"}, "uefi"); err != nil {
				t.Error(err)
			}
		}
		if _, err := Find(name, "amd64", nil, "bios"); err != nil {
			t.Error(err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name, arch string
		formats    []string
		firmware   []string
		want       string // end of the URL, or of the error
		hint       string
	}{
		"first format":  {"debian-12", "amd64", []string{"vmdk", "raw", "qcow2"}, nil, "debian-12-generic-amd64.tar.xz", ""},
		"other order":   {"debian-12", "amd64", []string{"qcow2", "raw"}, nil, "debian-12-generic-amd64.qcow2", ""},
		"any format":    {"debian-13", "arm64", nil, nil, "debian-13-generic-arm64.qcow2", ""},
		"bios":          {"alpine-3.24", "amd64", []string{"qcow2"}, []string{"bios"}, "-x86_64-bios-cloudinit-r0.qcow2", ""},
		"uefi":          {"alpine-3.24", "amd64", []string{"qcow2"}, []string{"uefi"}, "-x86_64-uefi-cloudinit-r0.qcow2", ""},
		"either":        {"alpine-3.24", "amd64", []string{"qcow2"}, []string{"uefi", "bios"}, "-x86_64-bios-cloudinit-r0.qcow2", ""},
		"no such name":  {"debian-21", "amd64", nil, nil, `there is no image "debian-21"`, "did you mean debian-1"},
		"strange name":  {"windows", "amd64", nil, nil, `there is no image "windows"`, "the images are alpine-3.24, debian-12"},
		"no such arch":  {"rocky-9", "riscv64", nil, nil, "there is no image rocky-9 for riscv64", "amd64 qcow2 (bios, uefi)"},
		"no such form":  {"rocky-9", "amd64", []string{"vdi", "vhd"}, nil, "there is no image rocky-9 for amd64 as vdi or vhd", "arm64 qcow2 (uefi)"},
		"bios on arm64": {"rocky-9", "arm64", []string{"qcow2"}, []string{"bios"}, "rocky-9 for arm64 as qcow2 that boots with bios", "published are"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img, err := Find(tt.name, tt.arch, tt.formats, tt.firmware...)
			checkHint(t, err, tt.hint)
			if err != nil && !errors.Is(err, drivers.ErrOption) {
				t.Errorf("no ErrOption: %v", err)
			}
			if got := img.URL + errText(err); !strings.HasSuffix(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func checkHint(t *testing.T, err error, want string) {
	t.Helper()
	var hint *drivers.HintError
	got := ""
	if errors.As(err, &hint) {
		got = hint.Advice
	}
	if !strings.Contains(got, want) || want == "" && got != "" {
		t.Errorf("got advice %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // a file beside
	for _, name := range []string{"disk.img", "debian-12"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here := fileURL(dir).String() + "/"
	sum256, sum512 := strings.Repeat("0a", 32), strings.Repeat("0B", 64)
	tests := map[string]struct {
		value, checksum string
		want            Image
		err             string
	}{
		"https":             {"https://example.com/a/x.qcow2", "", Image{URL: "https://example.com/a/x.qcow2"}, ""},
		"fragment":          {"https://example.com/x#y", "", Image{URL: "https://example.com/x"}, ""},
		"path":              {"./sub/x.raw", "", Image{URL: here + "sub/x.raw"}, ""},
		"strange path":      {"./a b%20ü?.raw", "", Image{URL: here + "a%20b%2520%C3%BC%3F.raw"}, ""},
		"file here":         {"disk.img", "", Image{URL: here + "disk.img"}, ""},
		"file URL":          {"file:///a/b.vmdk", "", Image{URL: "file:///a/b.vmdk"}, ""},
		"sum":               {"https://example.com/x", sum256, Image{URL: "https://example.com/x", Checksum: "sha256:" + sum256}, ""},
		"named sum":         {"https://example.com/x", " SHA512:" + sum512 + "\n", Image{URL: "https://example.com/x", Checksum: "sha512:" + strings.ToLower(sum512)}, ""},
		"sums":              {"https://example.com/x", "https://example.com/SUMS", Image{URL: "https://example.com/x", Sums: "https://example.com/SUMS"}, ""},
		"sums as in packer": {"https://example.com/x", "file:https://example.com/SUMS", Image{URL: "https://example.com/x", Sums: "https://example.com/SUMS"}, ""},
		"http with sum":     {"http://example.com/x", "sha256:" + sum256, Image{URL: "http://example.com/x", Checksum: "sha256:" + sum256}, ""},
		"http with sums":    {"http://example.com/x", "https://example.com/SUMS", Image{URL: "http://example.com/x", Sums: "https://example.com/SUMS"}, ""},
		"http with none":    {"http://example.com/x", "none", Image{URL: "http://example.com/x", Checksum: NoChecksum}, ""},
		"http loopback":     {"http://127.0.0.1:8080/x", "", Image{URL: "http://127.0.0.1:8080/x"}, ""},
		"http localhost":    {"http://localhost/x", "", Image{URL: "http://localhost/x"}, ""},
		"http loopback 6":   {"http://[::1]:80/x", "", Image{URL: "http://[::1]:80/x"}, ""},

		"http":             {"http://example.com/x", "", Image{}, "nobody vouches"},
		"http like lo":     {"http://127.0.0.1.example.com/x", "", Image{}, "nobody vouches"},
		"sums over http":   {"https://example.com/x", "http://example.com/SUMS", Image{}, "plain HTTP does not tell"},
		"password":         {"https://me:secret@example.com/x", "", Image{}, "a user or a password in it"},
		"other scheme":     {"ftp://example.com/x", "", Image{}, "want http://, https:// or file:///PATH"},
		"file with a host": {"file://a/b", "", Image{}, "want http://, https:// or file:///PATH"},
		"no host":          {"https:///x", "", Image{}, "want http://"},
		"bad URL":          {"https://exa mple.com/", "", Image{}, "invalid character"},
		"unknown":          {"x.img", "", Image{}, `there is no image "x.img"`},
		"md5":              {"https://example.com/x", "md5:" + sum256[:32], Image{}, "32 digits, which neither"},
		"wrong kind":       {"https://example.com/x", "sha512:" + sum256, Image{}, "64 digits are those of sha256"},
		"no digits":        {"https://example.com/x", "sha256:xyz", Image{}, "not in hexadecimal"},
		"short":            {"https://example.com/x", "abcd", Image{}, "neither SHA-256 nor SHA-512"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tt.value, tt.checksum, "amd64", nil)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, drivers.ErrOption) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				if err != nil && strings.Contains(err.Error(), "secret") {
					t.Error("the password is told")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.URL != tt.want.URL || got.Checksum != tt.want.Checksum || got.Sums != tt.want.Sums || got.Arch != "amd64" || got.Seed != "nocloud" {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	for value, want := range map[string]Image{
		"https://example.com/generic_alpine-3.24.1-x86_64-bios-cloudinit-r0.qcow2": {Busybox: true, Seed: "nocloud"},
		"./flatcar_production_qemu_image.img":                                      {User: "core", Seed: "configdrive"},
	} {
		got, err := Parse(value, "", "amd64", nil)
		if err != nil || got.Busybox != want.Busybox || got.User != want.User || got.Seed != want.Seed {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
	got, err := Parse("debian-12", sum256, "arm64", []string{"qcow2"})
	if err != nil || got.Name != "debian-12" || got.Checksum != "sha256:"+sum256 || got.Sums != "" {
		t.Errorf("a name of the catalogue: %+v, %v", got, err)
	}
	got, err = Parse("debian-12", "", "arm64", nil)
	if err != nil || !strings.HasSuffix(got.Sums, "SHA512SUMS") {
		t.Errorf("a name of the catalogue: %+v, %v", got, err)
	}
}
