package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

// TestChurn makes, uses and removes machines of a provider, twenty at once on one store, in the order in which
// GitLab Runner does. Nothing is left of them.
func TestChurn(t *testing.T) {
	t.Parallel()
	machines, atOnce := 100, 20
	if testing.Short() {
		machines, atOnce = 10, 5
	}
	names := make([]string, machines)
	for i := range names {
		names[i] = fmt.Sprintf("runner-%d", i)
	}
	w := newWorld(t, names...)
	engine := EngineOptions{RegistryMirror: []string{"http://mirror.example.test:5000"}, StorageDriver: "overlay2", Labels: []string{"ci=yes"}}
	var working sync.WaitGroup
	for first := range atOnce {
		working.Go(func() {
			for i := first; i < machines; i += atOnce {
				if err := w.churn(names[i], engine); err != nil {
					t.Errorf("%s: %v", names[i], err)
				}
			}
		})
	}
	working.Wait()
	if hosts, all := w.made(); hosts+all > 0 {
		t.Errorf("%d hosts, %d resources are left", hosts, all)
	}
	for dir, want := range map[string]int{"machines": 0, "locks": 1, "certs": 4} { // locks has that of what machines share
		if entries, err := os.ReadDir(filepath.Join(w.dir, dir)); err != nil || len(entries) != want {
			t.Errorf("%s has %d entries, want %d: %v, %v", dir, len(entries), want, entries, err)
		}
	}
}

// churn is the life of one machine; each command is a process of its own.
func (w *world) churn(name string, engine EngineOptions) error {
	ctx := w.t.Context()
	_, err := w.manager().Create(ctx, CreateRequest{Names: []string{name}, Driver: fake.Name, Engine: engine, Options: drivers.Values{"fake-secret": {"token"}}})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for range 2 {
		ep, err := w.manager().Endpoint(ctx, name, false)
		if err != nil {
			return fmt.Errorf("config: %w", err)
		}
		if ep.CertPath != w.manager().Store.MachineDir(name) {
			return fmt.Errorf("its certificates are in %s", ep.CertPath)
		}
	}
	if err := w.manager().Stop(ctx, []string{name}); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if _, err := w.manager().Endpoint(ctx, name, false); err == nil {
		return errors.New("config succeeds although it is stopped")
	}
	_, err = w.manager().Remove(ctx, RemoveRequest{Names: []string{name}})
	return err
}
