package provision

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlanSeal(t *testing.T) {
	t.Parallel()
	names := func(steps []Step) (all []string) {
		for _, s := range steps {
			all = append(all, s.Name)
		}
		return all
	}
	f := host(t, "debian", withEngine("docker-ce", "5:28.5.2-1", debianUnit), func(f *Facts) {
		f.OurDropIn, f.Record, f.DaemonJSON = unitDir+"/"+dropInName, []byte(`{"keys":{"tlsverify":true}}`), []byte(`{"tlsverify":true}`)
		f.TLSHashes = map[string]string{"server-key.pem": "00"}
	})
	steps, err := PlanSeal(f, 4)
	if err != nil {
		t.Fatal(err)
	}
	got := names(steps)
	if got[0] != "stop the engine" || got[len(got)-1] != "take out what is this host's own" || !slices.Contains(got, "remove TLS files from /etc/docker") {
		t.Errorf("steps are %q", got)
	}
	if slices.ContainsFunc(got, func(n string) bool { return strings.Contains(n, "start the engine") }) {
		t.Errorf("the engine is started again: %q", got)
	}
	if last := steps[len(steps)-1]; last.Limit != 4*limitStart || !strings.Contains(last.Run, "ssh_host_") {
		t.Errorf("last is %v: %s", last.Limit, last.Run)
	}
	// One that was sealed, and has booted since, is sealed again.
	steps, err = PlanSeal(host(t, "debian", withEngine("docker-ce", "5:28.5.2-1", debianUnit)), 1)
	if err != nil || len(steps) != 2 || steps[1].Limit != 2*time.Minute {
		t.Errorf("steps are %q, %v", names(steps), err)
	}
}
