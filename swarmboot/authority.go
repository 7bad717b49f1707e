package swarmboot

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Authority is what a manager says of the certificates of its swarm.
type Authority struct {
	Root      string        // the certificate that nodes trust, PEM; the former one while a rotation goes on
	Issuer    string        // who signs certificates of nodes: the public key, base64; the next one while a rotation goes on
	Rotating  bool          // nodes are still getting certificates of the next authority
	Rotations uint64        // how often a new authority was asked for
	Expiry    time.Duration // how long certificates of nodes are good for
}

// AuthorityOf asks a manager.
func AuthorityOf(ctx context.Context, manager Engine) (Authority, error) {
	c, err := clusterOf(ctx, manager)
	if err != nil {
		return Authority{}, fmt.Errorf("ask for the swarm's authority: %w", err)
	}
	ca, err := c.caConfig()
	return Authority{
		Root: c.TLSInfo.TrustRoot, Issuer: c.TLSInfo.CertIssuerPublicKey, Rotating: c.RootRotationInProgress,
		Rotations: ca.ForceRotate, Expiry: ca.NodeCertExpiry,
	}, err
}

type caConfig struct {
	NodeCertExpiry time.Duration
	ForceRotate    uint64
}

func (c *clusterObject) caConfig() (ca caConfig, err error) {
	err = c.Spec.read("CAConfig", &ca)
	return ca, err
}

// Rotation is a change of a swarm's authority: to one that the managers make, or to the one given.
type Rotation struct {
	Number uint64        // what Authority.Rotations shall be; of no account with Cert
	Cert   string        // of the authority to use, PEM; empty: the managers make one
	Key    SigningKey    // of Cert
	Expiry time.Duration // of certificates of nodes; 0: as it is
}

// SigningKey is a private key; it goes into request bodies and nowhere else.
type SigningKey string

// String hides the key from every fmt verb that prints text.
func (SigningKey) String() string { return "[private key]" }

// GoString hides it from %#v.
func (SigningKey) GoString() string { return "[private key]" }

// Ordered reports whether the swarm has taken the order to rotate, whatever became of it since.
func (r Rotation) Ordered(a Authority) bool {
	if r.Cert == "" {
		return a.Rotations >= r.Number
	}
	cert, err := parseCert(r.Cert)
	return err == nil && (a.Issuer == base64.StdEncoding.EncodeToString(cert.RawSubjectPublicKeyInfo) || samePEM(a.Root, r.Cert))
}

// Check returns why engines would refuse the certificate that is given.
func (r Rotation) Check(now time.Time) error {
	if r.Cert == "" {
		return nil
	}
	cert, err := parseCert(r.Cert)
	switch {
	case err != nil:
		return err
	case !cert.IsCA:
		return errors.New("the certificate is not that of an authority")
	case cert.NotAfter.Before(now.AddDate(1, 0, 0)):
		return fmt.Errorf("the certificate expires too soon, on %s: engines want a year at least", cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

// parseCert reads the one certificate that a PEM file has to hold.
func parseCert(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("more than one certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func samePEM(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }

// RotateCA gives the order to rotate unless the swarm has it. The managers then have each node fetch a certificate of the
// next authority, and end with the former one when all have it: see WaitCertified.
func RotateCA(ctx context.Context, manager Engine, r Rotation) error {
	err := updateCluster(ctx, manager, "", func(c *clusterObject) (bool, error) {
		ca, err := c.caConfig()
		if err != nil {
			return false, err
		}
		if r.Ordered(Authority{Root: c.TLSInfo.TrustRoot, Issuer: c.TLSInfo.CertIssuerPublicKey, Rotations: ca.ForceRotate}) {
			return false, nil
		}
		fields := map[string]any{"SigningCACert": r.Cert, "SigningCAKey": string(r.Key)}
		if r.Cert == "" {
			fields["ForceRotate"] = r.Number
		}
		if r.Expiry > 0 {
			fields["NodeCertExpiry"] = r.Expiry
		}
		return true, c.Spec.set("CAConfig", fields)
	})
	if err != nil {
		return fmt.Errorf("rotate the swarm's authority: %w", err)
	}
	return nil
}

// Certified is how far a rotation has come.
type Certified struct {
	Done, Nodes int
	Waiting     []Member // that do not have their certificate yet; one that is down holds the rotation up
}

// CountCertified counts the nodes with a certificate of the authority, which they have to trust alone once the
// rotation is through.
func CountCertified(a Authority, ms []Member) Certified {
	c := Certified{Nodes: len(ms)}
	for _, m := range ms {
		if m.Issuer == a.Issuer && (a.Rotating || samePEM(m.TrustRoot, a.Root)) {
			c.Done++
		} else {
			c.Waiting = append(c.Waiting, m)
		}
	}
	return c
}

// Ended reports whether each node has what it shall have and the former authority is forgotten.
func (c Certified) Ended(a Authority) bool { return !a.Rotating && len(c.Waiting) == 0 }

// String says it on one line, such as "2 of 4 nodes have a new certificate; waiting for w1 (down), w2".
func (c Certified) String() string {
	s := fmt.Sprintf("%d of %d nodes have a new certificate", c.Done, c.Nodes)
	var names []string
	for _, m := range c.Waiting {
		name := orElse(m.Hostname, m.ID)
		if m.State != "ready" {
			name += " (" + m.State + ")"
		}
		names = append(names, name)
	}
	if len(names) > 0 {
		s += "; waiting for " + strings.Join(names, ", ")
	}
	return s
}

// WaitCertified waits until a rotation is through. tell is called when it has come further. When ctx ends, the
// error wraps ErrRotation and names the nodes that are waited for; the managers go on all the same.
func WaitCertified(ctx context.Context, manager Engine, tell func(Certified)) error {
	var last Certified
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		a, err := AuthorityOf(ctx, manager)
		if err != nil {
			return false, err
		}
		ms, err := nodes(ctx, manager)
		if err != nil {
			return false, leaderless(err)
		}
		now := CountCertified(a, ms)
		if now.String() != last.String() {
			last = now
			tell(now)
		}
		return now.Ended(a), nil
	})
	if err == nil {
		return nil
	}
	if last.Nodes == 0 {
		return fmt.Errorf("wait for the nodes' certificates: %w", err)
	}
	return hint(fmt.Errorf("%w: %s: %w", ErrRotation, last, err), "bring back the nodes that are down, or take them out of the swarm; then give the same command again")
}

// PlanRotation tells what a rotation would do.
func PlanRotation(a Authority, ms []Member, r Rotation) []string {
	var steps []string
	switch {
	case r.Ordered(a):
		steps = append(steps, "go on with the rotation that was ordered before")
	case r.Cert != "":
		steps = append(steps, "have the managers take over the authority given")
	default:
		steps = append(steps, "have the managers make a new authority")
	}
	if r.Expiry > 0 && r.Expiry != a.Expiry {
		steps = append(steps, fmt.Sprintf("make certificates of nodes good for %s instead of %s", r.Expiry, a.Expiry))
	}
	wait := fmt.Sprintf("wait until all %d nodes have a certificate of it and trust it alone", len(ms))
	var down []string
	for _, m := range ms {
		if m.State != "ready" {
			down = append(down, orElse(m.Hostname, m.ID)+" ("+m.State+")")
		}
	}
	if len(down) > 0 {
		wait += "; it does not end before these are back or taken out: " + strings.Join(down, ", ")
	}
	return append(steps, wait)
}
