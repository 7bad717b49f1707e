package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/store"
)

// Names of files in the certs folder and, for the first three, in a machine's folder.
const (
	caFile      = "ca.pem"
	certFile    = "cert.pem"
	keyFile     = "key.pem"
	caKeyFile   = "ca-key.pem"
	nextFile    = "ca-next.pem" // the authority that a rotation is about to change to
	nextKeyFile = "ca-next-key.pem"
	oldFile     = "ca-old.pem" // the authority that a rotation has changed from

	serverFile    = "server.pem"
	serverKeyFile = "server-key.pem"
)

// TLSFiles name files of the user's own that the store takes over when it makes its first
// authority: a CA certificate and key, and a client certificate and key. Each pair is optional.
type TLSFiles struct {
	CACert, CAKey, ClientCert, ClientKey string
}

// authority is who signs and who is trusted.
type authority struct {
	ca     *certs.CA // who signs; nil when the private key is kept elsewhere
	cert   []byte    // the authority's certificate
	trust  []byte    // bundle: the authority, and during a rotation the next or the former one
	client certs.Pair

	foreign bool // another store's, of a machine that came from there
}

// errNoCAKey is the error of an authority that is there and cannot sign. It is never replaced by a
// new one unasked: all engines trust it.
func errNoCAKey(dir string) error {
	return fmt.Errorf("%w: %s", ErrNoCAKey, filepath.Join(dir, caKeyFile))
}

// ended tells whether the authority has expired.
func (m *Manager) ended(a authority) bool {
	info, err := certs.Inspect(a.cert)
	return err == nil && !m.Now().Before(info.NotAfter)
}

// certFolder is the right to write the certs folder; *store.SharedTxn is one.
type certFolder interface {
	ReadCert(name string) ([]byte, error)
	WriteCert(name string, data []byte) error
	WriteCerts(files ...store.File) error
	RemoveCert(name string) error
}

// readAuthority reads the authority from disk; fs.ErrNotExist if there is none.
func (m *Manager) readAuthority() (authority, error) {
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(m.Store.CertsDir(), name)) }
	return m.loadAuthority(read)
}

func (m *Manager) loadAuthority(read func(string) ([]byte, error)) (authority, error) {
	cert, err := read(caFile)
	if err != nil {
		return authority{}, err
	}
	a := authority{cert: cert, trust: certs.Bundle(cert)} // the whole file: it holds two for a moment of a rotation
	switch key, err := read(caKeyFile); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := certs.Inspect(cert); err != nil {
			return authority{}, fmt.Errorf("read authority: %w", err)
		}
	case err != nil:
		return authority{}, err
	default:
		if a.ca, err = certs.ParseCA(cert, key); err != nil {
			return authority{}, fmt.Errorf("read authority: %w", err)
		}
		a.cert = a.ca.Pair().Cert
	}
	for _, name := range []string{nextFile, oldFile} {
		other, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return authority{}, err
		}
		a.trust = certs.Bundle(a.trust, other)
	}
	if a.client.Cert, err = read(certFile); err != nil {
		return a, err
	}
	a.client.Key, err = read(keyFile)
	return a, err
}

// usable returns why the authority's client pair must be made anew; nil if it need not.
func (m *Manager) usable(a authority) error {
	return certs.Verify(a.client, certs.Need{Roots: a.trust, Client: true, Now: m.Now()})
}

// ensureAuthority returns the store's authority and client pair and makes what is missing or due,
// once, however many commands ask at the same time.
func (m *Manager) ensureAuthority(ctx context.Context) (authority, error) {
	before, err := m.readAuthority()
	if err == nil && m.usable(before) == nil {
		return before, nil
	}
	txn, err := m.locks().shared(ctx)
	if err != nil {
		return authority{}, err
	}
	a, err := m.makeAuthority(ctx, txn)
	if err = errors.Join(err, txn.Close()); err == nil && before.ca != nil {
		m.handOutAll(ctx, a)
	}
	return a, err
}

// handOutAll gives every machine's folder the client pair as it is now. The engines need not be
// told: they trust the authority, not the pair. A machine that another command holds gets it
// when it is provisioned next.
func (m *Manager) handOutAll(ctx context.Context, a authority) {
	names, err := m.Store.Names()
	if err != nil {
		m.Log.Warn("client certificate not handed out", "err", err)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(m.Store.MachineDir(name), certFile)); err != nil {
			continue // it has none of its own
		}
		err := m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			if x.foreign(a) {
				return nil // its engine would not let in the pair
			}
			if err := x.keepPair(certFile, keyFile, a.client); err != nil {
				return err
			}
			m.refreshContext(ctx, x)
			return nil
		})
		if err != nil {
			m.Log.Warn("client certificate not handed out", "machine", name, "err", err)
		}
	}
}

func (m *Manager) makeAuthority(ctx context.Context, txn certFolder) (authority, error) {
	a, err := m.loadAuthority(txn.ReadCert)
	switch {
	case err == nil && m.usable(a) == nil:
		return a, nil // another command was first
	case a.ca != nil: // only the client pair is missing or due
	case a.cert != nil:
		return authority{}, fmt.Errorf("issue client certificate: %w", errNoCAKey(m.Store.CertsDir()))
	case errors.Is(err, fs.ErrNotExist):
		if _, kerr := txn.ReadCert(caKeyFile); kerr == nil || !errors.Is(kerr, fs.ErrNotExist) {
			// The key is written first, so a key alone is a half-made authority that signed nothing.
			m.Log.Info("authority was left half-made; making it anew")
		}
		if a, err = m.newAuthority(ctx, txn); err != nil {
			return authority{}, err
		}
	default:
		return authority{}, fmt.Errorf("read authority: %w", err)
	}
	if a.client, err = a.ca.Client(m.organisation(), m.Now()); err != nil {
		return authority{}, fmt.Errorf("issue client certificate: %w", err)
	}
	if m.TLS.ClientCert != "" || m.TLS.ClientKey != "" {
		if a.client, err = readPair(m.TLS.ClientCert, m.TLS.ClientKey); err != nil {
			return authority{}, fmt.Errorf("take over client certificate: %w", err)
		}
		if err := m.usable(a); err != nil {
			return authority{}, fmt.Errorf("take over client certificate: %w", err)
		}
	}
	return a, writePair(txn, certFile, keyFile, a.client)
}

func (m *Manager) newAuthority(ctx context.Context, txn certFolder) (authority, error) {
	var ca *certs.CA
	var err error
	if m.TLS.CACert != "" || m.TLS.CAKey != "" {
		var pair certs.Pair
		if pair, err = readPair(m.TLS.CACert, m.TLS.CAKey); err == nil {
			ca, err = certs.ParseCA(pair.Cert, pair.Key)
		}
		if err != nil {
			return authority{}, fmt.Errorf("take over authority: %w", err)
		}
		m.Note(ctx, "took over the certificate authority "+m.TLS.CACert)
	} else {
		if ca, err = certs.NewCA(m.organisation(), m.Now()); err != nil {
			return authority{}, fmt.Errorf("make authority: %w", err)
		}
		m.Note(ctx, "made a certificate authority in "+m.Store.CertsDir())
	}
	if err := writePair(txn, caFile, caKeyFile, ca.Pair()); err != nil {
		return authority{}, err
	}
	return authority{ca: ca, cert: ca.Pair().Cert, trust: ca.Pair().Cert}, nil
}

// organisation names the user in certificates, as docker-machine did.
func (m *Manager) organisation() string {
	for _, k := range []string{"USER", "USERNAME"} {
		if v := m.Getenv(k); v != "" {
			return v
		}
	}
	return "unknown"
}

// writePair writes both together, and the key first where they cannot change at one moment: a
// certificate is never without its key.
func writePair(txn certFolder, cert, key string, p certs.Pair) error {
	return txn.WriteCerts(store.File{Name: key, Data: p.Key}, store.File{Name: cert, Data: p.Cert})
}

func readPair(cert, key string) (p certs.Pair, err error) {
	if p.Cert, err = os.ReadFile(cert); err != nil {
		return p, err
	}
	p.Key, err = os.ReadFile(key)
	return p, err
}
