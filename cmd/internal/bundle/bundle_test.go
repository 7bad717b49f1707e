package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/bundle"
)

func example() bundle.Bundle {
	return bundle.Bundle{
		Manifest: bundle.Manifest{
			Format: 1, Program: "machine test", System: "linux/amd64", Created: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
			Machines: []bundle.Machine{{Name: "m1", Driver: "generic", Record: 4, Secrets: true}, {Name: "m2", Driver: "none", Record: 4}},
			Swarms:   []string{"prod"}, CA: true,
		},
		Machines: map[string]bundle.Files{
			"m1": {"config.json": []byte(`{"ConfigVersion":4}`), "secrets.json": []byte(`{}`), "ssh_key": bytes.Repeat([]byte{7}, 3000), "known_hosts": {}},
			"m2": {"config.json": []byte(`{}`)},
		},
		Swarms: map[string][]byte{"prod": []byte(`{}`)},
		CA:     bundle.Files{"ca.pem": []byte("cert"), "ca-key.pem": []byte("key")},
	}
}

func write(t testing.TB, to *agefile.Recipients, b bundle.Bundle) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := bundle.Write(&out, to, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func with(i agefile.Identities) bundle.KeysFunc {
	return func(agefile.Kind) (agefile.Identities, error) { return i, nil }
}

const (
	sshPublic = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVVYp1bDY2WtAaigCCPZ3ZslXFKsm4D4r0cTZYjdcfX ada@example"
	unasked   = "asked for keys of a bundle in the clear"
)

func TestBundleIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	want := example()
	for name, c := range map[string]struct {
		to   *agefile.Recipients
		kind agefile.Kind
		keys agefile.Identities
	}{
		"in the clear": {nil, agefile.Plain, agefile.Identities{}},
		"recipient":    {&agefile.Recipients{Keys: []string{id.Recipient().String(), sshPublic}}, agefile.Identity, agefile.Identities{Text: "# mine\n" + id.String()}},
		"passphrase":   {&agefile.Recipients{Passphrase: "correct horse"}, agefile.Passphrase, agefile.Identities{Passphrase: "correct horse"}},
	} {
		data := write(t, c.to, want)
		got, err := bundle.Read(bytes.NewReader(data), func(k agefile.Kind) (agefile.Identities, error) {
			if k != c.kind || k == agefile.Plain {
				return c.keys, fmt.Errorf("%s: kind %d", unasked, k)
			}
			return c.keys, nil
		})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if c.to != nil && bytes.Contains(data, []byte("known_hosts")) {
			t.Errorf("%s: it is readable", name)
		}
	}
	if a, b := write(t, nil, want), write(t, nil, want); !bytes.Equal(a, b) {
		t.Error("the same bundle is not written the same")
	}
}

// archive makes a tar archive of any entries, with an end that vouches for the regular ones.
func archive(t testing.TB, entries ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	sum, n := sha256.New(), 0
	for _, h := range entries {
		data := h.PAXRecords["DATA"]
		h.PAXRecords = nil
		h.Size = int64(len(data))
		if h.Typeflag != 0 && h.Typeflag != tar.TypeReg {
			h.Size, data = 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%d %s %d ", len(h.Name), h.Name, len(data))
		sum.Write([]byte(data))
		n++
	}
	end := fmt.Sprintf(`{"files":%d,"sha256":%q}`, n, hex.EncodeToString(sum.Sum(nil)))
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "end.json", Size: int64(len(end))})); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(end))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func file(name, data string) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o600, PAXRecords: map[string]string{"DATA": data}}
}

const oneMachine = `{"format":1,"machines":[{"name":"m1"}]}`

func TestHostileBundles(t *testing.T) {
	t.Parallel()
	manifest, record := func() *tar.Header { return file("manifest.json", oneMachine) }, func() *tar.Header { return file("machines/m1/config.json", "{}") }
	good := archive(t, manifest(), record())
	if _, err := bundle.Read(bytes.NewReader(good), nil); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	sealed := write(t, &agefile.Recipients{Keys: []string{id.Recipient().String()}}, example())
	flipped := bytes.Clone(good)
	flipped[512*3+1] ^= 1 // in the record
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":             {nil, bundle.ErrFormat},
		"no archive":          {[]byte(strings.Repeat("hello ", 500)), bundle.ErrFormat},
		"no manifest":         {archive(t, record()), bundle.ErrFormat},
		"manifest is no JSON": {archive(t, file("manifest.json", "{")), bundle.ErrFormat},
		"format 0":            {archive(t, file("manifest.json", "{}")), bundle.ErrFormat},
		"newer":               {archive(t, file("manifest.json", `{"format":2,"program":"machine 9"}`), file("new/things", "")), bundle.ErrFuture},
		"up and away":         {archive(t, manifest(), record(), file("machines/m1/../../x", "")), bundle.ErrFormat},
		"up":                  {archive(t, manifest(), record(), file("machines/../config.json", "")), bundle.ErrFormat},
		"absolute":            {archive(t, manifest(), record(), file("/etc/passwd", "")), bundle.ErrFormat},
		"backslash":           {archive(t, manifest(), record(), file(`machines/m1/..\x`, "")), bundle.ErrFormat},
		"stream of a file":    {archive(t, manifest(), record(), file(`machines/m1/a:b`, "")), bundle.ErrFormat},
		"hidden":              {archive(t, manifest(), record(), file("machines/m1/.x", "")), bundle.ErrFormat},
		"deep":                {archive(t, manifest(), record(), file("machines/m1/a/b", "")), bundle.ErrFormat},
		"elsewhere":           {archive(t, manifest(), record(), file("locks/x", "")), bundle.ErrFormat},
		"other certificate":   {archive(t, manifest(), record(), file("certs/key.pem", "")), bundle.ErrFormat},
		"long name":           {archive(t, manifest(), record(), file("machines/m1/"+strings.Repeat("x", 300), "")), bundle.ErrFormat},
		"twice":               {archive(t, manifest(), record(), record()), bundle.ErrFormat},
		"untold machine":      {archive(t, manifest(), record(), file("machines/m2/config.json", "")), bundle.ErrFormat},
		"missing machine":     {archive(t, manifest()), bundle.ErrFormat},
		"untold swarm":        {archive(t, manifest(), record(), file("swarms/a.json", "")), bundle.ErrFormat},
		"untold authority":    {archive(t, manifest(), record(), file("certs/ca.pem", "")), bundle.ErrFormat},
		"link":                {archive(t, manifest(), record(), &tar.Header{Name: "machines/m1/ssh_key", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}), bundle.ErrFormat},
		"hard link":           {archive(t, manifest(), record(), &tar.Header{Name: "machines/m1/ssh_key", Typeflag: tar.TypeLink, Linkname: "machines/m1/config.json"}), bundle.ErrFormat},
		"folder":              {archive(t, manifest(), record(), &tar.Header{Name: "machines/m1/ssh_key", Typeflag: tar.TypeDir}), bundle.ErrFormat},
		"large file":          {archive(t, manifest(), record(), file("machines/m1/x", strings.Repeat("x", 1<<20+1))), bundle.ErrFormat},
		"no end":              {good[:512*5], bundle.ErrFormat},
		"goes on":             {append(bytes.Clone(good[:len(good)-1024]), good...), bundle.ErrFormat},
		"bit flipped":         {flipped, bundle.ErrFormat},
		"sealed, cut short":   {sealed[:len(sealed)-20], bundle.ErrFormat},
		"sealed, header cut":  {sealed[:40], bundle.ErrFormat},
	} {
		_, err := bundle.Read(bytes.NewReader(c.data), with(agefile.Identities{Text: id.String()}))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Read(bytes.NewReader(sealed), with(agefile.Identities{Text: stranger.String()})); !errors.Is(err, agefile.ErrKeys) {
		t.Errorf("another's key: got %v", err)
	}
	gone := errors.New("nobody there")
	if _, err := bundle.Read(bytes.NewReader(sealed), func(agefile.Kind) (agefile.Identities, error) { return agefile.Identities{}, gone }); !errors.Is(err, gone) {
		t.Errorf("no passphrase: got %v", err)
	}
}

// TestTotalIsBounded: many files of a size that is allowed are not.
func TestTotalIsBounded(t *testing.T) {
	t.Parallel()
	var all []*tar.Header
	all = append(all, file("manifest.json", oneMachine), file("machines/m1/config.json", "{}"))
	for i := range 65 {
		all = append(all, file(fmt.Sprintf("machines/m1/f%d", i), strings.Repeat("x", 1<<20)))
	}
	if _, err := bundle.Read(bytes.NewReader(archive(t, all...)), nil); !errors.Is(err, bundle.ErrFormat) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
}

// FuzzRead demands that nothing that is accepted has a name that leads out of its folder, and that it is written as it
// was read.
func FuzzRead(f *testing.F) {
	f.Add(write(f, nil, example()))
	f.Add(archive(f, file("manifest.json", oneMachine), file("machines/m1/config.json", "{}"), file("machines/m1/../../x", "")))
	f.Add(archive(f, file("manifest.json", `{"format":2}`)))
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAA 30\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Read(bytes.NewReader(data), with(agefile.Identities{Text: "AGE-SECRET-KEY-1"}))
		if err != nil {
			if !errors.Is(err, bundle.ErrFormat) && !errors.Is(err, bundle.ErrFuture) && !errors.Is(err, agefile.ErrKeys) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for name, files := range b.Machines {
			for file := range files {
				for _, word := range []string{name, file} {
					if word == "" || word[0] == '.' || strings.ContainsAny(word, "/\\:\x00") {
						t.Errorf("accepted %q of %q", file, name)
					}
				}
			}
		}
		again, err := bundle.Read(bytes.NewReader(write(t, nil, b)), nil)
		if err != nil || !reflect.DeepEqual(again, b) {
			t.Errorf("read again: %+v, %v, was %+v", again, err, b)
		}
	})
}
