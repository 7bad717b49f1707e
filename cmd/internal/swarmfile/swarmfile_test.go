package swarmfile_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/swarmfile"
)

// folder is an archive like that of an engine's folder, of some size.
func folder(t *testing.T, size int, leaveOut string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	noise := make([]byte, size)
	_, _ = rand.Read(noise)
	for name, data := range map[string][]byte{
		"swarm/certificates/swarm-node.key":                                 []byte("key"),
		"swarm/certificates/swarm-node.crt":                                 []byte("crt"),
		"swarm/raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal": noise,
	} {
		if name == leaveOut {
			continue
		}
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600})); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func identity(t *testing.T) (public, secret string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), id.String()
}

var manifest = swarmfile.Manifest{
	Format: 1, Program: "machine test", Swarm: "prod", ID: "c1", Taken: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), Machine: "m2", NodeID: "n2",
	Engine: "28.5.2", Advertise: "10.0.0.2:2377", DataPathPort: 4789, Autolock: true, Members: map[string]string{"m1": "manager", "w1": "worker"},
}

func TestBackupIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	public, secret := identity(t)
	other, third := identity(t)
	for _, c := range []struct {
		name string
		size int
		to   swarmfile.Recipients
		with swarmfile.Identities
	}{
		{"recipient", 10, swarmfile.Recipients{Keys: []string{public}}, swarmfile.Identities{Text: "# mine\n" + secret + "\n"}},
		{"several parts, two recipients", 3 << 20, swarmfile.Recipients{Keys: []string{other, public}}, swarmfile.Identities{Text: third}},
		{"passphrase", 10, swarmfile.Recipients{Passphrase: "correct horse"}, swarmfile.Identities{Passphrase: "correct horse"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := folder(t, c.size, "")
			var file bytes.Buffer
			if err := swarmfile.Write(&file, c.to, manifest, "SWMKEY-1-x", bytes.NewReader(in)); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"SWMKEY", "prod", "manifest"} {
				if bytes.Contains(file.Bytes(), []byte(secret)) {
					t.Errorf("%s can be read", secret)
				}
			}
			b, err := swarmfile.Open(bytes.NewReader(file.Bytes()), c.with)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := b.Folder(&out); err != nil || !bytes.Equal(out.Bytes(), in) {
				t.Errorf("%d of %d bytes, %v", out.Len(), len(in), err)
			}
			if !reflect.DeepEqual(b.Manifest, manifest) || b.UnlockKey != "SWMKEY-1-x" {
				t.Errorf("got %+v, %q", b.Manifest, b.UnlockKey)
			}
			if _, err := swarmfile.Verify(bytes.NewReader(file.Bytes()), c.with); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	public, secret := identity(t)
	_, stranger := identity(t)
	to, with := swarmfile.Recipients{Keys: []string{public}}, swarmfile.Identities{Text: secret}
	write := func(in []byte) []byte {
		var b bytes.Buffer
		if err := swarmfile.Write(&b, to, manifest, "", bytes.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := write(folder(t, 200<<10, ""))
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		file []byte
		with swarmfile.Identities
		want error
	}{
		"another's":      {good, swarmfile.Identities{Text: stranger}, agefile.ErrKeys},
		"no identity":    {good, swarmfile.Identities{}, agefile.ErrKeys},
		"no key at all":  {good, swarmfile.Identities{Text: "hello " + secret}, agefile.ErrKeys},
		"passphrase":     {good, swarmfile.Identities{Passphrase: "x"}, agefile.ErrKeys},
		"not encrypted":  {[]byte("hello"), with, swarmfile.ErrFormat},
		"empty":          {nil, with, swarmfile.ErrFormat},
		"a key missing":  {write(folder(t, 10, "swarm/certificates/swarm-node.key")), with, swarmfile.ErrDamaged},
		"no log":         {write(folder(t, 10, "swarm/raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal")), with, swarmfile.ErrDamaged},
		"no folder":      {write(nil), with, swarmfile.ErrDamaged},
		"a byte changed": {flipped, with, nil},
		"cut off":        {good[:len(good)-70000], with, nil},
		"the end cut":    {good[:len(good)-1], with, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := swarmfile.Verify(bytes.NewReader(c.file), c.with)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	for name, to := range map[string]swarmfile.Recipients{
		"none": {}, "both": {Keys: []string{public}, Passphrase: "x"}, "secret key": {Keys: []string{secret}}, "nonsense": {Keys: []string{"age1x"}},
	} {
		if err := swarmfile.Write(io.Discard, to, manifest, "", strings.NewReader("")); !errors.Is(err, agefile.ErrKeys) || to.Check() == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
