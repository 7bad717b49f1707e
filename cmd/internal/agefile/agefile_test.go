package agefile_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/hostsmith/machine/cmd/internal/agefile"
)

func sealed(t *testing.T, to agefile.Recipients) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := agefile.Encrypt(&out, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSSHKeys encrypts for an SSH key, as ssh-keygen makes it.
func TestSSHKeys(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("needs ssh-keygen")
	}
	key := func(passphrase string) (public, private string) {
		file := filepath.Join(t.TempDir(), "key")
		if out, err := exec.CommandContext(t.Context(), program, "-q", "-t", "ed25519", "-N", passphrase, "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		a, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(a), string(b)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	public, private := key("")
	other, locked := key("secret")
	data := sealed(t, agefile.Recipients{Keys: []string{public, other, id.Recipient().String()}})
	if kind := agefile.KindOf(bufio.NewReader(bytes.NewReader(data))); kind != agefile.Identity {
		t.Errorf("kind %d", kind)
	}
	for name, text := range map[string]string{"ssh": private, "age": id.String(), "both": "# mine\n" + private + "\n# and\n" + id.String() + "\n"} {
		r, err := agefile.Decrypt(bytes.NewReader(data), agefile.Identities{Text: text})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	stranger, alone := key("")
	for name, text := range map[string]string{"with a passphrase": locked, "another's": alone, "public": stranger, "cut short": private[:60]} {
		_, err := agefile.Decrypt(bytes.NewReader(data), agefile.Identities{Text: text})
		if !errors.Is(err, agefile.ErrKeys) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, bad := range []string{private, "ssh-ed25519 nonsense", "age1nonsense", id.String()} {
		err := agefile.Recipients{Keys: []string{bad}}.Check()
		if !errors.Is(err, agefile.ErrKeys) || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%.20s: got %v", bad, err)
		}
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]agefile.Kind{
		"": agefile.Plain, "age": agefile.Plain, "manifest.json": agefile.Plain,
		"age-encryption.org/v1\n-> X25519 abc": agefile.Identity, "age-encryption.org/v1\n-> scrypt abc 18": agefile.Passphrase, "age-encryption.org/": agefile.Identity,
	} {
		r := bufio.NewReader(strings.NewReader(text))
		if got := agefile.KindOf(r); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
		if left, err := io.ReadAll(r); err != nil || string(left) != text {
			t.Errorf("%q: left %q, %v", text, left, err)
		}
	}
}
