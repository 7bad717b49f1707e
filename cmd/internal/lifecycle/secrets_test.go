package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

const hush = "hush-1"

// secret is a request of m1 with a secret among its options; the provider wants it.
func (w *world) secret(value string) CreateRequest {
	return CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-secret": {value}}}
}

// holding are the files of the store that have text in them.
func (w *world) holding(text string) (files []string) {
	for path, data := range w.files() {
		if strings.Contains(data, text) {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}

func TestSecretsThatAreNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.setenv(fake.EnvWant, hush)
	req := w.secret(hush)
	req.NoStoreSecrets = true
	// At each write, none of them holds the secret.
	w.hooks(nil, func(what string) error {
		if files := w.holding(hush); len(files) > 0 || what == "put secrets" && w.record("m1").NoStoredSecrets == false {
			t.Errorf("%s: the secret is in %q", what, files)
		}
		return nil
	})
	w.setenv(fake.EnvFail, "create-between")
	if _, err := w.manager().Create(t.Context(), req); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	// The next create says it again, with or without the flag; or else is told.
	none := CreateRequest{Names: req.Names, Driver: fake.Name}
	_, err := w.manager().Create(t.Context(), none)
	if !errors.Is(err, drivers.ErrCredentials) || !strings.Contains(HintOf(err), "repeat the create command with them (--fake-secret [$FAKE_SECRET])") {
		t.Errorf("without: %v, hint %q", err, HintOf(err))
	}
	w.create(w.secret(hush))
	w.hooks(nil, nil)
	if files := w.holding(hush); len(files) > 0 || !w.record("m1").NoStoredSecrets || w.record("m1").Phase != store.Ready {
		t.Errorf("the secret is in %q; record %+v", files, w.record("m1"))
	}
	// Other commands: the environment, and a hint.
	names := []string{"m1"}
	for what, err := range map[string]error{
		"stop": w.manager().Stop(t.Context(), names), "status": second(w.manager().Status(t.Context(), "m1")), "rm": second(w.manager().Remove(t.Context(), RemoveRequest{Names: names})),
	} {
		if !errors.Is(err, drivers.ErrCredentials) || !strings.Contains(HintOf(err), "machine credentials m1") || !strings.Contains(HintOf(err), "$FAKE_SECRET") {
			t.Errorf("%s: %v, hint %q", what, err, HintOf(err))
		}
	}
	w.setenv("FAKE_SECRET", hush)
	if _, err := w.manager().Status(t.Context(), "m1"); err != nil {
		t.Error(err)
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: names}); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestResumeUsesTheSecretsOfItsCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.setenv(fake.EnvWant, "hush-2")
	if _, err := w.manager().Create(t.Context(), w.secret(hush)); !errors.Is(err, drivers.ErrCredentials) || len(w.files()) > 1 {
		t.Fatalf("%v, files %v", err, w.files())
	}
	w.setenv(fake.EnvWant, hush)
	w.setenv(fake.EnvFail, "create-between")
	if _, err := w.manager().Create(t.Context(), w.secret(hush)); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	w.setenv(fake.EnvWant, "hush-2")
	_, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name})
	if !errors.Is(err, drivers.ErrCredentials) || !strings.Contains(HintOf(err), "in the place of those that are stored") {
		t.Errorf("with what is stored: %v, hint %q", err, HintOf(err))
	}
	w.create(w.secret("hush-2"))
	if files := w.holding("hush-2"); !slices.Equal(files, []string{"machines/m1/secrets.json"}) || len(w.holding(hush)) > 0 {
		t.Errorf("new in %q, old in %q", files, w.holding(hush))
	}
}

func TestResumeThatTakesTheSecretsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.setenv(fake.EnvWant, hush)
	w.setenv(fake.EnvFail, "create-between")
	if _, err := w.manager().Create(t.Context(), w.secret(hush)); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	req := w.secret(hush)
	req.NoStoreSecrets = true
	w.create(req)
	if files := w.holding(hush); len(files) > 0 || !w.record("m1").NoStoredSecrets {
		t.Errorf("the secret is in %q", files)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.setenv(fake.EnvWant, hush)
	w.create(w.secret(hush))
	ctx, names := t.Context(), []string{"m1"}
	replace := func(value string) error {
		return w.manager().Credentials(ctx, CredentialsRequest{Names: names, Options: drivers.Values{"fake-secret": {value}}})
	}
	// Refused ones do not replace those that work.
	if err := replace("wrong"); !errors.Is(err, drivers.ErrCredentials) || len(w.holding("wrong")) > 0 {
		t.Errorf("wrong: %v, in %q", err, w.holding("wrong"))
	}
	w.setenv(fake.EnvWant, "hush-2")
	if err := replace("hush-2"); err != nil || len(w.holding(hush)) > 0 || len(w.holding("hush-2")) != 1 {
		t.Errorf("%v, old in %q, new in %q", err, w.holding(hush), w.holding("hush-2"))
	}
	if _, err := w.manager().Status(ctx, "m1"); err != nil {
		t.Error(err)
	}
	// A provider that cannot be asked is no reason to keep what is known to be old.
	w.setenv(fake.EnvFail, "status:unreachable")
	w.setenv(fake.EnvWant, "")
	if err := replace("hush-3"); err != nil || len(w.holding("hush-3")) != 1 || !w.noted("could not be checked") {
		t.Errorf("%v, notes %q", err, w.notes.text)
	}
	w.setenv(fake.EnvFail, "")
	for _, options := range []drivers.Values{{"fake-size": {"large"}}, {"url": {"x"}}} {
		if err := w.manager().Credentials(ctx, CredentialsRequest{Names: names, Options: options}); !errors.Is(err, ErrUsage) {
			t.Errorf("%v: %v", options, err)
		}
	}
	// A file that cannot be read is replaced.
	if err := os.WriteFile(filepath.Join(w.dir, "machines/m1/secrets.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replace("hush-4"); err != nil {
		t.Error(err)
	}
	if err := w.manager().Credentials(ctx, CredentialsRequest{Names: names, Forget: true}); err != nil || len(w.holding("hush")) > 0 || !w.record("m1").NoStoredSecrets {
		t.Errorf("forget: %v, in %q", err, w.holding("hush"))
	}
	if err := replace("hush-5"); err != nil || w.record("m1").NoStoredSecrets {
		t.Errorf("stored again: %v", err)
	}
	if err := replace(""); err != nil || len(w.holding("hush")) > 0 {
		t.Errorf("emptied: %v", err)
	}
	if err := w.manager().Credentials(ctx, CredentialsRequest{Names: []string{"m2"}, Forget: true}); !errors.Is(err, store.ErrNotExist) {
		t.Error(err)
	}
	if text := w.log.String() + strings.Join(w.notes.text, "\n"); strings.Contains(text, "hush") {
		t.Errorf("a secret is in the log or a note: %s", text)
	}
}

// TestKilledForget has a command end between the record and the secrets: they serve no more.
func TestKilledForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(w.secret(hush))
	w.hooks(nil, func(what string) error {
		if what == "put secrets" {
			return errKilled
		}
		return nil
	})
	if err := w.manager().Credentials(context.WithoutCancel(t.Context()), CredentialsRequest{Names: []string{"m1"}, Forget: true}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	w.hooks(nil, nil)
	w.setenv(fake.EnvWant, hush)
	if _, err := w.manager().Status(t.Context(), "m1"); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("what was to be forgotten still serves: %v", err)
	}
}

// vault is a driver whose record tells what the secret of its option is stored as.
type vault struct{ cloud }

func (vault) Rekey(_ context.Context, given map[string]string) (map[string]string, []byte, error) {
	if given["vault-key"] == "of no use" {
		return nil, nil, drivers.ErrUnsupported
	}
	return map[string]string{"vault-key": given["vault-key"], "old": ""}, []byte(`{"ID":"i-1"}`), nil
}

// TestCredentialsByTheDriver demands that secrets go where the driver says, record and all, and that nothing is changed
// by secrets that are refused or of no use.
func TestCredentialsByTheDriver(t *testing.T) {
	t.Parallel()
	w, m, host := oldMachine(t)
	m.Drivers = drivers.Table{drivers.Define("vault", "a vault", func() cloudConfig { return cloudConfig{} },
		func(c cloudConfig, s *drivers.Durable[cloudState], _ drivers.Env) (drivers.Driver, error) {
			return vault{cloud{c.Key, s, host}}, nil
		})}
	for name, text := range map[string]string{
		"config.json":  `{"ConfigVersion":3,"DriverName":"vault","Name":"old","Driver":{"Region":"r1"},"DriverState":{"ID":"i-0"},"HostOptions":{}}`,
		"secrets.json": `{"vault-key":"before"}`,
	} {
		if err := os.WriteFile(filepath.Join(w.dir, "machines", "old", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := w.files()
	for value, want := range map[string]error{"wrong": drivers.ErrCredentials, "of no use": drivers.ErrUnsupported} {
		err := m.Credentials(t.Context(), CredentialsRequest{Names: []string{"old"}, Options: drivers.Values{"vault-key": {value}}})
		if after := w.files(); !errors.Is(err, want) || after["machines/old/config.json"] != before["machines/old/config.json"] || after["machines/old/secrets.json"] != before["machines/old/secrets.json"] {
			t.Errorf("%s: got %v, wrote %v", value, err, after)
		}
	}
	if err := m.Credentials(t.Context(), CredentialsRequest{Names: []string{"old"}, Options: drivers.Values{"vault-key": {hush}}}); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("old"); string(rec.DriverState) != `{"ID":"i-1"}` {
		t.Errorf("state %s", rec.DriverState)
	}
	if got := strings.TrimSpace(w.files()["machines/old/secrets.json"]); got != `{"vault-key":"`+hush+`"}` {
		t.Errorf("secrets %s", got)
	}
}
