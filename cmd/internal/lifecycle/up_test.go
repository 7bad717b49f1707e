package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const clusterFile = `
name: p
defaults:
  driver: fake
machines:
  worker:
    role: worker
    names: [w1, w2]
    labels: {disk: ssd}
  manager:
    role: manager
    names: [m1]
`

// clusterSpec reads a cluster file; from and to are replaced in it, in pairs.
func clusterSpec(t *testing.T, text string, replace ...string) *cluster.Spec {
	t.Helper()
	s, err := cluster.Parse(cluster.Source{
		File: "c.yaml", Dir: t.TempDir(), Data: []byte(strings.NewReplacer(replace...).Replace(text)), Default: "p",
		Lookup: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func yes(cluster.Steps) (bool, error) { return true, nil }

// up makes a file true and returns what was done.
func (w *world) up(s *cluster.Spec, wish cluster.Wish) string {
	w.t.Helper()
	steps, err := w.manager().Up(w.t.Context(), UpRequest{Spec: s, Wish: wish, Agree: yes})
	if err != nil {
		w.t.Fatalf("%v\n%s", err, steps)
	}
	return steps.String()
}

// drift is what differs from a file.
func (w *world) drift(s *cluster.Spec) string {
	w.t.Helper()
	steps, err := w.manager().Up(w.t.Context(), UpRequest{Spec: s})
	if err != nil {
		w.t.Fatal(err)
	}
	return steps.String()
}

const noDrift = "p: nothing to do\n"

func (w *world) roles() string {
	w.t.Helper()
	var out []string
	for _, n := range w.status("p").Nodes {
		out = append(out, n.Machine+" "+n.Role)
	}
	return strings.Join(out, ", ")
}

func TestUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "w2", "w3")
	s := clusterSpec(t, clusterFile)
	done := w.up(s, cluster.Wish{})
	if want := "p:\n  +   create       m1: driver fake\n  +   create       w1: driver fake\n  +   create       w2: driver fake\n" +
		"  +   init         m1: new swarm p\n  +   join         w1: swarm p as worker\n  +   join         w2: swarm p as worker\n"; done != want {
		t.Errorf("Got %s", done)
	}
	if got := w.roles(); got != "m1 manager, w1 worker, w2 worker" {
		t.Errorf("Got %s", got)
	}
	// The second time nothing is done and nothing is written.
	before := w.files()
	if got := w.up(s, cluster.Wish{}); got != noDrift {
		t.Errorf("Got %s", got)
	}
	if after := w.files(); len(after) != len(before) || !sameFiles(before, after) {
		t.Error("an up with nothing to do writes")
	}
	// More workers, another label, two more managers.
	s = clusterSpec(t, clusterFile, "[w1, w2]", "[w1, w2, w3]", "disk: ssd", "disk: hdd", "[m1]", "[m1, m2, m3]")
	w.up(s, cluster.Wish{})
	if got := w.roles(); got != "m1 manager, m2 manager, m3 manager, w1 worker, w2 worker, w3 worker" {
		t.Errorf("Got %s", got)
	}
	if got := w.drift(s); got != noDrift {
		t.Errorf("Got %s", got)
	}
	// A manager becomes a worker, and its label is set on the way.
	s = clusterSpec(t, clusterFile, "[w1, w2]", "[w1, w2, w3, m3]", "disk: ssd", "disk: hdd", "[m1]", "[m1, m2]")
	if got := w.up(s, cluster.Wish{}); !strings.Contains(got, "adopt        m3\n") || !strings.Contains(got, "demote       m3: manager → worker\n") || !strings.Contains(got, "2 managers tolerate") {
		t.Errorf("Got %s", got)
	}
	if got := w.roles(); got != "m1 manager, m2 manager, m3 worker, w1 worker, w2 worker, w3 worker" {
		t.Errorf("Got %s", got)
	}
	// What the file no longer has stays, until it is pruned; labels that it no longer has go.
	s = clusterSpec(t, clusterFile, "[w1, w2]", "[w1, m3]", "    labels: {disk: ssd}\n", "", "[m1]", "[m1, m2]")
	got := w.up(s, cluster.Wish{})
	if !strings.Contains(got, "label        w1: -disk\n") || !strings.Contains(got, "remove       w2: the file no longer has it (not without --prune)") {
		t.Errorf("Got %s", got)
	}
	if w.record("w2").Name == "" {
		t.Error("w2 is gone without --prune")
	}
	w.up(s, cluster.Wish{Prune: true})
	if got := w.roles(); got != "m1 manager, m2 manager, m3 worker, w1 worker" {
		t.Errorf("Got %s", got)
	}
	if got := w.drift(s); strings.Contains(got, "label") || strings.Contains(got, "remove") {
		t.Errorf("Got %s", got)
	}
	w.down(t)
}

func sameFiles(a, b map[string]string) bool {
	for name, text := range a {
		if b[name] != text && !strings.HasPrefix(name, "logs/") {
			return false
		}
	}
	return true
}

// down removes the project and demands that nothing is left.
func (w *world) down(t *testing.T) {
	t.Helper()
	if _, err := w.manager().Down(t.Context(), DownRequest{Project: "p", Agree: yes}); err != nil {
		t.Fatal(err)
	}
	w.removes(t)
}

func TestUpReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.up(clusterSpec(t, clusterFile), cluster.Wish{})
	s := clusterSpec(t, clusterFile, "labels: {disk: ssd}", "options: {fake-size: large}")
	id := w.record("w1").Swarm.NodeID
	steps, err := w.manager().Up(t.Context(), UpRequest{Spec: s, Agree: yes})
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "w1, w2") || !strings.Contains(steps.String(), "fake-size: small → large (not without --allow-replace)") {
		t.Errorf("Got %v, %s", err, steps)
	}
	if w.record("w1").Swarm.NodeID != id {
		t.Error("replaced without being allowed to")
	}
	w.up(s, cluster.Wish{AllowReplace: true})
	if w.record("w1").Swarm.NodeID == id || !strings.Contains(string(w.record("w2").Driver), "large") {
		t.Errorf("not replaced: %+v", w.record("w1"))
	}
	if got := w.drift(s); got != noDrift {
		t.Errorf("Got %s", got)
	}
	if got := w.roles(); got != "m1 manager, w1 worker, w2 worker" {
		t.Errorf("Got %s", got)
	}
}

func TestUpReplacesManagers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	three := []string{"[w1, w2]", "[w1]", "[m1]", "[m1, m2, m3]"}
	w.up(clusterSpec(t, clusterFile, three...), cluster.Wish{})
	id := w.status("p").ID
	large := clusterSpec(t, clusterFile, append(three, "driver: fake", "driver: fake\n  options: {fake-size: large}")...)
	w.up(large, cluster.Wish{AllowReplace: true})
	st := w.status("p")
	if st.ID != id || st.Managers != 3 || st.Reachable != 3 || len(st.Nodes) != 4 || len(st.Problems) != 0 {
		t.Errorf("Got %+v", st)
	}
	if got := w.drift(large); got != noDrift {
		t.Errorf("Got %s", got)
	}
	// The only manager of others is not replaced: the swarm would end with it.
	w = newWorld(t, "m1", "w1")
	w.up(clusterSpec(t, clusterFile, "[w1, w2]", "[w1]"), cluster.Wish{})
	only := clusterSpec(t, clusterFile, "[w1, w2]", "[w1]", "names: [m1]", "names: [m1]\n    options: {fake-size: large}")
	_, err := w.manager().Up(t.Context(), UpRequest{Spec: only, Wish: cluster.Wish{AllowReplace: true}, Agree: yes})
	if !errors.Is(err, swarmboot.ErrQuorum) || w.roles() != "m1 manager, w1 worker" {
		t.Errorf("Got %v, %s", err, w.roles())
	}
}

func TestUpChangesEngines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.up(clusterSpec(t, clusterFile), cluster.Wish{})
	s := clusterSpec(t, clusterFile, "labels: {disk: ssd}", "labels: {disk: ssd}\n    engine: {labels: {rack: 1}, opts: [log-level=warn]}\n    tls-san: [api.example]")
	got := w.up(s, cluster.Wish{})
	if !strings.Contains(got, "change       w1: engine-opt, engine-label: none → rack=1, tls-san: none → api.example") {
		t.Errorf("Got %s", got)
	}
	if rec := w.record("w1"); rec.Project.Refit || !slices.Contains(rec.HostOptions.EngineOptions.Labels, "rack=1") || !slices.Contains(rec.Installed.Hosts, "api.example") {
		t.Errorf("Got %+v", rec)
	}
	if got := w.drift(s); got != noDrift {
		t.Errorf("Got %s", got)
	}
}

func TestUpStartsAndTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.create(CreateRequest{Names: []string{"w1"}})
	s := clusterSpec(t, clusterFile)
	if got := w.up(s, cluster.Wish{}); !strings.Contains(got, "adopt        w1\n") || !strings.Contains(got, "join         w1:") || strings.Contains(got, "create       w1") {
		t.Errorf("Got %s", got)
	}
	if err := w.manager().Stop(t.Context(), []string{"w2"}); err != nil {
		t.Fatal(err)
	}
	if got := w.up(s, cluster.Wish{}); !strings.Contains(got, "start        w2\n") {
		t.Errorf("Got %s", got)
	}
	if got := w.drift(s); got != noDrift {
		t.Errorf("Got %s", got)
	}
	// Another project does not take what is one's own.
	other := clusterSpec(t, clusterFile, "name: p", "name: q")
	if _, err := w.manager().Up(t.Context(), UpRequest{Spec: other}); !errors.Is(err, cluster.ErrOwned) {
		t.Errorf("Got %v", err)
	}
}

func TestUpStacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	var calls []string
	var busy error
	m := w.manager()
	m.testDocker = func(args ...string) (string, error) {
		calls = append(calls, strings.Join(args, " "))
		err := busy
		busy = nil
		return "", err
	}
	s := clusterSpec(t, "name: p\nmachines: {m: {driver: fake, role: manager, names: [m1]}}\nstacks: {web: {files: [c.yaml], prune: true, resolve-image: never}}\n")
	file := filepath.Join(s.Dir, "c.yaml")
	if _, err := m.Up(t.Context(), UpRequest{Spec: s}); !errors.Is(err, cluster.ErrFile) || !strings.Contains(err.Error(), "c.yaml:3:10: stack web: ") {
		t.Errorf("without its file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("services: {web: {image: 'x:${TAG}'}}\n")
	want := func(spec *cluster.Spec, wish cluster.Wish, commands ...string) {
		t.Helper()
		calls = nil
		if _, err := m.Up(t.Context(), UpRequest{Spec: spec, Wish: wish, Agree: yes}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(calls, commands) {
			t.Errorf("Got %q, want %q", calls, commands)
		}
	}
	deploy := "stack deploy --compose-file " + file + " --prune --resolve-image never web"
	want(s, cluster.Wish{}, deploy)
	want(s, cluster.Wish{}, deploy) // the swarm has no service of it
	w.hosts["m1"].engine.AddTask("web_web", 1, 0)
	want(s, cluster.Wish{})
	w.setenv("TAG", "2")
	want(s, cluster.Wish{}, deploy)
	write("services: {}\n")
	want(s, cluster.Wish{}, deploy)
	want(s, cluster.Wish{})
	none := clusterSpec(t, "name: p\nmachines: {m: {driver: fake, role: manager, names: [m1]}}\n")
	want(none, cluster.Wish{})
	busy = errors.New("Failed to remove network n1: network n1 is in use by task t1") //nolint:staticcheck // the client's words
	want(none, cluster.Wish{Prune: true}, "stack rm web", "stack rm web")
	want(none, cluster.Wish{Prune: true})
	want(s, cluster.Wish{}, deploy)
	calls = nil
	if _, err := m.Down(t.Context(), DownRequest{Project: "p", Agree: yes}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(calls, []string{"stack rm web"}) {
		t.Errorf("Got %q", calls)
	}
	w.removes(t)
}

func TestUpRefusesSecretsInTheFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	s := clusterSpec(t, "machines:\n  m:\n    driver: fake\n    names: [m1]\n    options:\n      fake-secret: hunter2\n      fake-sise: 1\n")
	_, err := w.manager().Up(t.Context(), UpRequest{Spec: s, Agree: yes})
	if err == nil || !strings.Contains(err.Error(), "c.yaml:6:7: ") || !errors.Is(err, drivers.ErrOption) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Got %v", err)
	}
	s = clusterSpec(t, "machines:\n  m:\n    driver: fake\n    names: [m1]\n    options:\n      fake-secret: {file: token}\n      fake-sise: 1\n")
	if err := os.WriteFile(filepath.Join(s.Dir, "token"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = w.manager().Up(t.Context(), UpRequest{Spec: s, Agree: yes}); err == nil || !strings.Contains(err.Error(), "c.yaml:7:7: ") || strings.Contains(err.Error(), "c.yaml:6") {
		t.Errorf("Got %v", err)
	}
	s.Groups[0].Options = s.Groups[0].Options[:1]
	w.up(s, cluster.Wish{})
	if files := w.files(); !strings.Contains(files["machines/m1/secrets.json"], `"hunter2"`) || strings.Contains(files["machines/m1/config.json"], "hunter2") {
		t.Error("the secret is not where secrets are")
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2", "w3")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true, Name: "prod", Availability: "drain"}})
	w.create(CreateRequest{
		Names: []string{"w1", "w2"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"a=$x", "n=1"}}, SANs: []string{"api.example"},
		Options: drivers.Values{"fake-size": {"large"}, "fake-labels": {"a", "b"}, "fake-secret": {"hunter2"}},
		Engine:  EngineOptions{Version: "28", Labels: []string{"x=1"}, ArbitraryFlags: []string{"dns=192.0.2.1", "dns=192.0.2.2"}, Env: []string{"A=$b"}},
	})
	w.create(CreateRequest{Names: []string{"w3"}, Swarm: SwarmOptions{IsSwarm: true}})
	if _, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: Label, Names: []string{"w3"}, Set: map[string]string{"late": "yes"}}); err != nil {
		t.Fatal(err)
	}
	s, remarks, err := w.manager().Describe(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := cluster.Write(s, remarks...)
	if err != nil {
		t.Fatal(err)
	}
	want := `# driver fake: fake-secret is a secret and not written; new machines need it: ${VARIABLE} or {file: PATH}
name: prod
swarm:
  name: prod
machines:
  managers:
    role: manager
    names:
      - m1
    driver: fake
    availability: drain
  workers:
    role: worker
    names:
      - w1
      - w2
    driver: fake
    options:
      fake-size: large
      fake-labels:
        - a
        - b
    labels:
      a: $$x
      n: "1"
    engine:
      version: "28"
      opts:
        - dns=192.0.2.1
        - dns=192.0.2.2
      labels:
        - x=1
      env:
        - A=$$b
    tls-san:
      - api.example
  workers-2:
    role: worker
    names:
      - w3
    driver: fake
    labels:
      late: yes
`
	if string(text) != want {
		t.Errorf("Got %s", text)
	}
	again := clusterSpec(t, string(text))
	steps, err := w.manager().Up(t.Context(), UpRequest{Spec: again})
	if err != nil || steps.Drift() {
		t.Errorf("what describe says differs from what there is: %v\n%s", err, steps)
	}
	if _, _, err := w.manager().Describe(t.Context(), []string{"nothing"}); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("Got %v", err)
	}
}

func TestDownLeavesOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "x1")
	s := clusterSpec(t, clusterFile, "[w1, w2]", "[w1]")
	w.up(s, cluster.Wish{})
	w.create(CreateRequest{Names: []string{"x1"}, Swarm: SwarmOptions{IsSwarm: true}})
	_, err := w.manager().Down(t.Context(), DownRequest{Project: "p", Agree: yes})
	if !errors.Is(err, swarmboot.ErrQuorum) {
		t.Errorf("the last manager of others' swarm: %v", err)
	}
	for _, name := range []string{"m1", "w1"} { // the swarm is kept as a whole
		if rec := w.record(name); rec.Phase != store.Ready || rec.Swarm.NodeID == "" {
			t.Errorf("%s: %+v", name, rec)
		}
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"x1"}}); err != nil {
		t.Fatal(err)
	}
	w.down(t)
}
