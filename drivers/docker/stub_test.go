package docker

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/common"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// stub is an Engine in memory, as far as the driver can tell. It refuses what
// a real one was seen to refuse, in its words.
type stub struct {
	mu         sync.Mutex
	seq        int
	info       system.Info
	api        string
	images     map[string]bool
	containers map[string]*stubContainer // by id
	volumes    map[string]volume.Volume
	networks   map[string]*network.Network // by id

	// What the engine lacks or does, to be set before it is used.
	lacks   []rights             // rights that it cannot give
	modules bool                 // it has /lib/modules
	build   func(w io.Writer)    // what a build prints; nil: success
	before  func(string, string) // told method and path of each request
	seen    []string             // containers that were asked for, as JSON
	planted []string             // archives that were copied into containers
	builds  int
	twins   bool // networks may have one name, as before API 1.44

	once  sync.Once
	serve http.Handler // what is below the version
}

type stubContainer struct {
	id, name string
	config   *container.Config
	host     *container.HostConfig
	network  string // by name
	joined   string // by id, while it runs
	address  netip.Addr
	state    container.ContainerState
	ports    network.PortMap
}

func newStub() *stub {
	return &stub{
		info:       system.Info{OSType: "linux", OperatingSystem: "Debian GNU/Linux 12 (bookworm)"},
		api:        "1.41",
		images:     map[string]bool{"node": true},
		containers: map[string]*stubContainer{},
		volumes:    map[string]volume.Volume{},
		networks:   map[string]*network.Network{},
	}
}

// serve lets an engine answer on loopback and returns its address.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return "tcp://" + srv.Listener.Addr().String()
}

// refusal is an error as an engine gives it.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

// ServeHTTP implements http.Handler.
func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.before != nil {
		s.before(r.Method, r.URL.Path)
	}
	w.Header().Set("Api-Version", s.api)
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v"+s.api); ok {
		r.URL.Path = rest
	} else if r.URL.Path != "/_ping" {
		answer(w, 400, common.ErrorResponse{Message: "client version is too new. Maximum supported API version is " + s.api})
		return
	}
	s.once.Do(func() { s.serve = s.routes() })
	s.serve.ServeHTTP(w, r)
}

func (s *stub) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, status int, fn func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			body, err := fn(r)
			s.mu.Unlock()
			if ref, ok := err.(refusal); ok {
				answer(w, ref.status, common.ErrorResponse{Message: ref.message})
				return
			}
			answer(w, status, body)
		})
	}
	handle("/_ping", 200, func(*http.Request) (any, error) { return nil, nil })
	handle("GET /info", 200, func(*http.Request) (any, error) { return s.info, nil })
	handle("GET /images/{name...}", 200, s.inspectImage)
	mux.HandleFunc("POST /build", s.buildImage)
	mux.HandleFunc("POST /images/create", s.pullImage)
	handle("GET /networks", 200, s.listNetworks)
	handle("POST /networks/create", 201, s.createNetwork)
	handle("GET /networks/{id}", 200, s.inspectNetwork)
	handle("DELETE /networks/{id}", 204, s.removeNetwork)
	handle("POST /volumes/create", 201, s.createVolume)
	handle("GET /volumes", 200, s.listVolumes)
	handle("GET /volumes/{name}", 200, s.inspectVolume)
	handle("DELETE /volumes/{name}", 204, s.removeVolume)
	handle("GET /containers/json", 200, s.listContainers)
	handle("POST /containers/create", 201, s.createContainer)
	handle("GET /containers/{id}/json", 200, s.inspectContainer)
	handle("PUT /containers/{id}/archive", 200, s.putArchive)
	handle("POST /containers/{id}/start", 204, s.startContainer)
	for verb, to := range map[string]container.ContainerState{"stop": "exited", "kill": "exited", "pause": "paused", "unpause": "running"} {
		handle("POST /containers/{id}/"+verb, 204, func(r *http.Request) (any, error) {
			c, err := s.find(r.PathValue("id"))
			if err == nil {
				c.state = to
			}
			return nil, err
		})
	}
	handle("DELETE /containers/{id}", 204, func(r *http.Request) (any, error) {
		c, err := s.find(r.PathValue("id"))
		if err == nil {
			delete(s.containers, c.id)
		}
		return nil, err
	})
	return mux
}

func (s *stub) newID() string {
	s.seq++
	return fmt.Sprintf("%064x", s.seq)
}

func (s *stub) inspectImage(r *http.Request) (any, error) {
	name := strings.TrimSuffix(r.PathValue("name"), "/json")
	if !s.images[name] {
		return nil, refuse(404, "No such image: %s", name)
	}
	return map[string]string{"Id": "sha256:" + name}, nil
}

func (s *stub) buildImage(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builds++
	if s.build != nil {
		s.build(w)
		return
	}
	s.images[r.URL.Query().Get("t")] = true
	_, _ = io.WriteString(w, `{"stream":"Successfully built"}`)
}

func (s *stub) pullImage(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("fromImage")
	if strings.HasSuffix(name, "private") {
		answer(w, 404, common.ErrorResponse{Message: "pull access denied for " + name + ", repository does not exist"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[strings.TrimPrefix(name, "docker.io/library/")+":"+r.URL.Query().Get("tag")] = true
	_, _ = io.WriteString(w, `{"status":"done"}`)
}

// filter returns the values of a filter of the request.
func filter(r *http.Request, name string) []string {
	var all map[string]map[string]bool
	_ = json.Unmarshal([]byte(r.URL.Query().Get("filters")), &all)
	var values []string
	for v := range all[name] {
		values = append(values, v)
	}
	return values
}

// labelled tells whether something has the labels that the request's filter wants.
func labelled(r *http.Request, labels map[string]string) bool {
	for _, l := range filter(r, "label") {
		k, v, given := strings.Cut(l, "=")
		if has, ok := labels[k]; !ok || given && has != v {
			return false
		}
	}
	return true
}

func (s *stub) listVolumes(r *http.Request) (any, error) {
	list := volume.ListResponse{Volumes: []volume.Volume{}}
	for _, v := range s.volumes {
		if labelled(r, v.Labels) {
			list.Volumes = append(list.Volumes, v)
		}
	}
	return list, nil
}

func (s *stub) listNetworks(r *http.Request) (any, error) {
	list := []network.Network{}
	for _, n := range s.networks {
		if names := filter(r, "name"); labelled(r, n.Labels) && (len(names) == 0 || strings.Contains(n.Name, names[0])) {
			list = append(list, *n)
		}
	}
	return list, nil
}

func (s *stub) createNetwork(r *http.Request) (any, error) {
	var req network.CreateRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, refuse(400, "%v", err)
	}
	for _, n := range s.networks {
		if n.Name == req.Name && !s.twins {
			return nil, refuse(409, "network with name %s already exists", n.Name)
		}
		if n.IPAM.Config[0].Subnet.Overlaps(req.IPAM.Config[0].Subnet) {
			return nil, refuse(403, "Pool overlaps with other one on this address space")
		}
	}
	id := s.newID()
	s.networks[id] = &network.Network{ID: id, Name: req.Name, Labels: req.Labels, IPAM: *req.IPAM, Driver: req.Driver}
	return network.CreateResponse{ID: id}, nil
}

func (s *stub) network(ref string) (*network.Network, error) {
	if n, ok := s.networks[ref]; ok {
		return n, nil
	}
	var found []*network.Network
	for _, n := range s.networks {
		if n.Name == ref {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, refuse(404, "network %s not found", ref)
	case 1:
		return found[0], nil
	}
	return nil, refuse(400, "network %s is ambiguous (%d matches found based on name)", ref, len(found))
}

func (s *stub) inspectNetwork(r *http.Request) (any, error) {
	n, err := s.network(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	result := network.Inspect{Network: *n, Containers: map[string]network.EndpointResource{}}
	for _, c := range s.containers {
		if c.joined == n.ID && c.state == container.StateRunning {
			result.Containers[c.id] = network.EndpointResource{Name: c.name, IPv4Address: netip.PrefixFrom(c.address, 16)}
		}
	}
	return result, nil
}

func (s *stub) removeNetwork(r *http.Request) (any, error) {
	n, err := s.network(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	for _, c := range s.containers {
		if c.joined == n.ID && c.state == container.StateRunning {
			return nil, refuse(403, "error while removing network: network %s has active endpoints", n.Name)
		}
	}
	delete(s.networks, n.ID)
	return nil, nil
}

func (s *stub) createVolume(r *http.Request) (any, error) {
	var req volume.CreateRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, refuse(400, "%v", err)
	}
	if _, ok := s.volumes[req.Name]; !ok {
		s.volumes[req.Name] = volume.Volume{Name: req.Name, Labels: req.Labels}
	}
	return s.volumes[req.Name], nil
}

func (s *stub) inspectVolume(r *http.Request) (any, error) {
	v, ok := s.volumes[r.PathValue("name")]
	if !ok {
		return nil, refuse(404, "get %s: no such volume", r.PathValue("name"))
	}
	return v, nil
}

func (s *stub) removeVolume(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if _, ok := s.volumes[name]; !ok {
		return nil, refuse(404, "get %s: no such volume", name)
	}
	for _, c := range s.containers {
		if slices.ContainsFunc(c.host.Binds, func(b string) bool { return strings.HasPrefix(b, name+":") }) {
			return nil, refuse(409, "remove %s: volume is in use - [%s]", name, c.id)
		}
	}
	delete(s.volumes, name)
	return nil, nil
}

func (s *stub) find(ref string) (*stubContainer, error) {
	for _, c := range s.containers {
		if c.id == ref || c.name == ref {
			return c, nil
		}
	}
	return nil, refuse(404, "No such container: %s", ref)
}

func (s *stub) listContainers(r *http.Request) (any, error) {
	list := []container.Summary{}
	for _, c := range s.containers {
		keep := labelled(r, c.config.Labels)
		for _, ref := range filter(r, "network") {
			n, err := s.network(ref)
			keep = keep && err == nil && c.network == n.Name
		}
		if keep {
			list = append(list, container.Summary{ID: c.id, Names: []string{"/" + c.name}, Labels: c.config.Labels, State: c.state})
		}
	}
	return list, nil
}

func (s *stub) createContainer(r *http.Request) (any, error) {
	body, _ := io.ReadAll(r.Body)
	var req container.CreateRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, refuse(400, "%v", err)
	}
	s.seen = append(s.seen, string(body))
	name := r.URL.Query().Get("name")
	if c, err := s.find(name); err == nil {
		return nil, refuse(409, "Conflict. The container name %q is already in use by container %q", "/"+name, c.id)
	}
	if !s.images[req.Image] {
		return nil, refuse(404, "No such image: %s", req.Image)
	}
	if len(req.HostConfig.Mounts) > 0 && !s.modules {
		return nil, refuse(400, "invalid mount config for type \"bind\": bind source path does not exist: /lib/modules")
	}
	for _, b := range req.HostConfig.Binds {
		if v, _, _ := strings.Cut(b, ":"); !strings.HasPrefix(v, "/") {
			if _, ok := s.volumes[v]; !ok {
				s.volumes[v] = volume.Volume{Name: v}
			}
		}
	}
	c := &stubContainer{id: s.newID(), name: name, config: req.Config, host: req.HostConfig, network: string(req.HostConfig.NetworkMode), state: container.StateCreated}
	if e := req.NetworkingConfig.EndpointsConfig[c.network]; e != nil && e.IPAMConfig != nil {
		c.address = e.IPAMConfig.IPv4Address
	}
	s.containers[c.id] = c
	return container.CreateResponse{ID: c.id}, nil
}

func (s *stub) inspectContainer(r *http.Request) (any, error) {
	c, err := s.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return container.InspectResponse{
		ID: c.id, Name: "/" + c.name, Config: c.config, HostConfig: c.host,
		State:           &container.State{Status: c.state, Running: c.state == container.StateRunning || c.state == container.StatePaused, Paused: c.state == container.StatePaused},
		NetworkSettings: &container.NetworkSettings{Ports: c.ports},
	}, nil
}

func (s *stub) putArchive(r *http.Request) (any, error) {
	body, _ := io.ReadAll(r.Body)
	s.planted = append(s.planted, string(body))
	_, err := s.find(r.PathValue("id"))
	return nil, err
}

func (s *stub) startContainer(r *http.Request) (any, error) {
	c, err := s.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	n, err := s.network(c.network)
	if err != nil {
		return nil, err
	}
	if !n.IPAM.Config[0].Subnet.Contains(c.address) {
		return nil, refuse(400, "invalid address %s: It does not belong to any of this network's subnets", c.address)
	}
	has := minimal
	if slices.Contains(c.host.CapAdd, "ALL") || slices.Contains(c.host.CapAdd, "CAP_ALL") {
		has = capabilities
	}
	if c.host.Privileged {
		has = privileged
	}
	if slices.Contains(s.lacks, has) {
		return nil, refuse(400, "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: unable to apply caps: operation not permitted: unknown")
	}
	for _, other := range s.containers {
		if other != c && other.state == container.StateRunning && other.network == c.network && other.address == c.address {
			return nil, refuse(403, "Address already in use")
		}
	}
	c.state, c.joined = container.StateRunning, n.ID
	c.ports = network.PortMap{}
	for p, bindings := range c.host.PortBindings {
		for _, b := range bindings {
			if b.HostPort == "" {
				s.seq++
				b.HostPort = fmt.Sprint(32768 + s.seq) // another one at each start
			}
			c.ports[p] = append(c.ports[p], b)
		}
	}
	return nil, nil
}
