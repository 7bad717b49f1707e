// Package managerkey decrypts the key file of a manager of a locked swarm, swarm/certificates/swarm-node.key, with the swarm's
// unlock key. Bytes in, bytes out: it knows nothing of hosts or engines.
package managerkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // what engines derive their keys with
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"
)

// Errors that callers decide on.
var (
	ErrKey    = errors.New("the unlock key does not fit")
	ErrFormat = errors.New("the manager's key file is not understood")
)

const (
	unlockPrefix = "SWMKEY-1-"
	encrypted    = "ENCRYPTED PRIVATE KEY"
	plain        = "PRIVATE KEY"
	version      = "kek-version" // of the key that the file is encrypted with
)

// Encrypted reports whether a key file is encrypted.
func Encrypted(file []byte) bool {
	block, _ := pem.Decode(file)
	return block != nil && block.Type == encrypted
}

// Unlock decrypts a key file, and the keys of the Raft log in its headers. The version of the unlock key is left out, so that
// a manager that leads takes the swarm's own for a newer one and encrypts the file again. A file that is not encrypted is
// returned as it is.
func Unlock(file []byte, unlockKey string) ([]byte, error) {
	block, _ := pem.Decode(file)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM", ErrFormat)
	}
	if block.Type != encrypted {
		return file, nil
	}
	text, ok := strings.CutPrefix(unlockKey, unlockPrefix)
	kek, err := base64.RawStdEncoding.DecodeString(text)
	if !ok || err != nil || len(kek) != 32 {
		return nil, fmt.Errorf("%w: it is none", ErrKey)
	}
	der, err := decryptKey(block.Bytes, kek)
	if err != nil {
		return nil, err
	}
	headers := make(map[string]string, len(block.Headers))
	for name, value := range block.Headers {
		if name == version {
			continue
		}
		if strings.HasPrefix(name, "raft-dek") && value != "" && value != "true" {
			if value, err = decryptRecord(value, kek); err != nil {
				return nil, fmt.Errorf("header %s: %w", name, err)
			}
		}
		headers[name] = value
	}
	return pem.EncodeToMemory(&pem.Block{Type: plain, Headers: headers, Bytes: der}), nil
}

// The encrypted PKCS #8 that engines write: PBES2 with PBKDF2 (SHA-1) and AES-256-CBC.
type (
	kdf struct {
		ID     asn1.ObjectIdentifier
		Params struct {
			Salt  []byte
			Count int
		}
	}
	scheme struct {
		ID asn1.ObjectIdentifier
		IV []byte
	}
	encryptedKey struct {
		Algorithm struct {
			ID     asn1.ObjectIdentifier
			Params struct {
				KDF    kdf
				Scheme scheme
			}
		}
		Data []byte
	}
)

func decryptKey(der, kek []byte) ([]byte, error) {
	var k encryptedKey
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	p := k.Algorithm.Params
	aes256CBC := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	if !p.Scheme.ID.Equal(aes256CBC) || len(p.Scheme.IV) != aes.BlockSize || len(k.Data) == 0 || len(k.Data)%aes.BlockSize != 0 || p.KDF.Params.Count < 1 {
		return nil, fmt.Errorf("%w: it is encrypted in another way", ErrFormat)
	}
	key, err := pbkdf2.Key(sha1.New, string(kek), p.KDF.Params.Salt, p.KDF.Params.Count, 32)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	out := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(c, p.Scheme.IV).CryptBlocks(out, k.Data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrKey
	}
	out = out[:len(out)-pad]
	if _, err := x509.ParsePKCS8PrivateKey(out); err != nil {
		return nil, ErrKey
	}
	return out, nil
}

// decryptRecord decrypts what a header holds: a message of three fields, the algorithm, the data and a nonce. The result is
// a message of data alone, which is how engines write what is not encrypted.
func decryptRecord(value string, kek []byte) (string, error) {
	msg, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	algorithm, data, nonce, err := fields(msg)
	if err != nil {
		return "", err
	}
	const secretBox = 1
	if algorithm != secretBox || len(nonce) != 24 {
		return "", fmt.Errorf("%w: it is encrypted in another way (%d)", ErrFormat, algorithm)
	}
	out, ok := secretbox.Open(nil, data, (*[24]byte)(nonce), (*[32]byte)(kek))
	if !ok {
		return "", ErrKey
	}
	msg = append(binary.AppendUvarint([]byte{2<<3 | 2}, uint64(len(out))), out...)
	return base64.StdEncoding.EncodeToString(msg), nil
}

// fields reads a protobuf message of a number and two strings of bytes.
func fields(msg []byte) (algorithm uint64, data, nonce []byte, err error) {
	broken := fmt.Errorf("%w: a broken header", ErrFormat)
	for len(msg) > 0 {
		tag, value := msg[0], uint64(0)
		n := 0
		if value, n = binary.Uvarint(msg[1:]); n <= 0 {
			return 0, nil, nil, broken
		}
		msg = msg[1+n:]
		if tag == 1<<3 {
			algorithm = value
			continue
		}
		if value > uint64(len(msg)) {
			return 0, nil, nil, broken
		}
		switch part := msg[:value]; tag {
		case 2<<3 | 2:
			data = part
		case 3<<3 | 2:
			nonce = part
		default:
			return 0, nil, nil, broken
		}
		msg = msg[value:]
	}
	return algorithm, data, nonce, nil
}
