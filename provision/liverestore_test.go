package provision

import (
	"errors"
	"strings"
	"testing"
)

func TestPlanLiveRestore(t *testing.T) {
	t.Parallel()
	with := func(change ...func(*Facts)) Facts {
		return host(t, "debian", append([]func(*Facts){withEngine("docker.io", "20.10.24", debianUnit)}, change...)...)
	}
	json := func(text string) func(*Facts) { return func(f *Facts) { f.DaemonJSON = []byte(text) } }
	bridged := func(f *Facts) { f.Bridged = true }
	for name, c := range map[string]struct {
		facts Facts
		on    bool
		want  string // of daemon.json; empty: no step
		err   error
	}{
		"no file":       {with(), true, `{"live-restore":true}`, nil},
		"others":        {with(json(`{"debug": true}`)), true, `{"debug":true,"live-restore":true}`, nil},
		"is on":         {with(json(`{"live-restore": true}`)), true, "", nil},
		"is off":        {with(json(`{"live-restore": false}`)), true, "", ErrConfig},
		"is a flag":     {with(func(f *Facts) { f.ExecStart += " --live-restore" }), true, "", nil},
		"no JSON":       {with(json(`{`)), true, "", ErrConfig},
		"off, not ours": {with(json(`{"live-restore": true}`)), false, "", nil},
		"off":           {with(json(`{"live-restore": true, "debug": true}`), bridged), false, `{"debug":true}`, nil},
	} {
		steps, err := PlanLiveRestore(c.facts, c.on)
		got := ""
		if len(steps) == 1 {
			got = strings.Join(strings.Fields(string(steps[0].Stdin)), "")
		}
		if !errors.Is(err, c.err) || got != c.want || len(steps) > 1 {
			t.Errorf("%s: got %v with %s, %v, want %s, %v", name, steps, got, err, c.want, c.err)
		}
	}
}
