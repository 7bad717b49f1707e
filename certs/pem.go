package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

const certBlock = "CERTIFICATE"

// parseCerts returns the certificates of a PEM file, at least one. Other blocks are
// passed over.
func parseCerts(data []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != certBlock {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		found = append(found, cert)
	}
	if len(found) == 0 {
		return nil, ErrMalformed
	}
	return found, nil
}

// parseKey returns the private key of a PEM file, in any of the forms that Docker
// and docker-machine's CAs come with: PKCS#1, PKCS#8 and SEC 1.
func parseKey(data []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, ErrMalformedKey
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // OpenSSL puts EC PARAMETERS in front
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("%w: it is protected by a passphrase", ErrMalformedKey)
		}
		return parseKeyDER(block.Bytes)
	}
}

func parseKeyDER(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's words name other parsers, and nobody wants parts of a key in a log.
		return nil, fmt.Errorf("%w: neither PKCS#1, PKCS#8 nor SEC 1", ErrMalformedKey)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it cannot sign", ErrMalformedKey)
	}
	return signer, nil
}

// belongs tells whether key is the one that cert certifies.
func belongs(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// Bundle joins certificates into one PEM file, each one once, in order. What is
// not a certificate is left out.
func Bundle(certs ...[]byte) []byte {
	var (
		out  bytes.Buffer
		seen = make(map[string]bool)
	)
	for _, data := range certs {
		for {
			var block *pem.Block
			if block, data = pem.Decode(data); block == nil {
				break
			}
			if block.Type != certBlock || seen[string(block.Bytes)] {
				continue
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				continue
			}
			seen[string(block.Bytes)] = true
			out.Write(encodeCert(block.Bytes))
		}
	}
	return out.Bytes()
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: der})
}
