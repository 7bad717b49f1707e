package etcd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/hostsmith/machine/store"
)

// sealedPrefix begins a value that is encrypted.
const sealedPrefix = "age-encryption.org/v1\n"

// secret tells whether a file is encrypted in etcd. What is known to hold no secret is not;
// records that may have such in them are, as docker-machine's.
func secret(file string, data []byte) bool {
	name := path.Base(file)
	switch {
	case file == "id", path.Dir(file) == "swarms", strings.HasSuffix(name, ".pub"), name == "known_hosts":
		return false
	case name == "config.json":
		return secretRecord(data)
	case strings.HasSuffix(name, ".pem"):
		return strings.HasSuffix(name, "key.pem") || bytes.Contains(data, []byte("PRIVATE KEY"))
	}
	return true
}

// userInfo is a password in a URL, as that of a proxy or a mirror may have one.
var userInfo = regexp.MustCompile(`://[^/@"\s]*:[^/@"\s]*@`)

// secretRecord tells whether a record may have a secret in it: it is older than ours, has the settings of a driver as
// docker-machine's plugins keep them, of which nobody can tell which are secret, or a URL with a password.
func secretRecord(data []byte) bool {
	type settings struct{ StorePath, MachineName *json.RawMessage }
	var v struct {
		ConfigVersion       int
		Driver, DriverState settings
	}
	if json.Unmarshal(data, &v) != nil || v.ConfigVersion < store.Version || userInfo.Match(data) {
		return true
	}
	return v.Driver != settings{} || v.DriverState != settings{}
}

func sealed(value []byte) bool { return bytes.HasPrefix(value, []byte(sealedPrefix)) }

// seal encrypts data for all recipients.
func seal(data []byte, recipients []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return out.Bytes(), nil
}

// open decrypts a value, if it is encrypted.
func (b *Backend) open(file string, value []byte) ([]byte, error) {
	if !sealed(value) {
		return value, nil
	}
	identities, err := b.identities()
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(value), identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, &store.HintError{
			Err:    fmt.Errorf("decrypt %s: %w", file, store.ErrSealed),
			Advice: "ask somebody of the team to run: machine store recipients add " + b.ownKey(),
		}
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w: %w", file, store.ErrCorrupt, err)
	}
	return data, nil
}

// ownKey is the user's public key as others are told to add it.
func (b *Backend) ownKey() string {
	key, err := b.OwnRecipient(false)
	if err != nil {
		return "with the public key of " + b.config.Identity
	}
	return "\"" + key + " " + b.config.User + "\""
}

// identities reads the user's identities, once.
func (b *Backend) identities() ([]age.Identity, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.own != nil {
		return b.own, nil
	}
	own, err := readIdentities(b.config.Identity)
	if err != nil {
		return nil, err
	}
	b.own = own
	return own, nil
}

// readIdentities reads a file of age-keygen's, or a private key of OpenSSH's.
func readIdentities(file string) ([]age.Identity, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &store.HintError{
			Err:    fmt.Errorf("read age identity: %w: %w", store.ErrSealed, err),
			Advice: "give the file of your identity with --age-identity or MACHINE_AGE_IDENTITY; machine store recipients add makes one",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read age identity: %w", err)
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		one, err := agessh.ParseIdentity(data)
		if err != nil {
			return nil, fmt.Errorf("read age identity %s: it must be of age-keygen, or a key of ssh-keygen without a passphrase", file)
		}
		return []age.Identity{one}, nil
	}
	all, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read age identity %s: it is no file of age-keygen", file) // and nothing of what it is
	}
	return all, nil
}

// parseRecipient reads a public key of age's, or one of OpenSSH's.
func parseRecipient(text string) (age.Recipient, error) {
	if strings.HasPrefix(text, "ssh-") {
		return agessh.ParseRecipient(text)
	}
	return age.ParseX25519Recipient(text)
}

func parseRecipients(keys []string) ([]age.Recipient, error) {
	all := make([]age.Recipient, 0, len(keys))
	for _, key := range keys {
		one, err := parseRecipient(key)
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", key, err)
		}
		all = append(all, one)
	}
	return all, nil
}
