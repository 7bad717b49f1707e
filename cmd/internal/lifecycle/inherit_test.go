package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// cloud is a driver that goes on with machines of docker-machine. Its only host is
// there until it is removed with the right key.
type cloud struct {
	key   drivers.Secret
	state *drivers.Durable[cloudState]
	host  *cloudHost
}

type cloudHost struct{ stopped, gone bool }

type cloudConfig struct {
	Region string         `option:"region" help:"region"`
	Key    drivers.Secret `option:"key" env:"CLOUD_KEY" help:"key"`
}

type cloudState struct{ ID string }

func (cloud) Check(context.Context) error                         { return nil }
func (cloud) Create(context.Context, drivers.CreateRequest) error { return nil }
func (cloud) Start(context.Context) error                         { return nil }

func (c cloud) Stop(ctx context.Context) error {
	_, err := c.Status(ctx)
	c.host.stopped = err == nil
	return err
}

func (c cloud) Status(context.Context) (drivers.Status, error) {
	if c.key != hush {
		return drivers.Status{}, drivers.ErrCredentials
	}
	if c.host.gone || c.state.Value.ID != "i-1" {
		return drivers.Status{}, drivers.ErrNotFound
	}
	if c.host.stopped {
		return drivers.Status{State: drivers.Stopped}, nil
	}
	return drivers.Status{State: drivers.Running}, nil
}

func (c cloud) Remove(ctx context.Context) error {
	_, err := c.Status(ctx)
	c.host.gone = err == nil
	return err
}

// oldMachine is a world with a machine of docker-machine, whose driver is cloud.
func oldMachine(t *testing.T) (w *world, m *Manager, host *cloudHost) {
	t.Helper()
	w, host = newWorld(t, "old"), &cloudHost{}
	m = w.manager()
	begin := func(record json.RawMessage) (cloudConfig, cloudState, error) {
		var r struct{ Region, SecretKey, InstanceId string } //nolint:revive // docker-machine's names
		err := json.Unmarshal(record, &r)
		return cloudConfig{r.Region, drivers.Secret(r.SecretKey)}, cloudState{r.InstanceId}, err
	}
	m.Drivers = drivers.Table{drivers.TakingOver(drivers.Define("cloud", "a cloud", func() cloudConfig { return cloudConfig{} },
		func(c cloudConfig, s *drivers.Durable[cloudState], _ drivers.Env) (drivers.Driver, error) {
			return cloud{c.Key, s, host}, nil
		}), begin)}
	dir := filepath.Join(w.dir, "machines", "old")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	record := `{"ConfigVersion":3,"DriverName":"cloud","Name":"old","Driver":{"MachineName":"old","StorePath":"/s","IPAddress":"192.0.2.1","Region":"r1","SecretKey":"` +
		hush + `","InstanceId":"i-1"},"HostOptions":{}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	return w, m, host
}

// TestInheritedSecrets are used by commands that only look, which change nothing,
// and kept apart from the first that changes the machine on.
func TestInheritedSecrets(t *testing.T) {
	t.Parallel()
	w, m, host := oldMachine(t)
	before := w.files()
	if s, err := m.Status(t.Context(), "old"); err != nil || s != drivers.Running {
		t.Errorf("got %v, %v", s, err)
	}
	if shown, err := m.Inspect(t.Context(), "old"); err != nil || strings.Contains(string(shown), hush) || !strings.Contains(string(shown), `"Region":"r1"`) {
		t.Errorf("got %s, %v", shown, err)
	}
	if after := w.files(); after["machines/old/config.json"] != before["machines/old/config.json"] || after["machines/old/secrets.json"] != "" {
		t.Errorf("looking wrote %v", after)
	}
	if err := m.Stop(t.Context(), []string{"old"}); err != nil {
		t.Fatal(err)
	}
	if files := w.holding(hush); !slices.Equal(files, []string{"machines/old/config.json.bak", "machines/old/secrets.json"}) {
		t.Errorf("the secret is in %q", files)
	}
	if rec := w.record("old"); string(rec.Driver) != `{"Region":"r1"}` || string(rec.DriverState) != `{"ID":"i-1"}` {
		t.Errorf("recorded %s, %s", rec.Driver, rec.DriverState)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"old"}}); err != nil || !host.gone {
		t.Errorf("got %v; gone: %v", err, host.gone)
	}
}

// TestRemoveOfInherited ends the host of a record that nothing was done with before.
func TestRemoveOfInherited(t *testing.T) {
	t.Parallel()
	_, m, host := oldMachine(t)
	if removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"old"}}); err != nil || len(removed) != 1 || !host.gone {
		t.Errorf("removed %v, %v; gone: %v", removed, err, host.gone)
	}
}

// TestInheritedCredentials replaces and forgets what docker-machine recorded.
func TestInheritedCredentials(t *testing.T) {
	t.Parallel()
	w, m, _ := oldMachine(t)
	wrong := CredentialsRequest{Names: []string{"old"}, Options: drivers.Values{"cloud-key": {"wrong"}}}
	if err := m.Credentials(t.Context(), wrong); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Status(t.Context(), "old"); err != nil {
		t.Errorf("after a refused replacement: %v", err)
	}
	if err := m.Credentials(t.Context(), CredentialsRequest{Names: []string{"old"}, Forget: true}); err != nil {
		t.Fatal(err)
	}
	if files := w.holding(hush); len(files) > 0 {
		t.Errorf("the secret is in %q", files)
	}
	if _, err := m.Status(t.Context(), "old"); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("got %v", err)
	}
}

// TestInheritedIsKeptWhenSecretsAreNot goes through all faults of the disk: no
// secret is lost before it is written elsewhere.
func TestInheritedIsKeptWhenSecretsAreNot(t *testing.T) {
	t.Parallel()
	_, m, _ := oldMachine(t)
	rec, err := m.Store.Get("old")
	if err != nil {
		t.Fatal(err)
	}
	txn, err := m.Store.Lock(t.Context(), "old", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = txn.Close() }()
	for _, c := range []struct {
		fault error
		want  error
	}{{errors.New("torn"), errAny}, {store.ErrFull, nil}} {
		x := &machine{m: m, rec: rec, txn: &brokenTxn{txn, c.fault}}
		if err := x.open(); (err == nil) != (c.want == nil) {
			t.Errorf("%v: got %v", c.fault, err)
		}
	}
	if now, err := m.Store.Get("old"); err != nil || !strings.Contains(string(now.Driver), hush) {
		t.Errorf("got %s, %v", now.Driver, err)
	}
}

var errAny = errors.New("any")

// brokenTxn cannot write secrets.
type brokenTxn struct {
	machineTxn
	fault error
}

func (b *brokenTxn) PutSecrets(json.RawMessage) error { return b.fault }
