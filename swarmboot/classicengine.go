package swarmboot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The labels of containers of classic Swarm.
const (
	labelClassic    = "com.github.hostsmith.machine.swarm"     // classic
	labelClassicTLS = "com.github.hostsmith.machine.swarm.tls" // which files the manager has read
)

// What of the Engine API is used for classic Swarm, by the API's own names.
type (
	portBinding struct {
		HostIP   string `json:"HostIp"` //nolint:tagliatelle // the API's
		HostPort string
	}
	hostConfig struct {
		Binds         []string                 `json:",omitempty"`
		PortBindings  map[string][]portBinding `json:",omitempty"`
		RestartPolicy struct{ Name string }
	}
	containerConfig struct {
		Image        string
		Cmd          []string
		Env          []string            `json:",omitempty"`
		ExposedPorts map[string]struct{} `json:",omitempty"`
		Labels       map[string]string
	}
	createRequest struct {
		containerConfig
		HostConfig hostConfig
	}
	containerObject struct {
		Image  string // id
		State  containerState
		Config containerConfig

		HostConfig hostConfig
	}
	containerState struct {
		Running, Restarting bool
		StartedAt           string
		ExitCode            int
	}
)

// InspectClassic asks an engine for all that PlanClassic wants to know.
func InspectClassic(ctx context.Context, e Engine, image string) (ClassicSeen, error) {
	seen := ClassicSeen{Containers: map[string]ClassicContainer{}}
	var version struct{ Version, MinAPIVersion string }
	if err := call(ctx, e, http.MethodGet, "/version", nil, &version); err != nil {
		return seen, fmt.Errorf("ask the engine for its version: %w", err)
	}
	seen.Version, seen.MinAPI = version.Version, version.MinAPIVersion
	var err error
	if image != "" {
		if seen.Image, err = hasImage(ctx, e, image); err != nil {
			return seen, err
		}
	}
	for _, name := range []string{ClassicMaster, ClassicAgent} {
		c, ok, err := classicContainer(ctx, e, name)
		if err != nil {
			return seen, err
		}
		if ok {
			seen.Containers[name] = c
		}
	}
	return seen, nil
}

func hasImage(ctx context.Context, e Engine, image string) (bool, error) {
	err := call(ctx, e, http.MethodGet, "/images/"+image+"/json", nil, nil)
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for image %s: %w", image, err)
	}
	return true, nil
}

func classicContainer(ctx context.Context, e Engine, name string) (ClassicContainer, bool, error) {
	var o containerObject
	err := call(ctx, e, http.MethodGet, "/containers/"+name+"/json", nil, &o)
	if status(err) == http.StatusNotFound {
		return ClassicContainer{}, false, nil
	}
	if err != nil {
		return ClassicContainer{}, false, fmt.Errorf("look for container %s: %w", name, err)
	}
	c := ClassicContainer{
		Name: name, Image: o.Config.Image, Cmd: o.Config.Cmd, Env: o.Config.Env, Binds: o.HostConfig.Binds,
		TLS: o.Config.Labels[labelClassicTLS], Always: o.HostConfig.RestartPolicy.Name == "always",
		Ours:    o.Config.Labels[labelClassic] != "" || slices.Contains(o.Config.Cmd, "manage") || slices.Contains(o.Config.Cmd, "join"),
		Running: o.State.Running, Restarting: o.State.Restarting,
	}
	for port, bindings := range o.HostConfig.PortBindings {
		number, err := strconv.Atoi(strings.TrimSuffix(port, "/tcp"))
		if err == nil && len(bindings) == 1 && bindings[0].HostPort == strconv.Itoa(number) {
			c.Ports = append(c.Ports, number)
		} else {
			c.Ports = append(c.Ports, 0) // as we never publish one
		}
	}
	slices.Sort(c.Ports)
	var image struct{ Config struct{ Env []string } }
	if err := call(ctx, e, http.MethodGet, "/images/"+o.Image+"/json", nil, &image); err != nil && status(err) != http.StatusNotFound {
		return c, true, fmt.Errorf("look at the image of container %s: %w", name, err)
	}
	c.ImageEnv = image.Config.Env
	return c, true, nil
}

// ApplyClassic does the steps in order and sees to it that what was started goes on running. It may be repeated
// after an end at any point: planning again continues from there.
func ApplyClassic(ctx context.Context, e Engine, steps []ClassicStep, step StepFunc) error {
	var started []string
	for _, s := range steps {
		name := s.String()
		if s.Kind == classicCreate {
			name = "create container " + s.Container.Name
		}
		err := stepped(ctx, step, name, func(ctx context.Context) error { return s.do(ctx, e) })
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s.Kind == classicStart {
			started = append(started, s.Container.Name)
		}
	}
	if len(started) == 0 {
		return nil
	}
	return stepped(ctx, step, "see that "+strings.Join(started, " and ")+" run on", func(ctx context.Context) error { return stayUp(ctx, e, started) })
}

func (s ClassicStep) do(ctx context.Context, e Engine) error {
	switch s.Kind {
	case classicPull:
		return pull(ctx, e, s.Image)
	case classicRemove:
		err := call(ctx, e, http.MethodDelete, "/containers/"+s.Container.Name+"?force=true&v=true", nil, nil)
		if status(err) == http.StatusNotFound {
			return nil
		}
		return err
	case classicCreate:
		return call(ctx, e, http.MethodPost, "/containers/create?name="+s.Container.Name, s.Container.request(), nil)
	default:
		return call(ctx, e, http.MethodPost, "/containers/"+s.Container.Name+"/start", nil, nil)
	}
}

func (want ClassicContainer) request() createRequest {
	r := createRequest{containerConfig: containerConfig{
		Image: want.Image, Cmd: want.Cmd, Env: want.Env, Labels: map[string]string{labelClassic: "classic"},
	}}
	if want.TLS != "" {
		r.Labels[labelClassicTLS] = want.TLS
	}
	r.HostConfig.Binds = want.Binds
	r.HostConfig.RestartPolicy.Name = "always"
	for _, port := range want.Ports {
		key := strconv.Itoa(port) + "/tcp"
		r.ExposedPorts = map[string]struct{}{"2375/tcp": {}, key: {}}
		r.HostConfig.PortBindings = map[string][]portBinding{key: {{HostIP: "0.0.0.0", HostPort: strconv.Itoa(port)}}}
	}
	return r
}

// pull fetches an image. The engine answers before it begins and tells in what follows how it ended.
func pull(ctx context.Context, e Engine, image string) error {
	q := url.Values{"fromImage": {image}}
	at := strings.LastIndexByte(image, ':')
	switch {
	case strings.Contains(image, "@"):
	case at > strings.LastIndexByte(image, '/'):
		q = url.Values{"fromImage": {image[:at]}, "tag": {image[at+1:]}}
	default:
		q.Set("tag", "latest")
	}
	var progress pullProgress
	if err := call(ctx, e, http.MethodPost, "/images/create?"+q.Encode(), nil, &progress); err != nil {
		return noImage(err, image)
	}
	if progress.failed != "" {
		return noImage(errors.New(progress.failed), image)
	}
	if ok, err := hasImage(ctx, e, image); err != nil || !ok {
		return noImage(errors.Join(err, errors.New("the engine said nothing wrong, and does not have it")), image)
	}
	return nil
}

func noImage(err error, image string) error {
	return hint(fmt.Errorf("%w: %w", ErrClassicImage, err), fmt.Sprintf("an engine that cannot pull it takes it from a file: docker save %s | docker $(machine config NAME) load; or name another with --swarm-image", image))
}

// pullProgress reads the lines that an engine writes while it pulls.
type pullProgress struct {
	rest   []byte
	failed string
}

func (p *pullProgress) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			line = p.rest
		}
		var said struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(line, &said) == nil && said.Error != "" {
			p.failed = redact(said.Error)
		}
		if !ok {
			return len(b), nil
		}
		p.rest = rest
	}
}

// staysFor is how long a container is watched after its start. One that does not like its arguments ends at once,
// and is started again and again.
const staysFor = time.Second

func stayUp(ctx context.Context, e Engine, names []string) error {
	since, started := time.Now(), map[string]string{}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		for _, name := range names {
			var o containerObject
			if err := call(ctx, e, http.MethodGet, "/containers/"+name+"/json", nil, &o); err != nil {
				return false, err
			}
			if before, ok := started[name]; o.State.Restarting || !o.State.Running || ok && before != o.State.StartedAt {
				return false, &classicEnded{fmt.Errorf("%w: %s ended with %d", ErrClassic, name, o.State.ExitCode), containerLog(ctx, e, name)}
			}
			started[name] = o.State.StartedAt
		}
		return time.Since(since) >= staysFor, nil
	})
}

// classicEnded is a container that does not go on, with what it wrote.
type classicEnded struct {
	error
	wrote []string
}

func (e *classicEnded) Unwrap() error     { return e.error }
func (e *classicEnded) final() bool       { return true }
func (e *classicEnded) Details() []string { return e.wrote }

// containerLog returns the last lines that a container wrote.
func containerLog(ctx context.Context, e Engine, name string) []string {
	var out bytes.Buffer
	if err := call(ctx, e, http.MethodGet, "/containers/"+name+"/logs?stdout=true&stderr=true&tail=10", nil, &out); err != nil {
		return nil
	}
	var lines []string
	for rest := out.Bytes(); len(rest) >= 8; { // frames of a header, which ends with their length, and text
		n := int(rest[4])<<24 | int(rest[5])<<16 | int(rest[6])<<8 | int(rest[7])
		n = min(max(n, 0), len(rest)-8)
		for line := range strings.Lines(string(rest[8 : 8+n])) {
			lines = append(lines, printable(strings.Fields(line)))
		}
		rest = rest[8+n:]
	}
	return lines
}
