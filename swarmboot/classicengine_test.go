package swarmboot_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// TestApplyClassic carries plans out on an engine in memory until there is nothing left to do.
func TestApplyClassic(t *testing.T) {
	t.Parallel()
	for image, pull := range map[string]string{
		"swarm":                          "fromImage=swarm&tag=latest",
		"swarm:1.2.9":                    "fromImage=swarm&tag=1.2.9",
		"registry.example:5000/a/swarm":  "fromImage=registry.example%3A5000%2Fa%2Fswarm&tag=latest",
		"registry.example:5000/swarm:v1": "fromImage=registry.example%3A5000%2Fswarm&tag=v1",
		"swarm@sha256:00aa":              "fromImage=swarm%40sha256%3A00aa",
	} {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := swarmboottest.New().Engine("m1", "10.0.0.1")
				c := classic(func(c *swarmboot.Classic) { c.Image = image })
				for _, want := range []int{5, 0} {
					steps := planned(t, e, c)
					if len(steps) != want {
						t.Fatalf("planned %v", steps)
					}
					if err := swarmboot.ApplyClassic(t.Context(), e, steps, nil); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Contains(e.Calls(), "POST /images/create?"+pull) {
					t.Errorf("called %q", e.Calls())
				}
			})
		})
	}
}

func planned(t *testing.T, e swarmboot.Engine, c swarmboot.Classic) []swarmboot.ClassicStep {
	t.Helper()
	seen, err := swarmboot.InspectClassic(t.Context(), e, c.Image)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := swarmboot.PlanClassic(c, seen)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// TestApplyClassicAgain meets what was there before, also half-made, and what does not run.
func TestApplyClassicAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := swarmboottest.New().Engine("m1", "10.0.0.1")
		e.AddImage("swarm:latest")
		c := classic(nil)
		steps := planned(t, e, c)
		if err := swarmboot.ApplyClassic(t.Context(), e, steps[:1], nil); err != nil { // created and not started
			t.Fatal(err)
		}
		if err := swarmboot.ApplyClassic(t.Context(), e, planned(t, e, c), nil); err != nil {
			t.Fatal(err)
		}
		c.Advertise = "10.0.0.9"
		if err := swarmboot.ApplyClassic(t.Context(), e, planned(t, e, c), nil); err != nil {
			t.Fatal(err)
		}
		if steps := planned(t, e, c); len(steps) != 0 {
			t.Errorf("left to do %v", steps)
		}
		for _, call := range e.Calls() {
			if strings.HasPrefix(call, "POST /images/") {
				t.Errorf("pulled an image that is there: %s", call)
			}
		}
		e.Crash("level=fatal msg=\"flag provided but not defined: -x\"")
		c.Options = []string{"x"}
		err := swarmboot.ApplyClassic(t.Context(), e, planned(t, e, c), nil)
		var d interface{ Details() []string }
		if !errors.Is(err, swarmboot.ErrClassic) || !errors.As(err, &d) || !slices.Contains(d.Details(), `level=fatal msg="flag provided but not defined: -x"`) {
			t.Errorf("got %v", err)
		}
		e.Crash("")
		if err := swarmboot.ApplyClassic(t.Context(), e, planned(t, e, swarmboot.Classic{}), nil); err != nil || len(e.Containers()) != 0 {
			t.Errorf("left %v, %v", e.Containers(), err)
		}
	})
}
