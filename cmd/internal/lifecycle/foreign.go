package lifecycle

import (
	"bytes"
	"context"
	"encoding/pem"
	"os"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
)

// foreign tells whether the machine's engine trusts another authority than the store's: the machine came from another
// store, with a client certificate of its own.
func (x *machine) foreign(a authority) bool {
	own, err := os.ReadFile(x.path(caFile))
	if err != nil {
		return false
	}
	mine := certificates(own)
	for _, one := range mine {
		for _, ours := range certificates(a.trust) {
			if bytes.Equal(one, ours) {
				return false
			}
		}
	}
	return len(mine) > 0
}

// certificates returns those in a PEM bundle, as DER.
func certificates(bundle []byte) (all [][]byte) {
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			all = append(all, block.Bytes)
		}
	}
}

// authorityFor is the authority by which a machine is provisioned: the store's. A machine that came from another store keeps
// the one that its engine trusts until its certificates are renewed, which takes it over: who has it elsewhere is let in no
// more.
func (x *machine) authorityFor(ctx context.Context, a authority, r refit) authority {
	if !x.foreign(a) {
		return a
	}
	if r.renew || r.trust != nil {
		x.m.Note(ctx, "its engine will trust this store's authority: other stores that have the machine are not let in any more")
		return a
	}
	own, err := os.ReadFile(x.path(caFile))
	if err != nil {
		return a
	}
	pair, err := readPair(x.path(certFile), x.path(keyFile))
	if err == nil {
		err = certs.Verify(pair, certs.Need{Roots: own, Client: true, Now: x.m.Now()})
	}
	if err != nil {
		x.m.Log.Info("the client certificate of another store's authority is not good any more", "machine", x.rec.Name, "why", err)
		return a
	}
	return authority{cert: own, trust: own, client: pair, foreign: true}
}

// errForeignCert advises how a certificate is had that only another store's authority could issue.
func (x *machine) errForeignCert(err error) error {
	return &drivers.HintError{
		Err:    err,
		Advice: "the machine came from another store; machine regenerate-certs " + x.rec.Name + " gives its engine certificates of this one",
	}
}
