package virtualbox

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// strangers is the folder of what is planted.
func (b *bench) strangers() string { return filepath.Join(b.vars["HOME"], "strangers") }

func conformant(b *bench, more drivers.Values) drivertest.World {
	ours := func(r sim.Resource) bool {
		if r.Kind == vboxsim.KindMachine || r.Kind == vboxsim.KindMedium {
			return !strings.HasPrefix(r.Name, "suite-a (theirs)") && !strings.Contains(r.Name, "/strangers/") && !strings.HasPrefix(r.ID, "beef")
		}
		return r.ID != "vboxnet7" && !strings.HasSuffix(r.ID, "-vboxnet7")
	}
	list := func(ctx context.Context, keep func(sim.Resource) bool) ([]string, error) {
		ledger, err := b.Ledger(ctx)
		var all []string
		for _, r := range ledger {
			if keep(r) {
				all = append(all, r.Kind+"/"+r.ID)
			}
		}
		extra, xerr := b.Extra(ctx)
		if len(all) == 0 && err == nil && xerr == nil { // of marks alone nobody knows what they are for
			for key := range extra {
				if strings.HasPrefix(key, "machine/") {
					all = append(all, "mark/"+key)
				}
			}
		}
		return all, err
	}
	values := maps.Clone(b.values)
	maps.Copy(values, more)
	return drivertest.World{
		Factory: factory(b.world),
		Values:  values,
		Env:     b.env(),
		Request: vmtest.Request(),
		Bad: map[string][]string{
			"virtualbox-hostonly-cidr":         {"192.168.56.0/24"},
			"virtualbox-ip":                    {"10.0.0.1"},
			"virtualbox-cpu-count":             {"0"},
			"virtualbox-memory":                {"64"},
			"virtualbox-ssh-user":              {"root"},
			"virtualbox-share-folder":          {"relative:name"},
			"virtualbox-import-boot2docker-vm": {"boot2docker-vm"},
		},
		Refused: map[string]drivers.Values{
			"no such image":       {"virtualbox-image": {"windows-95"}},
			"range not allowed":   {"virtualbox-hostonly-cidr": {"192.168.99.1/24"}},
			"more than there is":  {"virtualbox-memory": {"1000000"}},
			"no such share":       {"virtualbox-share-folder": {"/nonexistent:x"}},
			"no such user data":   {"virtualbox-userdata": {"/nonexistent"}},
			"range of another":    {"virtualbox-hostonly-cidr": {"192.0.2.1/24"}},
			"checksum is no hash": {"virtualbox-image-checksum": {"sha256:xyz"}},
		},
		Spoil:     map[string]any{"Image": "gone", "HostOnlyCIDR": "?", "CPUs": 0, "Memory": -1, "IP": "x", "Access": "?", "UIType": "?"},
		Resources: func(ctx context.Context) ([]string, error) { return list(ctx, ours) },
		Foreign: func(ctx context.Context) ([]string, error) {
			ledger, err := b.Ledger(ctx)
			var all []string
			for _, r := range ledger {
				if !ours(r) {
					all = append(all, r.Kind+"/"+r.ID+"/"+r.Name)
				}
			}
			return all, err
		},
		Vanish: func(ctx context.Context, resource string) error {
			kind, id, _ := strings.Cut(resource, "/")
			err := b.Vanish(ctx, kind, id)
			if errors.Is(err, sim.ErrUnknown) && kind == vboxsim.KindMedium {
				return nil // it went with its machine
			}
			return err
		},
		Plant: func(_ context.Context, machine string) error {
			b.manage("createvm", "--name", machine, "--uuid", "beef0000-0000-4000-8000-000000000001", "--basefolder", b.strangers(), "--register")
			b.manage("createvm", "--name", "other", "--uuid", "beef0000-0000-4000-8000-000000000002", "--basefolder", b.strangers(), "--register")
			return nil
		},
		Observe: b.Observe,
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	newBenchAt(t, vboxsim.Config{}, shared)
	drivertest.Run(t, drivertest.Harness{Timeout: 30 * time.Second, New: func(t testing.TB) drivertest.World {
		return conformant(newBenchAt(t, vboxsim.Config{}, shared), nil)
	}})
}
