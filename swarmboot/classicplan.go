package swarmboot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// classicAPI is the newest version of the Engine API, 1.40, that the classic manager speaks, by its second number.
const classicAPI = 40

// ClassicSeen is what an engine says of itself before anything is done on it.
type ClassicSeen struct {
	Version    string
	MinAPI     string // the oldest version of its API that it answers; empty: not told
	Image      bool   // the image wanted is there
	Containers map[string]ClassicContainer
}

// The kinds of ClassicStep.
const (
	classicPull   = "pull"
	classicRemove = "remove"
	classicCreate = "create"
	classicStart  = "start"
)

// ClassicStep is one thing ApplyClassic does.
type ClassicStep struct {
	Kind      string
	Image     string           // of a pull
	Container ClassicContainer // of the others
	Why       []string         // of a removal: what differs
}

// String renders the step for a dry run.
func (s ClassicStep) String() string {
	switch s.Kind {
	case classicPull:
		return "pull image " + s.Image
	case classicRemove:
		text := "remove container " + s.Container.Name
		if len(s.Why) > 0 {
			text += " (" + strings.Join(s.Why, ", ") + ")"
		}
		return text
	case classicCreate:
		return fmt.Sprintf("create container %s of image %s: %s", s.Container.Name, s.Container.Image, strings.Join(s.Container.Cmd, " "))
	default:
		return s.Kind + " container " + s.Container.Name
	}
}

// PlanClassic returns what is to be done on an engine, which is a function of its arguments alone. Nothing is
// wanted of an engine that the manager could not talk to: ErrClassicAPI.
func PlanClassic(c Classic, seen ClassicSeen) ([]ClassicStep, error) {
	var steps []ClassicStep
	wanted := c.containers()
	if len(wanted) > 0 {
		if err := c.Check(); err != nil {
			return nil, err
		}
		if err := speaks(seen); err != nil {
			return nil, err
		}
	}
	pull := false
	for _, name := range []string{ClassicMaster, ClassicAgent} {
		is, exists := seen.Containers[name]
		i := slices.IndexFunc(wanted, func(w ClassicContainer) bool { return w.Name == name })
		if i < 0 {
			if exists && is.Ours {
				steps = append(steps, ClassicStep{Kind: classicRemove, Container: ClassicContainer{Name: name}, Why: []string{"no longer wanted"}})
			}
			continue
		}
		want := wanted[i]
		why := want.differs(is)
		if exists && len(why) == 0 {
			if !is.Running && !is.Restarting {
				steps = append(steps, ClassicStep{Kind: classicStart, Container: want})
			}
			continue
		}
		if !seen.Image && !pull { // before anything is taken away
			steps = slices.Insert(steps, 0, ClassicStep{Kind: classicPull, Image: want.Image})
			pull = true
		}
		if exists {
			steps = append(steps, ClassicStep{Kind: classicRemove, Container: ClassicContainer{Name: name}, Why: why})
		}
		steps = append(steps, ClassicStep{Kind: classicCreate, Container: want}, ClassicStep{Kind: classicStart, Container: want})
	}
	return steps, nil
}

// speaks is why the classic manager cannot talk to an engine.
func speaks(seen ClassicSeen) error {
	_, minor, _ := strings.Cut(seen.MinAPI, ".")
	n, err := strconv.Atoi(minor)
	if err != nil || n <= classicAPI {
		return nil
	}
	return hint(fmt.Errorf("%w: engine %s answers no API older than %s, and the manager speaks 1.%d at most",
		ErrClassicAPI, seen.Version, seen.MinAPI, classicAPI),
		"create the machine with --engine-env DOCKER_MIN_API_VERSION=1.24, or with an engine before 29.0 or from 29.3 on (--engine-version); "+
			`on a host that has the engine already put "min-api-version": "1.24" into its /etc/docker/daemon.json and restart it`)
}

// differs tells how a container is another one than wanted.
func (want ClassicContainer) differs(is ClassicContainer) []string {
	var why []string
	add := func(differs bool, what string) {
		if differs {
			why = append(why, what)
		}
	}
	add(is.Image != want.Image, "other image "+is.Image)
	add(!slices.Equal(is.Cmd, want.Cmd), "other arguments")
	add(!sameEnv(is.Env, want.Env, is.ImageEnv), "other environment")
	add(!slices.Equal(is.Binds, want.Binds), "other folders")
	add(!slices.Equal(is.Ports, want.Ports), "other ports")
	add(is.TLS != want.TLS, "other certificates")
	add(is.Always != want.Always, "other restart policy")
	return why
}

// sameEnv tells whether a container has what is wanted and, besides that, only what its image sets.
func sameEnv(is, want, image []string) bool {
	for _, w := range want {
		if !slices.Contains(is, w) {
			return false
		}
	}
	for _, v := range is {
		if !slices.Contains(want, v) && !slices.Contains(image, v) {
			return false
		}
	}
	return true
}
