package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// newManager returns a manager on an empty store that keeps its notes.
func newManager(t *testing.T, table ...drivers.Factory) (*Manager, *notes) {
	t.Helper()
	n := &notes{}
	return &Manager{
		Store:   store.Open(filepath.Join(t.TempDir(), "store")),
		Drivers: drivers.Table(table),
		Step: func(ctx context.Context, _ string, fn func(context.Context) error) error {
			return fn(ctx)
		},
		Note:    n.add,
		Log:     slog.New(slog.DiscardHandler),
		Getenv:  func(k string) string { return map[string]string{"USER": "ada"}[k] },
		Now:     time.Now,
		Version: "0.0.0-test",
		Command: "test",
	}, n
}

type notes struct {
	mu   sync.Mutex
	text []string
}

func (n *notes) add(ctx context.Context, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name := MachineOf(ctx); name != "" {
		text = name + ": " + text
	}
	n.text = append(n.text, text)
}

func TestAuthorityIsMadeOnce(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	var wg sync.WaitGroup
	got := make([]authority, 50)
	errs := make([]error, len(got))
	for i := range got {
		wg.Go(func() { got[i], errs[i] = m.ensureAuthority(t.Context()) })
	}
	wg.Wait()
	for i, a := range got {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if string(a.ca.Pair().Cert) != string(got[0].ca.Pair().Cert) || string(a.client.Cert) != string(got[0].client.Cert) {
			t.Fatalf("caller %d got another authority or client certificate", i)
		}
		if err := m.usable(a); err != nil {
			t.Fatalf("client certificate of caller %d: %v", i, err)
		}
	}
}

func TestDueClientCertificateIsRenewedByTheSameAuthority(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	first, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.Now = func() time.Time { return time.Now().Add(certs.LeafLifetime - 10*24*time.Hour) }
	second, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(first.ca.Pair().Cert) != string(second.ca.Pair().Cert) {
		t.Error("the authority changed")
	}
	if string(first.client.Cert) == string(second.client.Cert) {
		t.Error("the client certificate, due in ten days, was not renewed")
	}
}

func TestOwnAuthorityIsTakenOver(t *testing.T) {
	t.Parallel()
	m, n := newManager(t)
	ca, err := certs.NewCA("own", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"my-ca.pem": ca.Pair().Cert, "my-key.pem": ca.Pair().Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.TLS = TLSFiles{CACert: filepath.Join(dir, "my-ca.pem"), CAKey: filepath.Join(dir, "my-key.pem")}
	a, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(a.ca.Pair().Cert) != string(ca.Pair().Cert) {
		t.Error("the store's authority is not the one given")
	}
	if len(n.text) == 0 {
		t.Error("taking it over was not said")
	}
}

// memFolder is a certs folder that stops at the n-th write, as a killed process does.
type memFolder struct {
	files map[string][]byte
	left  int
}

var errKilled = errors.New("killed")

func (f *memFolder) ReadCert(name string) ([]byte, error) {
	data, ok := f.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return data, nil
}

func (f *memFolder) spend() error {
	if f.left == 0 {
		return errKilled
	}
	f.left--
	return nil
}

func (f *memFolder) WriteCert(name string, data []byte) error {
	if err := f.spend(); err != nil {
		return err
	}
	f.files[name] = data
	return nil
}

func (f *memFolder) WriteCerts(files ...store.File) error {
	for _, one := range files {
		if err := f.WriteCert(one.Name, one.Data); err != nil {
			return err
		}
	}
	return nil
}

func (f *memFolder) RemoveCert(name string) error {
	if err := f.spend(); err != nil {
		return err
	}
	delete(f.files, name)
	return nil
}

// TestPromotionSurvivesAKillAtEachWrite kills the change of authority at each write. The store must load, trust
// both authorities (engines still show certificates of the old one), and a second call must end it.
func TestPromotionSurvivesAKillAtEachWrite(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	start := &memFolder{files: map[string][]byte{}, left: -1}
	if _, err := m.makeAuthority(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	oldCA := start.files[caFile]
	if err := m.makeNext(start); err != nil {
		t.Fatal(err)
	}
	newCA := start.files[nextFile]
	old, err := certs.ParseCA(oldCA, start.files[caKeyFile])
	if err != nil {
		t.Fatal(err)
	}
	shown, err := old.Server([]string{"192.0.2.7"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for n := 0; ; n++ {
		f := &memFolder{files: maps.Clone(start.files), left: n}
		err := m.promote(f)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		done := err == nil
		f.left = -1
		a, err := m.makeAuthority(t.Context(), f)
		if err != nil {
			t.Fatalf("after a kill at write %d the authority does not load: %v", n, err)
		}
		if err := m.usable(a); err != nil {
			t.Fatalf("after a kill at write %d the client certificate is not usable: %v", n, err)
		}
		need := certs.Need{Roots: a.trust, Hosts: []string{"192.0.2.7"}, Now: time.Now()}
		if err := certs.Verify(shown, need); err != nil {
			t.Fatalf("after a kill at write %d the old engines are not trusted: %v", n, err)
		}
		if done {
			break
		}
		kills++
		if _, ok := f.files[nextFile]; !ok {
			continue // ended, but for the key of it
		}
		if err := m.promote(f); err != nil {
			t.Fatalf("continue after a kill at write %d: %v", n, err)
		}
		if string(f.files[caFile]) != string(newCA) || string(f.files[oldFile]) != string(oldCA) {
			t.Fatalf("continued after a kill at write %d: not the new authority, or the old one is lost", n)
		}
	}
	if kills < 7 {
		t.Errorf("only %d kills: the test no longer covers each write", kills)
	}
}
