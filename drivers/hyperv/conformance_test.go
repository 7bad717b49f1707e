package hyperv

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

// by has somebody else do an operation, and returns its value.
func (b *bench) by(op, args string, into any) error {
	a, err := b.Do(context.Background(), `{"id":1,"op":"`+op+`","args":`+args+`}`)
	if err == nil && a.Error != nil {
		err = a.Error
	}
	if err != nil || into == nil {
		return err
	}
	text, err := json.Marshal(a.Value)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

func conformant(b *bench, more drivers.Values) drivertest.World {
	foreign := map[string]bool{}
	list := func(ctx context.Context, ours bool) ([]string, error) {
		ledger, err := b.Ledger(ctx)
		var all []string
		for _, r := range ledger {
			switch {
			case foreign[r.ID] == ours:
			case ours:
				all = append(all, r.Kind+"/"+r.ID)
			default:
				all = append(all, r.Kind+"/"+r.ID+"/"+r.Name)
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
			"hyperv-nat":               {"192.168.144.1/24", "x", "fd00::/64", "10.0.0.0/31"},
			"hyperv-ip":                {"10.0.0.1"},
			"hyperv-cpu-count":         {"0"},
			"hyperv-memory":            {"64"},
			"hyperv-ssh-user":          {"root"},
			"hyperv-static-macaddress": {"00:15:5d", "01:00:5e:00:00:01"},
			"hyperv-vlan-id":           {"4095"},
		},
		Refused: map[string]drivers.Values{
			"no such image":       {"hyperv-image": {"windows-95"}},
			"no such switch":      {"hyperv-virtual-switch": {"Default"}, "hyperv-nat": nil},
			"more than there is":  {"hyperv-memory": {"1000000"}},
			"more processors":     {"hyperv-cpu-count": {"64"}},
			"no such user data":   {"hyperv-userdata": {"/nonexistent"}},
			"range of another":    {"hyperv-nat": {"172.20.16.0/24"}},
			"checksum is no hash": {"hyperv-image-checksum": {"sha256:xyz"}},
		},
		Spoil:     map[string]any{"Image": "gone", "NAT": "?", "CPUs": 0, "Memory": -1, "IP": "x", "MAC": "?", "Switch": "gone"},
		Resources: func(ctx context.Context) ([]string, error) { return list(ctx, true) },
		Foreign:   func(ctx context.Context) ([]string, error) { return list(ctx, false) },
		Vanish: func(ctx context.Context, resource string) error {
			kind, id, _ := strings.Cut(resource, "/")
			err := b.Vanish(ctx, kind, id)
			if errors.Is(err, sim.ErrUnknown) {
				return nil
			}
			return err
		},
		Plant: func(_ context.Context, machine string) error {
			for _, name := range []string{machine, "other"} {
				var made struct{ ID string }
				notes := "machine-store=another machine-name=" + machine
				if err := b.by("newMachine", `{"name":"`+name+`","path":"`+b.home+`","generation":2,"memory":1073741824,"notes":"`+notes+`"}`, &made); err != nil {
					return err
				}
				foreign[made.ID] = true
			}
			var s struct{ ID, Name string }
			if err := b.by("makeNat", `{"name":"machine-nat-another-10.9.0.0-24","notes":"machine-store=another","gateway":"10.9.0.1","bits":24,"subnet":"10.9.0.0/24"}`, &s); err != nil {
				return err
			}
			foreign[s.ID], foreign[s.Name] = true, true
			return nil
		},
		Observe: b.Observe,
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]drivers.Values{
		"default switch": nil,
		"nat":            {"hyperv-nat": {"192.168.144.0/24"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared := t.TempDir()
			newBenchAt(t, hypervsim.Config{}, shared)
			drivertest.Run(t, drivertest.Harness{Timeout: 30 * time.Second, New: func(t testing.TB) drivertest.World {
				return conformant(newBenchAt(t, hypervsim.Config{}, shared), more)
			}})
		})
	}
}
