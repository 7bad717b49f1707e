package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// contexts is a docker client with its contexts: descriptions and endpoints by name.
type contexts struct {
	mu   sync.Mutex
	of   map[string][2]string
	none bool // there is no docker client
}

func (c *contexts) docker(args ...string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.none {
		return "", errNoDocker
	}
	switch verb, name := args[1], args[2]; verb {
	case "ls":
		lines := []string{`{"Name":"default","Description":"Current DOCKER_HOST based configuration"}`}
		for name, x := range c.of {
			line, _ := json.Marshal(map[string]string{"Name": name, "Description": x[0]})
			lines = append(lines, string(line))
		}
		return strings.Join(lines, "\n"), nil
	case "create", "update":
		if _, ok := c.of[name]; ok != (verb == "update") || args[3] != "--description" || args[5] != "--docker" {
			return "", fmt.Errorf("docker %q is refused", args)
		}
		c.of[name] = [2]string{args[4], args[6]}
	case "rm":
		delete(c.of, args[3])
	default:
		return "", fmt.Errorf("docker %q is unknown", args)
	}
	return "", nil
}

func (w *world) managerWith(c *contexts) *Manager {
	m := w.manager()
	m.testDocker = c.docker
	return m
}

func TestDockerContextOfTheUser(t *testing.T) {
	t.Parallel()
	own := [2]string{"my production", "host=ssh://prod"}
	for what, tt := range map[string]struct {
		c    *contexts
		id   string
		want error
	}{
		"of the machine's name": {&contexts{of: map[string][2]string{"m1": own}}, "PROVIDER_CONFLICT", drivers.ErrConflict},
		"no docker client":      {&contexts{none: true}, "CHECK_FAILED", errNoDocker},
	} {
		w := newWorld(t, "m1")
		req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, DockerContext: true}
		_, planned := w.managerWith(tt.c).PlanCreate(t.Context(), req)
		_, created := w.managerWith(tt.c).Create(t.Context(), req)
		for verb, err := range map[string]error{"plan": planned, "create": created} {
			if !errors.Is(err, ErrCheck) || !errors.Is(err, tt.want) || ReasonOf(err).Exit != ExitCheck || ReasonOf(err).ID != tt.id {
				t.Errorf("%s, %s: %v", what, verb, err)
			}
		}
		if _, all := w.made(); all != 0 {
			t.Errorf("%s: %d resources were made", what, all)
		}
		if _, err := w.manager().Store.Get("m1"); !errors.Is(err, store.ErrNotExist) {
			t.Errorf("%s: recorded: %v", what, err)
		}
		if tt.c.of["m1"] != own && !tt.c.none {
			t.Errorf("%s: the user's context is now %q", what, tt.c.of["m1"])
		}
	}
}

func TestDockerContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	c := &contexts{of: map[string][2]string{}}
	m, ctx := w.managerWith(c), t.Context()
	got, err := m.Create(ctx, CreateRequest{Names: []string{"m1"}, Driver: fake.Name, DockerContext: true})
	if err != nil {
		t.Fatal(err)
	}
	id, err := m.Store.ID()
	if err != nil {
		t.Fatal(err)
	}
	if made := c.of["m1"]; made[0] != "machine m1 (store "+id+")" || !strings.HasPrefix(made[1], "host="+got[0].URL+",ca=") {
		t.Errorf("made %q", made)
	}
	c.of["m1"] = [2]string{c.of["m1"][0], "stale"}
	if err := m.RegenerateCerts(ctx, CertsRequest{Names: []string{"m1"}}); err != nil || c.of["m1"][1] == "stale" {
		t.Errorf("not refreshed: %q, %v", c.of["m1"], err)
	}
	// The user has since made the context their own.
	mine := [2]string{"mine now", "host=ssh://prod"}
	kept := c.of["m1"]
	c.of["m1"] = mine
	if err := m.RegenerateCerts(ctx, CertsRequest{Names: []string{"m1"}}); err != nil || c.of["m1"] != mine || !w.noted("the docker context is out of date: docker context") {
		t.Errorf("%q, %v, notes %q", c.of["m1"], err, w.notes.text)
	}
	if _, err := m.Remove(ctx, RemoveRequest{Names: []string{"m1"}}); err != nil || c.of["m1"] != mine || !w.noted("the docker context stays: docker context") {
		t.Errorf("%q, %v, notes %q", c.of["m1"], err, w.notes.text)
	}
	// One of ours goes with its machine.
	c.of["m1"] = kept
	if _, err := m.Create(ctx, CreateRequest{Names: []string{"m1"}, Driver: fake.Name, DockerContext: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Remove(ctx, RemoveRequest{Names: []string{"m1"}}); err != nil || len(c.of) != 0 {
		t.Errorf("left %q, %v", c.of, err)
	}
}

// TestResumeMakesTheDockerContext asks for the context only when a create is repeated.
func TestResumeMakesTheDockerContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	c := &contexts{of: map[string][2]string{}}
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name}
	w.setenv(fake.EnvFail, "create-after")
	if _, err := w.managerWith(c).Create(t.Context(), req); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	req.DockerContext = true
	if _, err := w.managerWith(c).Create(t.Context(), req); err != nil || len(c.of) != 1 || !w.record("m1").DockerContext {
		t.Errorf("%q, %v", c.of, err)
	}
}

// TestDockerContextOfTheRealClient needs the docker client on this computer, and no engine.
func TestDockerContextOfTheRealClient(t *testing.T) {
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("there is no docker client")
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	w := newWorld(t, "m1", "m2")
	m, ctx := w.manager(), t.Context()
	if _, err := m.docker(ctx, "context", "create", "m2", "--description", "mine", "--docker", "host=tcp://192.0.2.1:2376"); err != nil {
		t.Fatal(err)
	}
	owners := func() (of []contextOwner) {
		for _, name := range []string{"m1", "m2"} {
			o, err := m.contextOwner(ctx, name)
			if err != nil {
				t.Error(err)
			}
			of = append(of, o)
		}
		return of
	}
	w.create(CreateRequest{Names: []string{"m1"}, DockerContext: true})
	if got := owners(); !slices.Equal(got, []contextOwner{ours, theirs}) {
		t.Errorf("after create: %v", got)
	}
	if err := m.RegenerateCerts(ctx, CertsRequest{Names: []string{"m1"}}); err != nil || w.noted("out of date") {
		t.Errorf("%v, notes %q", err, w.notes.text)
	}
	if _, err := m.Create(ctx, CreateRequest{Names: []string{"m2"}, Driver: fake.Name, DockerContext: true}); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("over the user's own: %v", err)
	}
	if _, err := m.Remove(ctx, RemoveRequest{Names: []string{"m1"}}); err != nil {
		t.Error(err)
	}
	if got := owners(); !slices.Equal(got, []contextOwner{nobody, theirs}) {
		t.Errorf("after rm: %v", got)
	}
}
