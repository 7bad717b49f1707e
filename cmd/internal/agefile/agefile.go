// Package agefile encrypts and decrypts with age, for recipients or with a passphrase. It knows nothing of what it
// encrypts.
package agefile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// Errors that callers decide on.
var (
	ErrKeys   = errors.New("recipient, identity or passphrase cannot be used")
	ErrFormat = errors.New("not encrypted with age, or damaged")
)

// Recipients are who can read a file: those of public keys (age1..., ssh-ed25519 ..., ssh-rsa ...), or whoever has the passphrase.
type Recipients struct {
	Keys       []string
	Passphrase string
}

func (r Recipients) parse() ([]age.Recipient, error) {
	var all []age.Recipient
	for i, key := range r.Keys {
		one, err := parseRecipient(strings.TrimSpace(key))
		if err != nil {
			return nil, fmt.Errorf("%w: recipient %d is no age public key (age1...) and no SSH one (ssh-ed25519 ...)", ErrKeys, i+1) // it may be a secret key
		}
		all = append(all, one)
	}
	switch {
	case len(all) > 0 && r.Passphrase != "":
		return nil, fmt.Errorf("%w: a passphrase does not go with recipients", ErrKeys)
	case len(all) == 0 && r.Passphrase == "":
		return nil, fmt.Errorf("%w: neither a recipient nor a passphrase", ErrKeys)
	case len(all) > 0:
		return all, nil
	}
	one, err := age.NewScryptRecipient(r.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return []age.Recipient{one}, nil
}

func parseRecipient(key string) (age.Recipient, error) {
	if strings.HasPrefix(key, "ssh-") {
		return agessh.ParseRecipient(key)
	}
	return age.ParseX25519Recipient(key)
}

// Check tells whether the recipients can be written for.
func (r Recipients) Check() error {
	_, err := r.parse()
	return err
}

// Encrypt returns a writer of what the recipients can read in w; its Close ends the file.
func Encrypt(w io.Writer, to Recipients) (io.WriteCloser, error) {
	recipients, err := to.parse()
	if err != nil {
		return nil, err
	}
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return sealed, nil
}

// Identities are what a file is read with: the text of identity files (AGE-SECRET-KEY-1..., or an SSH private key), or
// a passphrase.
type Identities struct {
	Text       string
	Passphrase string
}

// mostWork is the costliest passphrase that is tried, as a power of two: what age writes takes 18, and each step more
// doubles the memory that a file written by somebody else can ask for.
const mostWork = 20

func (i Identities) parse() ([]age.Identity, error) {
	if i.Text == "" {
		one, err := age.NewScryptIdentity(i.Passphrase)
		if err != nil {
			return nil, fmt.Errorf("%w: neither an identity nor a passphrase", ErrKeys)
		}
		one.SetMaxWorkFactor(mostWork)
		return []age.Identity{one}, nil
	}
	ssh, rest, err := sshKeys(i.Text)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(rest) == "" && len(ssh) > 0 {
		return ssh, nil
	}
	all, err := age.ParseIdentities(strings.NewReader(rest))
	if err != nil {
		return nil, fmt.Errorf("%w: the identity file has something else than age identities in it", ErrKeys) // err may quote the secret
	}
	return append(ssh, all...), nil
}

// sshKeys takes the SSH private keys out of a text.
func sshKeys(text string) (keys []age.Identity, rest string, err error) {
	var key, other strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		begins := strings.HasPrefix(line, "-----BEGIN ")
		if inside = inside || begins; !inside {
			other.WriteString(line)
			continue
		}
		key.WriteString(line)
		if !strings.HasPrefix(line, "-----END ") {
			continue
		}
		one, perr := agessh.ParseIdentity([]byte(key.String()))
		if perr != nil {
			return nil, "", fmt.Errorf("%w: the SSH key is no ed25519 or RSA key, or has a passphrase", ErrKeys)
		}
		keys, inside = append(keys, one), false
		key.Reset()
	}
	return keys, other.String() + key.String(), nil
}

// Decrypt reads what Encrypt has written.
func Decrypt(r io.Reader, with Identities) (io.Reader, error) {
	identities, err := with.parse()
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(r, identities...)
	var none *age.NoIdentityMatchError
	switch {
	case err != nil && with.Text == "" && (errors.As(err, &none) || strings.Contains(err.Error(), "incorrect passphrase")):
		return nil, fmt.Errorf("%w: the passphrase is not the one that it was encrypted with", ErrKeys)
	case errors.As(err, &none):
		return nil, fmt.Errorf("%w: it is encrypted for another", ErrKeys)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return plain, nil
}

// magic is how an age file begins.
const magic = "age-encryption.org/"

// Kind is what an encrypted file wants of its reader.
type Kind int

// The kinds.
const (
	Plain      Kind = iota // it is not encrypted
	Identity               // one of the recipients' identities
	Passphrase             // the passphrase
)

// KindOf looks at the beginning of a file, and leaves it to be read.
func KindOf(r *bufio.Reader) Kind {
	head, _ := r.Peek(len(magic)) // a file that is shorter is none of age's
	if string(head) != magic {
		return Plain
	}
	head, _ = r.Peek(64)
	if bytes.Contains(head, []byte("\n-> scrypt ")) {
		return Passphrase
	}
	return Identity
}
