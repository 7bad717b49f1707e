package managerkey_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/managerkey"
)

// The files of a manager with Engine 20.10 that was made for this test and is gone.
const unlockKey = "SWMKEY-1-tqdlw/uExvV+pYPgfC3F1opRz9GrVzrjK1kYPQncjaU"

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	locked := file(t, "swarm-node.key")
	if !managerkey.Encrypted(locked) {
		t.Fatal("not encrypted")
	}
	got, err := managerkey.Unlock(locked, unlockKey)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(got)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 || managerkey.Encrypted(got) {
		t.Fatalf("got\n%s", got)
	}
	dek, err := base64.StdEncoding.DecodeString(block.Headers["raft-dek"])
	if err != nil || len(dek) != 34 || dek[0] != 0x12 || dek[1] != 32 || len(block.Headers) != 1 {
		t.Errorf("headers %v", block.Headers)
	}
	if _, err := tls.X509KeyPair(file(t, "swarm-node.crt"), got); err != nil {
		t.Errorf("the key is not that of the certificate: %v", err)
	}
	again, err := managerkey.Unlock(got, unlockKey)
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("a plain file became\n%s, %v", again, err)
	}
}

func TestUnlockRefuses(t *testing.T) {
	t.Parallel()
	locked := string(file(t, "swarm-node.key"))
	other := "SWMKEY-1-" + base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for name, c := range map[string]struct {
		file, key string
		want      error
	}{
		"another key":     {locked, other, managerkey.ErrKey},
		"no key":          {locked, "", managerkey.ErrKey},
		"a token":         {locked, strings.Replace(unlockKey, "SWMKEY", "SWMTKN", 1), managerkey.ErrKey},
		"no PEM":          {"hello", unlockKey, managerkey.ErrFormat},
		"broken key":      {strings.Replace(locked, "MIHe", "MIHf", 1), unlockKey, managerkey.ErrFormat},
		"broken header":   {strings.Replace(locked, "raft-dek: CAES", "raft-dek: CAFS", 1), unlockKey, managerkey.ErrFormat},
		"changed header":  {strings.Replace(locked, "CAESMMGQ", "CAESMMGR", 1), unlockKey, managerkey.ErrKey},
		"another cipher":  {strings.Replace(locked, "raft-dek: CAES", "raft-dek: CAIS", 1), unlockKey, managerkey.ErrFormat},
		"not even base64": {strings.Replace(locked, "raft-dek: CAES", "raft-dek: ????", 1), unlockKey, managerkey.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := managerkey.Unlock([]byte(c.file), c.key)
			if !errors.Is(err, c.want) || strings.Contains(err.Error(), "tqdlw") {
				t.Errorf("got %q, %v, want %v", got, err, c.want)
			}
		})
	}
}

func FuzzUnlock(f *testing.F) {
	data, err := os.ReadFile("testdata/swarm-node.key")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := managerkey.Unlock(data, unlockKey)
		if err == nil && managerkey.Encrypted(got) {
			t.Errorf("still encrypted\n%s", got)
		}
	})
}
