package swarmboot_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// newAuthority rotates a swarm's authority, once although the order is given twice.
func newAuthority(t *testing.T, s *teller) {
	s.want(mgr, "m1", "m2", "m3")
	s.want(wrk, "w1")
	s.reach()
	m1 := s.w.engine("m1")
	before, err := swarmboot.AuthorityOf(s.ctx(10*time.Second), m1)
	if err != nil || before.Rotating || before.Expiry != 90*24*time.Hour {
		t.Fatalf("got %+v, %v", before, err)
	}
	r := swarmboot.Rotation{Number: before.Rotations + 1, Expiry: 48 * time.Hour}
	for range 2 {
		if err := swarmboot.RotateCA(s.ctx(30*time.Second), s.w.engine("m2"), r); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	err = swarmboot.WaitCertified(s.ctx(3*time.Minute), m1, func(c swarmboot.Certified) { told = append(told, c.String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(told)
	after, err := swarmboot.AuthorityOf(s.ctx(10*time.Second), m1)
	if err != nil || after.Root == before.Root || after.Issuer == before.Issuer || after.Rotations != before.Rotations+1 || after.Expiry != r.Expiry {
		t.Errorf("got %+v, %v, before %+v", after, err, before)
	}
	for name, m := range s.members("m3") {
		if m.TrustRoot != after.Root || m.Issuer != after.Issuer {
			t.Errorf("%s trusts %s", name, m.TrustRoot)
		}
	}
	// To one of the user's own; a key that is not the certificate's is refused, and begins nothing.
	cert, key := authorityPEM(t, true, 10*365*24*time.Hour)
	_, other := authorityPEM(t, true, 10*365*24*time.Hour)
	if err := swarmboot.RotateCA(s.ctx(10*time.Second), m1, swarmboot.Rotation{Cert: cert, Key: swarmboot.SigningKey(other)}); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a key of another certificate: got %v", err)
	} else {
		t.Log(err)
	}
	if now, err := swarmboot.AuthorityOf(s.ctx(10*time.Second), m1); err != nil || now.Rotating {
		t.Errorf("got %+v, %v", now, err)
	}
	if err := swarmboot.RotateCA(s.ctx(30*time.Second), m1, swarmboot.Rotation{Cert: cert, Key: swarmboot.SigningKey(key)}); err != nil {
		t.Fatal(err)
	}
	if err := swarmboot.WaitCertified(s.ctx(3*time.Minute), m1, func(swarmboot.Certified) {}); err != nil {
		t.Fatal(err)
	}
	for name, m := range s.members("m2") {
		if strings.TrimSpace(m.TrustRoot) != strings.TrimSpace(cert) {
			t.Errorf("%s trusts %s", name, m.TrustRoot)
		}
	}
	if err := swarmboot.SetCertExpiry(s.ctx(10*time.Second), m1, 30*time.Minute); err == nil || !strings.Contains(err.Error(), "minimum certificate expiry time is: 1h0m0s") {
		t.Errorf("a life of half an hour: got %v", err)
	}
	s.settled()
}

// locksAndUnlocks has managers need a key, with two keys one after the other.
func locksAndUnlocks(t *testing.T, s *teller) {
	s.want(mgr, "m1", "m2", "m3")
	s.reach()
	m1, m3 := s.w.engine("m1"), s.w.engine("m3")
	if err := swarmboot.RotateUnlockKey(s.ctx(10*time.Second), m1); !errors.Is(err, swarmboot.ErrNotLocking) {
		t.Errorf("rotate without a key: got %v", err)
	}
	if key, err := swarmboot.UnlockKeyOf(s.ctx(10*time.Second), m1); key != "" || err != nil {
		t.Errorf("got a key of a swarm that does not lock, or %v", err)
	}
	if err := swarmboot.SetAutolock(s.ctx(10*time.Second), m1, true); err != nil {
		t.Fatal(err)
	}
	old, err := swarmboot.UnlockKeyOf(s.ctx(10*time.Second), m1)
	if err != nil || !strings.HasPrefix(string(old), "SWMKEY-1-") || strings.Contains(fmt.Sprintf("%s %v %+v %#v", old, old, old, old), "SWMKEY") {
		t.Fatalf("no key, or one that shows: %v", err)
	}
	s.lock("m3")
	if err := swarmboot.RotateUnlockKey(s.ctx(10*time.Second), m1); err != nil {
		t.Fatal(err)
	}
	key, err := swarmboot.UnlockKeyOf(s.ctx(10*time.Second), m1)
	if err != nil || key == old {
		t.Fatalf("the key is the same after its rotation, or %v", err)
	}
	// m3 was away when the key changed: it needs the former one, and takes the new one over.
	if err := swarmboot.Unlock(s.ctx(30*time.Second), m3, key); !errors.Is(err, swarmboot.ErrUnlockKey) {
		t.Errorf("another key: got %v", err)
	}
	if err := swarmboot.Unlock(s.ctx(time.Minute), m3, old); err != nil {
		t.Fatal(err)
	}
	if err := swarmboot.Unlock(s.ctx(time.Minute), m3, old); err != nil {
		t.Errorf("unlock again: %v", err)
	}
	s.settled()
	if on, err := swarmboot.Autolocked(s.ctx(10*time.Second), m3); !on || err != nil {
		t.Errorf("got %v, %v", on, err)
	}
	if err := swarmboot.SetAutolock(s.ctx(10*time.Second), m1, false); err != nil {
		t.Fatal(err)
	}
	if key, err := swarmboot.UnlockKeyOf(s.ctx(10*time.Second), m1); key != "" || err != nil {
		t.Errorf("there is a key still, or %v", err)
	}
}

// lock restarts an engine until it has taken the key over and asks for it.
func (s *teller) lock(name string) {
	s.t.Helper()
	for range 10 {
		s.w.stop(name)
		s.w.start(name)
		for range 20 {
			if seen := swarmboot.Inspect(s.ctx(10*time.Second), s.w.engine(name)); seen.Locked() {
				return
			} else if seen.State == "active" && seen.Control {
				break
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
	s.t.Fatalf("%s does not lock", name)
}

func TestRotationWaitsForNodesThatAreDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &teller{t: t, w: newMemory(), nodes: map[string]swarmboot.Node{}, ids: map[string]string{}}
		s.want(mgr, "m1")
		s.want(wrk, "w1", "w2")
		s.reach()
		s.w.stop("w2")
		m1 := s.w.engine("m1")
		if err := swarmboot.RotateCA(t.Context(), m1, swarmboot.Rotation{Number: 1}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("no more patience"))
		defer cancel()
		err := swarmboot.WaitCertified(ctx, m1, func(swarmboot.Certified) {})
		want := "the rotation of the swarm's authority has not ended: 2 of 3 nodes have a new certificate; waiting for w2 (down): no more patience"
		if !errors.Is(err, swarmboot.ErrRotation) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		s.w.start("w2")
		if err := swarmboot.WaitCertified(t.Context(), m1, func(swarmboot.Certified) {}); err != nil {
			t.Error(err)
		}
	})
}

// authorityPEM is a certificate that an authority might have, and its key.
func authorityPEM(t *testing.T, ca bool, life time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ours"}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestAuthorityOfOnesOwn(t *testing.T) {
	t.Parallel()
	w := newMemory()
	s := &teller{t: t, w: w, nodes: map[string]swarmboot.Node{}, ids: map[string]string{}}
	s.want(mgr, "m1")
	s.reach()
	cert, key := authorityPEM(t, true, 10*365*24*time.Hour)
	r := swarmboot.Rotation{Cert: cert, Key: swarmboot.SigningKey(key)}
	if text := fmt.Sprintf("%v %+v %#v", r, r, r); strings.Contains(text, "PRIVATE") {
		t.Errorf("the key shows: %s", text)
	}
	if err := r.Check(time.Now()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := swarmboot.RotateCA(t.Context(), w.engine("m1"), r); err != nil {
			t.Fatal(err)
		}
		if err := swarmboot.WaitCertified(s.ctx(time.Minute), w.engine("m1"), func(swarmboot.Certified) {}); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := swarmboot.AuthorityOf(t.Context(), w.engine("m1")); err != nil || strings.TrimSpace(a.Root) != strings.TrimSpace(cert) || a.Rotating {
		t.Errorf("got %+v, %v", a, err)
	}
	if n := w.made["m1"].Rotations(); n != 1 {
		t.Errorf("%d rotations, want 1", n)
	}
	leaf, _ := authorityPEM(t, false, 10*365*24*time.Hour)
	short, _ := authorityPEM(t, true, 300*24*time.Hour)
	for text, want := range map[string]string{"none": "no certificate in PEM", leaf: "not that of an authority", short: "expires too soon", cert + leaf: "more than one"} {
		if err := (swarmboot.Rotation{Cert: text}).Check(time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want that it says %q", err, want)
		}
	}
}

func TestPlanRotation(t *testing.T) {
	t.Parallel()
	down := member("w1", wrk)
	down.State = "down"
	ms := []swarmboot.Member{member("m1", mgr), member("m2", mgr), down}
	cert, key := authorityPEM(t, true, 10*365*24*time.Hour)
	now := swarmboot.Authority{Root: "root", Issuer: "issuer", Rotations: 3, Expiry: 90 * 24 * time.Hour}
	for name, tt := range map[string]struct {
		r    swarmboot.Rotation
		ms   []swarmboot.Member
		want []string
	}{
		"of its own": {swarmboot.Rotation{Number: 4}, ms[:2], []string{
			"have the managers make a new authority", "wait until all 2 nodes have a certificate of it and trust it alone",
		}},
		"given, one is down": {swarmboot.Rotation{Number: 4, Cert: cert, Key: swarmboot.SigningKey(key), Expiry: 720 * time.Hour}, ms, []string{
			"have the managers take over the authority given", "make certificates of nodes good for 720h0m0s instead of 2160h0m0s",
			"wait until all 3 nodes have a certificate of it and trust it alone; it does not end before these are back or taken out: w1 (down)",
		}},
		"ordered before": {swarmboot.Rotation{Number: 3}, ms[:1], []string{
			"go on with the rotation that was ordered before", "wait until all 1 nodes have a certificate of it and trust it alone",
		}},
	} {
		if got := swarmboot.PlanRotation(now, tt.ms, tt.r); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestSpecificationIsKept has what is not known here survive an update.
func TestSpecificationIsKept(t *testing.T) {
	t.Parallel()
	w := newMemory()
	s := &teller{t: t, w: w, nodes: map[string]swarmboot.Node{}, ids: map[string]string{}}
	s.swarm.CertExpiry = 2 * time.Hour
	s.want(mgr, "m1")
	s.reach()
	m1 := w.made["m1"]
	m1.Conflict(2)
	if err := swarmboot.SetAutolock(t.Context(), m1, true); err != nil {
		t.Fatal(err)
	}
	bodies := m1.Bodies()
	want := `"CAConfig":{"NodeCertExpiry":7200000000000},"EncryptionConfig":{"AutoLockManagers":true},"Labels":{},"Name":"default"`
	if last := bodies[len(bodies)-1]; !strings.Contains(last, want) {
		t.Errorf("got %s, want that it has %s", last, want)
	}
}
