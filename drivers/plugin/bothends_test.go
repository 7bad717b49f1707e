package plugin_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/drivers/plugin"
)

// TestBothEnds has a driver of ours, served by one process and used by another, pass the suite that all drivers
// pass.
func TestBothEnds(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
		bin, provider := folderWith(t, plugin.ProgramPrefix+fake.Name), t.TempDir()
		finder := plugin.NewFinder(context.WithoutCancel(t.Context()), func(name string) string {
			return map[string]string{"PATH": bin}[name]
		}, append(os.Environ(), "PLUGIN_TEST_SERVE=1", "FAKE_SECRET="), plugin.Limits{Heartbeat: 50 * time.Millisecond})
		f, err := finder.Find(fake.Name)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var ends []func(context.Context)
		t.Cleanup(func() {
			for _, fn := range ends {
				fn(context.WithoutCancel(t.Context()))
			}
		})
		p := fake.Folder(provider)
		return drivertest.World{
			Factory: f,
			Values:  drivers.Values{"fake-state-dir": {provider}, "fake-secret": {"hush-hush"}},
			Env: drivers.Env{
				Dir:   filepath.Join(t.TempDir(), "store", "machines", "served"),
				AtEnd: func(fn func(context.Context)) { mu.Lock(); ends = append(ends, fn); mu.Unlock() },
			},
			Bad:     map[string][]string{"fake-ssh-port": {"many"}},
			Refused: map[string]drivers.Values{"check": {"fake-fail": {"check"}}, "size": {"fake-size": {"huge"}}},
			Resources: func(ctx context.Context) (all []string, err error) {
				found, err := p.Resources(ctx)
				for _, r := range found {
					all = append(all, r.Kind+"/"+r.ID)
				}
				return all, err
			},
			Vanish: func(ctx context.Context, resource string) error { return p.Vanish(ctx, filepath.Base(resource)) },
		}
	}})
}
