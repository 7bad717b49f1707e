package cloudinit

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
)

var update = flag.Bool("update", false, "write the golden files")

func hostKey(t testing.TB) []byte {
	t.Helper()
	key, err := os.ReadFile("testdata/host_key")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func fullSeed(t testing.TB) Seed {
	return Seed{
		Hostname: "m1",
		User:     "machine",
		Keys:     []string{`ssh-ed25519 AAAAC3Nz one: "quoted" # {`, "ssh-ed25519 AAAAC3Nz two ü"},
		HostKey:  hostKey(t),
	}
}

// content is a part as cloud-init sees it.
type content struct{ Kind, Merge, Body string }

func open(t testing.TB, data []byte) []content {
	t.Helper()
	if bytes.HasPrefix(data, []byte("#")) {
		return []content{{Kind: kindOf(data), Body: string(data)}}
	}
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var all []content
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(decoder(p.Header.Get("Content-Transfer-Encoding"), p))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content{p.Header.Get("Content-Type"), p.Header.Get("X-Merge-Type"), string(body)})
	}
}

func zipped(t testing.TB, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNothingOfTheOwner(t *testing.T) {
	t.Parallel()
	key := string(hostKey(t))
	tests := map[string]struct {
		seed Seed
		want map[string]any
	}{
		"nothing": {Seed{}, map[string]any{}},
		"default user": {
			Seed{Keys: []string{"k1", "k2"}},
			map[string]any{"ssh_authorized_keys": []any{"k1", "k2"}},
		},
		"all": {
			Seed{Hostname: "m1", User: "u", Keys: []string{"k"}, HostKey: []byte(key)},
			map[string]any{
				"hostname": "m1", "preserve_hostname": false,
				"ssh_deletekeys": true, "ssh_keys": map[string]any{"ed25519_private": key},
				"users": []any{"default", map[string]any{
					"name": "u", "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash",
					"lock_passwd": true, "no_user_group": true, "ssh_authorized_keys": []any{"k"},
				}},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, user := range [][]byte{nil, {}, []byte(" \n")} {
				data, err := UserData(tt.seed, user)
				if err != nil {
					t.Fatal(err)
				}
				body, ok := bytes.CutPrefix(data, []byte("#cloud-config\n"))
				if !ok {
					t.Fatalf("no cloud-config:\n%s", data)
				}
				var got map[string]any
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// What the owner gives arrives whole, before our parts.
func TestOwnersParts(t *testing.T) {
	t.Parallel()
	const mimed = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n" +
		"--b\nContent-Type: text/cloud-config\nX-Merge-Type: list(append)\n\npackages: [jq]\n" +
		"--b\nContent-Type: multipart/mixed; boundary=\"c\"\n\n" +
		"--c\nContent-Type: text/plain\n\n#!/bin/sh\necho inner\n--c--\n\n" +
		"--b\nContent-Type: text/x-shellscript; charset=utf-8\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3NoCmVj\naG8gw7wK\n--b--\n"
	tests := map[string]struct {
		user []byte
		want []content
	}{
		"cloud-config": {[]byte("#cloud-config\npackages: [jq]\n"), []content{{"text/cloud-config", "", "#cloud-config\npackages: [jq]\n"}}},
		"script":       {[]byte("#!/bin/sh\necho ü\n"), []content{{"text/x-shellscript", "", "#!/bin/sh\necho ü\n"}}},
		"carriage":     {[]byte("#!/bin/sh\r\necho\r\n"), []content{{"text/x-shellscript", "", "#!/bin/sh\r\necho\r\n"}}},
		"long line":    {[]byte("#!/bin/sh\n#" + strings.Repeat("x", 2000)), []content{{"text/x-shellscript", "", "#!/bin/sh\n#" + strings.Repeat("x", 2000)}}},
		"no newline":   {[]byte("#!/bin/sh\nx"), []content{{"text/x-shellscript", "", "#!/bin/sh\nx"}}},
		"boothook":     {[]byte("#cloud-boothook\nx\n"), []content{{"text/cloud-boothook", "", "#cloud-boothook\nx\n"}}},
		"include":      {[]byte("#include\nhttps://h/x\n"), []content{{"text/x-include-url", "", "#include\nhttps://h/x\n"}}},
		"include once": {[]byte("#include-once\nhttps://h/x\n"), []content{{"text/x-include-once-url", "", "#include-once\nhttps://h/x\n"}}},
		"jinja":        {[]byte("## template: jinja\n#cloud-config\n"), []content{{"text/jinja2", "", "## template: jinja\n#cloud-config\n"}}},
		"archive":      {[]byte("#cloud-config-archive\n- x\n"), []content{{"text/cloud-config-archive", "", "#cloud-config-archive\n- x\n"}}},
		"patch":        {[]byte("#cloud-config-jsonp\n[]\n"), []content{{"text/cloud-config-jsonp", "", "#cloud-config-jsonp\n[]\n"}}},
		"handler":      {[]byte("#part-handler\n"), []content{{"text/part-handler", "", "#part-handler\n"}}},
		"spaces":       {[]byte("\n  #Cloud-Config\na: 1\n"), []content{{"text/cloud-config", "", "\n  #Cloud-Config\na: 1\n"}}},
		"gzip":         {zipped(t, "#!/bin/sh\n"), []content{{"text/x-shellscript", "", "#!/bin/sh\n"}}},
		"mime": {[]byte(mimed), []content{
			{"text/cloud-config", "list(append)", "packages: [jq]"},
			{"text/x-shellscript", "", "#!/bin/sh\necho inner"},
			{"text/x-shellscript", "", "#!/bin/sh\necho ü\n"},
		}},
		"gzip of mime": {zipped(t, mimed), []content{
			{"text/cloud-config", "list(append)", "packages: [jq]"},
			{"text/x-shellscript", "", "#!/bin/sh\necho inner"},
			{"text/x-shellscript", "", "#!/bin/sh\necho ü\n"},
		}},
		"mime of one": {
			[]byte("Content-Type: text/cloud-config\nMIME-Version: 1.0\n\na: 1\n"),
			[]content{{"text/cloud-config", "", "a: 1\n"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := UserData(fullSeed(t), tt.user)
			if err != nil {
				t.Fatal(err)
			}
			got := open(t, data)
			if len(got) != len(tt.want)+3 {
				t.Fatalf("%d parts:\n%s", len(got), data)
			}
			if diff := cmp.Diff(tt.want, got[:len(got)-3]); diff != "" {
				t.Error(diff)
			}
			again, err := UserData(fullSeed(t), tt.user)
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("not the same a second time: %v", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	seed := fullSeed(t)
	tests := map[string]struct {
		user []byte
		want string
	}{
		"words":        {[]byte("hello\nworld"), `nothing that cloud-init knows: "hello"`},
		"shell":        {[]byte("echo hello: x\n\nfoo"), "nothing that cloud-init knows"},
		"binary":       {[]byte("\x7fELF\x00\x01"), "nothing that cloud-init knows"},
		"gzip of gzip": {zipped(t, string(zipped(t, "#!"))), "nothing that cloud-init knows"},
		"gzip cut":     {zipped(t, "#!/bin/sh\n")[:15], "decompress user data: unexpected EOF"},
		"gzip bomb":    {zipped(t, "#!"+strings.Repeat("0", maxUserData)), "more than 16777216 bytes when it is decompressed"},
		"mime part":    {[]byte("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>\n--b--\n"), `"text/html"`},
		"mime plain":   {[]byte("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b--\n"), `"hello"`},
		"mime cut":     {[]byte("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\na: 1\n"), "cannot be read: unexpected EOF"},
		"mime type":    {[]byte("MIME-Version: 1.0\nContent-Type: /\n\nx"), "Content-Type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := UserData(seed, tt.user)
			if !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if name == "words" {
				var hint *drivers.HintError
				if !errors.As(err, &hint) || !strings.Contains(hint.Advice, "#cloud-config") {
					t.Errorf("no advice in %v", err)
				}
			}
		})
	}
}

func TestSeedRefused(t *testing.T) {
	t.Parallel()
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed25519.NewKeyFromSeed(make([]byte, 32)), "", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		seed Seed
		want string
	}{
		"two keys in one": {Seed{Keys: []string{"ssh-ed25519 A\nssh-ed25519 B"}}, "public key 1"},
		"no key":          {Seed{Keys: []string{"k", ""}}, "public key 2"},
		"control":         {Seed{Hostname: "a\x7f"}, "host name"},
		"user":            {Seed{User: "a b"}, "no name for a user"},
		"host key":        {Seed{HostKey: []byte("x")}, "host key: not an OpenSSH private key in PEM"},
		"other pem":       {Seed{HostKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"})}, "host key: not an OpenSSH private key in PEM"},
		"empty pem":       {Seed{HostKey: pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY"})}, "host key: not an OpenSSH private key"},
		"cut pem":         {Seed{HostKey: pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("openssh-key-v1\x00\x00\x00\x00\x04none")})}, "ends early"},
		"passphrase":      {Seed{HostKey: pem.EncodeToMemory(locked)}, "has a passphrase"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := UserData(tt.seed, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	long := []byte("#!/bin/sh\n" + strings.Repeat("echo hello\n", 100))
	if got, err := Fit(long, len(long)); err != nil || !bytes.Equal(got, long) {
		t.Errorf("what fits is changed: %v", err)
	}
	packed, err := Fit(long, 200)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decompress(packed)
	if err != nil || len(packed) > 200 || !bytes.Equal(again, long) {
		t.Errorf("%d bytes, %v", len(packed), err)
	}
	_, err = Fit(long, 20)
	if !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), "has 1110 bytes, compressed ") || !strings.Contains(err.Error(), "and may have 20") {
		t.Errorf("got %v", err)
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
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	withKey := fullSeed(t)
	for name, tt := range map[string]struct {
		seed Seed
		user string
	}{
		"plain":        {withKey, ""},
		"after":        {withKey, "#cloud-config\nhostname: theirs\nusers: [default, bob]\n"},
		"default-user": {Seed{Keys: []string{"ssh-ed25519 AAAA ours"}}, "#!/bin/sh\necho ü\n"},
	} {
		data, err := UserData(tt.seed, []byte(tt.user))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".golden", data)
	}
}

func FuzzUserData(f *testing.F) {
	f.Add("m1", "machine", "ssh-ed25519 AAAA x", []byte("#cloud-config\na: 1\n"))
	f.Add("m1", "", "k", []byte("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\na: 1\n--b--\n"))
	f.Add("m1", "", "k", zipped(f, "#!/bin/sh\nü\r\n"))
	key := hostKey(f)
	f.Fuzz(func(t *testing.T, hostname, user, authorized string, own []byte) {
		s := Seed{Hostname: hostname, User: user, Keys: []string{authorized}, HostKey: key}
		data, err := UserData(s, own)
		if err != nil {
			return
		}
		var ours int
		for _, p := range open(t, data) {
			if !known(p.Kind) {
				t.Errorf("a part of type %q", p.Kind)
			}
			if strings.Contains(p.Body, "OPENSSH PRIVATE KEY") {
				ours++
			}
		}
		if ours == 0 {
			t.Errorf("our part is not there:\n%s", data)
		}
	})
}

func TestBusybox(t *testing.T) {
	t.Parallel()
	s := fullSeed(t)
	s.Busybox = true
	data, err := UserData(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ln -s doas /usr/bin/sudo", `"permit nopass machine\n"`, `"shell": "/bin/sh"`, `"lock_passwd": false`, `"hashed_passwd": "*"`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("no %s in %s", want, data)
		}
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	ours := []byte("#cloud-config\nhostname: m1\n")
	if got, err := Archive(ours, nil); err != nil || !bytes.Equal(got, ours) {
		t.Errorf("alone: %s, %v", got, err)
	}
	got, err := Archive(ours, zipped(t, "#!/bin/sh\necho ü\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []content{{Kind: "text/x-shellscript", Body: "#!/bin/sh\necho ü\n"}, {Kind: "text/cloud-config", Body: string(ours)}}
	if diff := cmp.Diff(want, open(t, got)); diff != "" {
		t.Error(diff)
	}
	if !bytes.HasPrefix(got, []byte("Content-Type: multipart/mixed;")) {
		t.Errorf("coreos-cloudinit knows an archive by its first line: %s", got)
	}
	for _, user := range []string{"#cloud-boothook\nx", "#include\nx", "## template: jinja\n#cloud-config\n", `{"ignition": {}}`} {
		if _, err := Archive(ours, []byte(user)); !errors.Is(err, drivers.ErrOption) {
			t.Errorf("%q: got %v", user, err)
		}
	}
}

func TestPublicKey(t *testing.T) {
	t.Parallel()
	key := hostKey(t)
	private, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	line, kind, err := PublicKey(key)
	if err != nil || kind != "ed25519" || line+"\n" != string(ssh.MarshalAuthorizedKey(private.PublicKey())) {
		t.Errorf("got %s, %s, %v", line, kind, err)
	}
	if _, _, err := PublicKey([]byte("x")); err == nil {
		t.Error("no error")
	}
}
