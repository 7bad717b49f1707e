package cloudimage

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

type file struct {
	name string
	data []byte
}

func tarred(t *testing.T, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		head := &tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644, Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			head.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t *testing.T, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		to, err := w.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packed(t *testing.T, with func(io.Writer) (io.WriteCloser, error), data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := with(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func withXZ(w io.Writer) (io.WriteCloser, error)   { return xz.NewWriter(w) }
func withGzip(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }

// sector is what bzip2 makes of 512 times 0xeb, twice: some tools write files in parts.
const sector = "QlpoOTFBWSZTWcJsLM4AAAGAAYAIAAggADCASeoGri7kinChIYTYWZxCWmg5MUFZJlNZwmwszgAAAYABgAgACCAAMIBJ6gauLuSKcKEhhNhZnA=="

func TestUnpack(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 200<<10) // mostly nothing
	copy(raw, "\xeb\x63\x90")
	copy(raw[150_000:], "something")
	disk := qcow2(20_000)
	bz2, err := base64.StdEncoding.DecodeString(sector)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data         []byte
		packed, form string
		want         []byte // nil: its own
		err          string
	}{
		"not packed":    {disk, "", "qcow2", disk, ""},
		"xz":            {packed(t, withXZ, raw), "xz", "raw", raw, ""},
		"gz":            {packed(t, withGzip, disk), "gz", "qcow2", disk, ""},
		"zip":           {zipped(t, file{"x/", nil}, file{"x/disk.vhdx", disk}, file{"__MACOSX/x", disk}), "zip", "qcow2", disk, ""},
		"tar.xz":        {packed(t, withXZ, tarred(t, file{"x/", nil}, file{"x/disk.raw", raw})), "tar.xz", "raw", raw, ""},
		"tar.gz":        {packed(t, withGzip, tarred(t, file{"disk.raw", disk})), "tar.gz", "qcow2", disk, ""},
		"several in gz": {append(packed(t, withGzip, raw), packed(t, withGzip, raw)...), "gz", "raw", append(bytes.Clone(raw), raw...), ""},
		"bz2":           {bz2, "bz2", "raw", nil, ""},

		"xz cut":       {packed(t, withXZ, disk)[:9000], "", "", nil, "unexpected EOF"},
		"gz cut":       {packed(t, withGzip, disk)[:900], "", "", nil, "unexpected EOF"},
		"gz wrong":     {wrong(packed(t, withGzip, disk)), "", "", nil, "checksum"},
		"tar cut":      {packed(t, withGzip, tarred(t, file{"disk.raw", disk})[:5000]), "", "", nil, "unexpected EOF"},
		"tar of two":   {packed(t, withXZ, tarred(t, file{"a", raw}, file{"b", raw})), "", "", nil, "several files, a and b"},
		"empty tar":    {packed(t, withXZ, tarred(t, file{"a/", nil})), "", "", nil, "archive is empty"},
		"zip of two":   {zipped(t, file{"a", raw}, file{"b", raw}), "", "", nil, "several files, a and b"},
		"empty zip":    {append([]byte("PK\x03\x04"), zipped(t)...), "", "", nil, "archive is empty"},
		"zip cut":      {zipped(t, file{"a", disk})[:500], "", "", nil, "zip: not a valid zip file"},
		"packed page":  {packed(t, withGzip, []byte("<html>")), "", "", nil, `it is text: "<html>"`},
		"packed twice": {packed(t, withGzip, packed(t, withXZ, disk)), "", "", nil, "no whole number of sectors"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, map[string][]byte{})
			img := p.publish("/x.img", tt.data)
			c, o := newCache(t, t.TempDir())
			f, err := c.Get(t.Context(), img, nil)
			if tt.err != "" {
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				checkHint(t, err, "is that of a disk image")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == nil {
				tt.want = append(bytes.Repeat([]byte{0xeb}, 512), bytes.Repeat([]byte{0xeb}, 512)...)
			}
			checkFile(t, f, tt.want)
			all, err := c.List()
			if err != nil || len(all) != 1 || all[0].Packed != tt.packed || f.Format != tt.form || f.Sum != sha512Of(tt.data) {
				t.Errorf("got %+v, %+v, %v", f, all, err)
			}
			if strings.Contains(o.String(), "unpack x.img") != (tt.packed != "") {
				t.Errorf("said %s", o)
			}
			if files, _ := os.ReadDir(filepath.Dir(f.Path)); len(files) != 2 {
				t.Errorf("left over: %v", files)
			}
		})
	}
}

func wrong(data []byte) []byte {
	data[len(data)-6] ^= 1
	return data
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	image := func(size, offset int, magic string) []byte {
		data := make([]byte, size)
		data[0] = 0xeb
		copy(data[offset:], magic)
		return data
	}
	backed, external := qcow2(2000), qcow2(2000)
	backed[15], external[79] = 8, 4
	vmdk := func(capacity byte, description string) []byte {
		data := image(4096, 0, "KDMV\x01\x00\x00\x00")
		data[12], data[28], data[36] = capacity, 2, 4
		copy(data[1024:], description)
		return data
	}
	vhd := image(2048, 1536, "conectix")
	vhd[1536+63] = 3
	differing := bytes.Clone(vhd)
	differing[1536+63] = 4
	vdi := image(2000, 64, "\x7f\x10\xda\xbe")
	vdi[76] = 4
	tests := map[string]struct {
		data []byte
		want string
	}{
		"qcow2":             {qcow2(2000), "qcow2"},
		"vmdk":              {vmdk(1, "# Disk DescriptorFile\nparentCID=ffffffff\n"), "vmdk"},
		"vmdk with parent":  {vmdk(1, "parentCID=12345678\nParentFileNameHint=\"/etc/shadow\"\n"), "it is based on another file"},
		"vmdk of others":    {vmdk(0, "RW 1 FLAT \"/etc/shadow\" 0"), "its data are in other files"},
		"vmdk cut":          {[]byte("KDMV\x01\x00\x00\x00"), "ends in its header"},
		"vhdx":              {vhdx(0), "vhdx"},
		"vhdx with parent":  {vhdx(vhdxHasParent), "it is based on another file"},
		"vhdx cut":          {vhdx(0)[:100_000], `it has no table "regi"`},
		"vhdx in part":      {vhdx(0)[:250_000], `it has no table "metadata"`},
		"vhd":               {vhd, "vhd"},
		"vhd with parent":   {differing, "it is based on another file"},
		"vdi with parent":   {vdi, "it is based on another file"},
		"vdi":               {image(2000, 64, "\x7f\x10\xda\xbe"), "vdi"},
		"iso":               {image(0x9000, 0x8001, "CD001"), "iso"},
		"raw":               {image(2048, 510, "\x55\xaa"), "raw"},
		"ext4 without boot": {make([]byte, 4096), "raw"},
		"small":             {[]byte("\x00"), "its 1 bytes are no whole number of sectors"},
		"empty":             {nil, "it is empty"},
		"page":              {[]byte("\n<!DOCTYPE html>\n<p>ü" + strings.Repeat("x", 490)), `it is text: "<!DOCTYPE html>"`},
		"backing file":      {backed, "it is based on another file"},
		"data file":         {external, "its data are in another file"},
		"qcow1":             {append([]byte("QFI\xfb\x00\x00\x00\x01"), make([]byte, 504)...), "version 1"},
		"qcow2 cut":         {[]byte("QFI\xfb\x00\x00\x00\x03"), "ends in its header"},
		"vmdk description":  {[]byte("# Disk DescriptorFile\nversion=1\n"), "only the description"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := formatOf(path)
			if err != nil {
				got = err.Error()
				if !errors.Is(err, ErrFormat) {
					t.Errorf("no ErrFormat: %v", err)
				}
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// vhdx is as much of a VHDX as tells whether it has a parent. What it says before that is noise.
func vhdx(flags byte) []byte {
	data := make([]byte, 512<<10)
	copy(data, "vhdxfile")
	regions, metadata := data[vhdxRegions:], data[300<<10:]
	copy(regions, "regi")
	regions[8] = 2
	copy(regions[48:], vhdxMetadata)
	binary.LittleEndian.PutUint64(regions[64:], 300<<10)
	copy(metadata, "metadata")
	metadata[10] = 1
	copy(metadata[32:], vhdxParameters)
	binary.LittleEndian.PutUint32(metadata[48:], 64<<10)
	metadata[64<<10+4] = 1 | flags
	return data
}

// A published image that is another format than the catalogue says would be used wrongly.
func TestOtherFormatThanSaid(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(5000))
	img.Name, img.Format = "x", "vmdk"
	c, _ := newCache(t, t.TempDir())
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "read image x: not a usable disk image: it is qcow2, not vmdk") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(c.downloads()); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}
