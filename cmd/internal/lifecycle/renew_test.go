package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hostsmith/machine/certs"
)

func TestAuthorityWithoutItsKeyIsNeverReplacedUnasked(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	before, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(m.Store.CertsDir(), caKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ensureAuthority(t.Context()); err != nil {
		t.Errorf("nothing need be signed, and yet: %v", err)
	}
	m.Now = func() time.Time { return time.Now().Add(certs.LeafLifetime) } // the client pair is due
	if _, err := m.ensureAuthority(t.Context()); !errors.Is(err, ErrNoCAKey) {
		t.Errorf("got %v, want ErrNoCAKey", err)
	}
	now, err := m.readAuthority()
	if err != nil || string(now.cert) != string(before.cert) {
		t.Errorf("the authority changed, or %v", err)
	}
	m.Now = time.Now
	if err := m.rotateCA(t.Context(), CertsRequest{}); err != nil {
		t.Fatalf("rotate: %v", err)
	}
	now, err = m.readAuthority()
	if err != nil || now.ca == nil || string(now.cert) == string(before.cert) {
		t.Errorf("after the rotation: the old authority, or %v", err)
	}
}

func TestExpiredAuthorityIsReplacedByRotation(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	old, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.Now = func() time.Time { return time.Now().Add(certs.CALifetime + time.Hour) }
	if _, err := m.ensureAuthority(t.Context()); !errors.Is(err, certs.ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
	if err := m.rotateCA(t.Context(), CertsRequest{}); err != nil {
		t.Fatal(err)
	}
	a, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(a.cert) == string(old.cert) || m.ended(a) || m.hasCert(oldFile) || m.hasCert(nextFile) {
		t.Error("the expired authority, or a part of the rotation, is still there")
	}
	if _, err := a.ca.Server([]string{"192.0.2.7"}, m.Now()); err != nil {
		t.Errorf("the new authority does not sign: %v", err)
	}
}
