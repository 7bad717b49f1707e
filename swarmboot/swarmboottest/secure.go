package swarmboottest

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"
)

// authority is who signs the certificates of nodes.
type authority struct{ root, issuer string }

func (n *Net) authority() authority {
	n.serial++
	return authority{
		root:   fmt.Sprintf("-----BEGIN CERTIFICATE-----\nroot%d\n-----END CERTIFICATE-----\n", n.serial),
		issuer: base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "issuer %d", n.serial)),
	}
}

func (a authority) tls(root string) map[string]string {
	return map[string]string{"TrustRoot": root, "CertIssuerPublicKey": a.issuer}
}

// signer is who signs at the moment: the next authority while a rotation goes on.
func (c *cluster) signer() authority {
	if c.next != nil {
		return *c.next
	}
	return c.ca
}

// certify has the nodes that run get certificates of the next authority, and ends the rotation when all have.
func (c *cluster) certify(n *Net) {
	if c.next == nil {
		return
	}
	due := time.Since(c.rotatedAt) >= n.RoleDelay
	all := due
	for _, x := range c.nodes {
		if x.alive(n, x.engine) && due {
			x.ca.issuer = c.next.issuer
		}
		all = all && x.ca.issuer == c.next.issuer
	}
	if !all {
		return
	}
	c.ca, c.next = *c.next, nil
	for _, x := range c.nodes {
		x.ca = c.ca
	}
	c.rotate(n, "manager")
	c.rotate(n, "worker")
	c.version++
}

// takeKeys has the managers that run write the key of the moment down as what their next start needs.
func (c *cluster) takeKeys(n *Net) {
	for _, x := range c.nodes {
		if x.engine.node != x {
			continue
		}
		if x.member && x.alive(n, x.engine) {
			x.engine.needs = c.lockKey()
		} else if !x.member {
			x.engine.needs = ""
		}
	}
}

func (c *cluster) lockKey() string {
	if !c.locks {
		return ""
	}
	return c.key
}

func (n *Net) unlockKey() string {
	n.serial++
	return "SWMKEY-1-" + base64.RawStdEncoding.EncodeToString(fmt.Appendf(nil, "the unlock key of number %09d", n.serial))
}

// secure does what a new specification asks of certificates and locks, and returns why not.
func (e *Engine) secure(spec map[string]any, rotateKey bool) error {
	var now struct {
		CAConfig struct {
			NodeCertExpiry              time.Duration
			ForceRotate                 uint64
			SigningCACert, SigningCAKey string
		}
		EncryptionConfig struct{ AutoLockManagers bool }
	}
	data, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(data, &now)
	}
	ca := now.CAConfig
	switch {
	case err != nil:
		return refuse(http.StatusBadRequest, "%v", err)
	case ca.NodeCertExpiry != 0 && ca.NodeCertExpiry < time.Hour:
		return refuse(http.StatusBadRequest, "rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s")
	case ca.SigningCAKey != "" && ca.SigningCACert == "":
		return refuse(http.StatusBadRequest, "rpc error: code = InvalidArgument desc = if a signing CA key is provided, the signing CA cert must also be provided")
	}
	c := e.cluster
	if ca.SigningCACert != "" {
		block, _ := pem.Decode([]byte(ca.SigningCACert))
		if block == nil {
			return refuse(http.StatusBadRequest, "could not parse the desired CA certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return refuse(http.StatusBadRequest, "could not parse the desired CA certificate")
		}
		if private, _ := pem.Decode([]byte(ca.SigningCAKey)); private == nil || !fits(cert, private.Bytes) {
			return refuse(http.StatusBadRequest, "rpc error: code = InvalidArgument desc = certificate key mismatch")
		}
		given := authority{root: ca.SigningCACert, issuer: base64.StdEncoding.EncodeToString(cert.RawSubjectPublicKeyInfo)}
		c.next, c.rotatedAt = &given, time.Now()
		c.rotations++
	} else if ca.ForceRotate != c.forced {
		made := e.net.authority()
		c.next, c.rotatedAt = &made, time.Now()
		c.rotations++
	}
	c.forced = ca.ForceRotate
	if is := now.EncryptionConfig.AutoLockManagers; is != c.locks {
		c.locks, c.key = is, e.net.unlockKey()
	} else if is && rotateKey {
		c.key = e.net.unlockKey()
	}
	if config, ok := spec["CAConfig"].(map[string]any); ok { // engines do not give them out again
		delete(config, "SigningCACert")
		delete(config, "SigningCAKey")
	}
	return nil
}

func fits(cert *x509.Certificate, der []byte) bool {
	key, err := x509.ParsePKCS8PrivateKey(der)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return false
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

func (e *Engine) unlock(body []byte) error {
	var req struct{ UnlockKey string }
	if err := json.Unmarshal(body, &req); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	switch {
	case e.state != "locked":
		return refuse(http.StatusConflict, "swarm is not locked")
	case len(req.UnlockKey) < 9 || req.UnlockKey[:9] != "SWMKEY-1-":
		return refuse(http.StatusBadRequest, "invalid key string")
	case req.UnlockKey != e.needs:
		return refuse(http.StatusUnauthorized, "swarm could not be unlocked: invalid key provided")
	}
	e.state = "active"
	return nil
}

// Needs is the key that the engine asks for when it starts; empty: none.
func (e *Engine) Needs() string {
	defer e.lock()()
	if e.cluster != nil {
		e.cluster.tick(e.net)
	}
	return e.needs
}

// Rotations is how often the authority of the engine's swarm was told to change.
func (e *Engine) Rotations() int { defer e.lock()(); return e.cluster.rotations }
