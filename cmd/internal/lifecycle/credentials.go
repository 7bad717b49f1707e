package lifecycle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/store"
)

// credentials returns the folder that holds the machine's ca.pem, cert.pem and key.pem: its own,
// or the store's for machines that were never provisioned.
func (x *machine) credentials() string {
	dir := x.m.Store.MachineDir(x.rec.Name)
	if _, err := os.Stat(filepath.Join(dir, certFile)); err == nil {
		return dir
	}
	return x.m.Store.CertsDir()
}

// clientTLS is what a client of the machine's engine identifies itself with and whom it trusts.
func (x *machine) clientTLS(ctx context.Context) (*tls.Config, error) {
	pair, err := x.clientPair()
	if err != nil && x.hasClientCert() {
		if merr := x.mendClientPair(ctx); merr != nil {
			return nil, errors.Join(err, merr)
		}
		pair, err = x.clientPair()
	}
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(x.credentials(), caFile))
	if err != nil {
		return nil, err
	}
	pool, err := x.m.parsed.roots(ca)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// parsedCerts remembers what was made of files: a store's machines nearly always have the same client
// pair and authority, and to take them apart is a tenth of the work of asking an engine.
type parsedCerts struct {
	mu    sync.Mutex
	pools map[string]*x509.CertPool
	pairs map[[2]string]tls.Certificate
}

// roots returns those who are trusted by a bundle of certificates.
func (p *parsedCerts) roots(bundle []byte) (*x509.CertPool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pool, ok := p.pools[string(bundle)]; ok {
		return pool, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("read %s: %w", caFile, certs.ErrMalformed)
	}
	if p.pools == nil {
		p.pools = map[string]*x509.CertPool{}
	}
	p.pools[string(bundle)] = pool
	return pool, nil
}

// pair returns a certificate with its key.
func (p *parsedCerts) pair(files certs.Pair) (tls.Certificate, error) {
	key := [2]string{string(files.Cert), string(files.Key)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pair, ok := p.pairs[key]; ok {
		return pair, nil
	}
	pair, err := tls.X509KeyPair(files.Cert, files.Key)
	if err != nil {
		return pair, fmt.Errorf("read client certificate: %w", err)
	}
	if p.pairs == nil {
		p.pairs = map[[2]string]tls.Certificate{}
	}
	p.pairs[key] = pair
	return pair, nil
}

func (x *machine) clientPair() (tls.Certificate, error) {
	dir := x.credentials()
	files, err := readPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil {
		return tls.Certificate{}, err
	}
	return x.m.parsed.pair(files)
}

func (x *machine) hasClientCert() bool {
	_, err := os.Stat(filepath.Join(x.credentials(), certFile))
	return err == nil
}

// mendClientPair puts the store's client pair in the place of one whose halves do not fit: a command
// was killed between the two files, or another one is about to write the second.
func (x *machine) mendClientPair(ctx context.Context) error {
	if x.txn != nil {
		return x.putClientPair(ctx)
	}
	ctx, cancel := within(ctx, 0, 5*time.Second, "wait for the client certificate of "+x.rec.Name)
	defer cancel()
	return poll(ctx, func(ctx context.Context) (bool, error) {
		if _, err := x.clientPair(); err == nil {
			return true, nil
		}
		err := x.m.withLock(ctx, x.rec.Name, func(context.Context, *machine) error { return nil }) // who takes the lock mends it
		if errors.Is(err, store.ErrLocked) {
			return false, nil
		}
		return true, err
	})
}

// putClientPair gives the machine's folder, if it has a pair of its own, the store's.
func (x *machine) putClientPair(ctx context.Context) error {
	a, err := x.m.ensureAuthority(ctx)
	if err != nil || x.credentials() != x.m.Store.MachineDir(x.rec.Name) {
		return err
	}
	if x.foreign(a) {
		return x.errForeignCert(errors.New("the client certificate does not fit its key"))
	}
	x.m.Log.Info("client certificate is written again", "machine", x.rec.Name)
	if err := x.keepPair(certFile, keyFile, a.client); err != nil {
		return err
	}
	x.m.refreshContext(ctx, x)
	return nil
}
