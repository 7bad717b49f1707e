package swarmboottest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// stream is an answer that is no JSON value.
type stream []byte

// Container is a container of an engine: what it was created with, as the API has it.
type Container struct {
	Config  map[string]any
	Host    map[string]any
	Running bool
	Starts  int
}

// SetMinAPI sets the oldest version of the API that the engine answers.
func (e *Engine) SetMinAPI(v string) { defer e.lock()(); e.minAPI = v }

// AddImage gives the engine an image.
func (e *Engine) AddImage(name string) {
	defer e.lock()()
	if e.images == nil {
		e.images = map[string]bool{}
	}
	e.images[tagged(name)] = true
}

// tagged is the name of an image with the tag that it has when none is named.
func tagged(name string) string {
	if strings.Contains(name, "@") || strings.LastIndexByte(name, ':') > strings.LastIndexByte(name, '/') {
		return name
	}
	return name + ":latest"
}

// FailPulls makes pulls fail half-way with a text; empty: they succeed.
func (e *Engine) FailPulls(text string) { defer e.lock()(); e.pullError = text }

// Crash makes containers end as soon as they start, having written a line; empty: they go on.
func (e *Engine) Crash(line string) { defer e.lock()(); e.crash = line }

// Containers returns the engine's containers by name.
func (e *Engine) Containers() map[string]Container {
	defer e.lock()()
	out := map[string]Container{}
	for name, c := range e.containers {
		out[name] = *c
	}
	return out
}

// StopContainer ends a container, as a person would.
func (e *Engine) StopContainer(name string) { defer e.lock()(); e.containers[name].Running = false }

// local answers what is about the engine's own images and containers.
func (e *Engine) local(method string, u *url.URL, body []byte) (any, error) {
	path := strings.TrimPrefix(u.Path, "/")
	if path == "images/create" {
		return e.pull(u)
	}
	if name, ok := strings.CutPrefix(path, "images/"); ok {
		name = strings.TrimSuffix(name, "/json")
		if !e.images[tagged(name)] {
			return nil, refuse(http.StatusNotFound, "No such image: %s", name)
		}
		return map[string]any{"Id": name, "Config": map[string]any{"Env": []string{"PATH=/bin", "SWARM_HOST=:2375"}}}, nil
	}
	if path == "containers/create" {
		return e.createContainer(u.Query().Get("name"), body)
	}
	name, verb, _ := strings.Cut(strings.TrimPrefix(path, "containers/"), "/")
	c := e.containers[name]
	switch {
	case c == nil:
		return nil, refuse(http.StatusNotFound, "No such container: %s", name)
	case method == http.MethodDelete:
		delete(e.containers, name)
		return nil, nil
	case verb == "start":
		c.Running = true
		c.Starts++
		return nil, nil
	case verb == "logs":
		return stream(append([]byte{2, 0, 0, 0, 0, 0, 0, byte(len(e.crash) + 1)}, e.crash+"\n"...)), nil
	case verb == "json":
		state := map[string]any{"Running": c.Running, "StartedAt": fmt.Sprint(c.Starts)}
		if e.crash != "" {
			state = map[string]any{"Running": false, "Restarting": true, "ExitCode": 1}
		}
		return map[string]any{"Image": c.Config["Image"], "State": state, "Config": c.Config, "HostConfig": c.Host}, nil
	}
	return nil, refuse(http.StatusNotFound, "page not found")
}

func (e *Engine) pull(u *url.URL) (any, error) {
	name := u.Query().Get("fromImage")
	if tag := u.Query().Get("tag"); tag != "" {
		name += ":" + tag
	}
	if e.pullError != "" {
		return stream(`{"status":"Pulling"}` + "\r\n" + `{"errorDetail":{},"error":"` + e.pullError + `"}` + "\r\n"), nil
	}
	if e.images == nil {
		e.images = map[string]bool{}
	}
	e.images[tagged(name)] = true
	return stream(`{"status":"Pulling"}` + "\r\n" + `{"status":"Done"}` + "\r\n"), nil
}

func (e *Engine) createContainer(name string, body []byte) (any, error) {
	var config map[string]any
	if err := json.Unmarshal(body, &config); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if e.containers[name] != nil {
		return nil, refuse(http.StatusConflict, "Conflict. The container name %q is already in use", "/"+name)
	}
	image, _ := config["Image"].(string)
	if !e.images[tagged(image)] {
		return nil, refuse(http.StatusNotFound, "No such image: %s", image)
	}
	if e.containers == nil {
		e.containers = map[string]*Container{}
	}
	config = maps.Clone(config)
	host, _ := config["HostConfig"].(map[string]any)
	delete(config, "HostConfig")
	env, _ := config["Env"].([]any)
	config["Env"] = append(slices.Clone(env), "PATH=/bin", "SWARM_HOST=:2375")
	e.containers[name] = &Container{Config: config, Host: host}
	return map[string]string{"Id": name}, nil
}
