package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
)

// real is the Engine of this computer, with what one test makes there.
type real struct {
	api     *client.Client
	host    string
	store   string
	network string
}

// newReal returns the Engine of this computer, and removes what carries the
// test's store when it ends.
func newReal(t testing.TB) *real {
	t.Helper()
	if os.Getenv("MACHINE_TEST_DOCKER") != "1" {
		t.Skip("makes containers on the Docker Engine of this computer; set MACHINE_TEST_DOCKER=1 to run it")
	}
	ep, err := resolve("", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	api, err := connect(t.Context(), ep)
	if err != nil {
		t.Fatal(err)
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	r := &real{api: api, host: ep.Host, store: hex.EncodeToString(id[:])}
	r.network = "machine-test-" + r.store
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		r.sweep(ctx, t)
		_ = api.Close()
	})
	return r
}

// list returns what carries the test's store.
func (r *real) list(ctx context.Context) ([]string, error) {
	all, err := r.labelled(ctx, labelStore+"="+r.store)
	return all, err
}

func (r *real) labelled(ctx context.Context, label string) ([]string, error) {
	f := client.Filters{}.Add("label", label)
	var all []string
	containers, err := r.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: f})
	if err != nil {
		return nil, err
	}
	for _, c := range containers.Items {
		all = append(all, "container/"+c.ID)
	}
	volumes, err := r.api.VolumeList(ctx, client.VolumeListOptions{Filters: f})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Items {
		all = append(all, "volume/"+v.Name)
	}
	networks, err := r.api.NetworkList(ctx, client.NetworkListOptions{Filters: f})
	if err != nil {
		return nil, err
	}
	for _, n := range networks.Items {
		all = append(all, "network/"+n.ID)
	}
	return all, nil
}

// vanish deletes what list returned, whatever uses it.
func (r *real) vanish(ctx context.Context, resource string) error {
	kind, id, _ := strings.Cut(resource, "/")
	switch kind {
	case "container":
		_, err := r.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		return err
	case "network":
		n, err := r.api.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
		if err != nil {
			return err
		}
		for c := range n.Network.Containers {
			if _, err := r.api.NetworkDisconnect(ctx, id, client.NetworkDisconnectOptions{Container: c, Force: true}); err != nil {
				return err
			}
		}
		_, err = r.api.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		return err
	}
	// A volume that is in use cannot go; what uses it goes first.
	users, err := r.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("volume", id)})
	if err != nil {
		return err
	}
	for _, c := range users.Items {
		if err := r.vanish(ctx, "container/"+c.ID); err != nil {
			return err
		}
	}
	_, err = r.api.VolumeRemove(ctx, id, client.VolumeRemoveOptions{})
	return err
}

func (r *real) sweep(ctx context.Context, t testing.TB) {
	for _, store := range []string{r.store, r.store + "-other"} {
		all, err := r.labelled(ctx, labelStore+"="+store)
		if err != nil {
			t.Error(err)
		}
		for _, resource := range all {
			if err := r.vanish(ctx, resource); err != nil && !errdefs.IsNotFound(err) {
				t.Errorf("clean up: %v", err)
			}
		}
	}
}

func (r *real) values(more ...string) drivers.Values {
	v := drivers.Values{"docker-engine": {r.host}, "docker-network": {r.network}}
	for i := 0; i < len(more); i += 2 {
		v[more[i]] = append(v[more[i]], more[i+1])
	}
	return v
}

// realFactory is New's, but for its patience: a process that was just started
// may lose the signal that tells it to end.
func realFactory() drivers.Factory { return factory(localSubnets, 5*time.Second, lateLook) }

func (r *real) newHost(t testing.TB, name string, values drivers.Values) *host {
	h := newHost(t, realFactory(), name, values)
	h.env.StoreID = r.store
	h.reopen()
	return h
}

// idle returns an image that starts at once and does nothing.
func (r *real) idle(t testing.TB) string {
	t.Helper()
	const name = "machine-test-idle:1"
	if _, err := r.api.ImageInspect(t.Context(), name); err == nil {
		return name
	}
	program := filepath.Join(t.TempDir(), "idle")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "./testdata/idle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "idle", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := r.api.ImageImport(t.Context(), client.ImageImportSource{Source: &b, SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/idle"]`}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = out.Close()
	return name
}

// proxy puts h before the Engine, so that a test can act between two requests.
func (r *real) proxy(t testing.TB, before func(method, path string)) string {
	t.Helper()
	path := strings.TrimPrefix(r.host, "unix://")
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	forward.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	forward.FlushInterval = -1
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		before(req.Method, req.URL.Path)
		forward.ServeHTTP(w, req)
	}))
}

// TestRealConformance runs the suite on the Engine of this computer.
func TestRealConformance(t *testing.T) {
	probe := newReal(t)
	image := probe.idle(t)
	// The others learn from this one what the engine lets a container do.
	probe.newHost(t, "first", probe.values("docker-image", image)).mustCreate()
	drivertest.Run(t, drivertest.Harness{
		Serial: true,
		New: func(t testing.TB) drivertest.World {
			r := newReal(t)
			return drivertest.World{
				Factory:   realFactory(),
				Values:    r.values("docker-image", image),
				Env:       drivers.Env{StoreID: r.store, Creator: "test/1", Dir: "/nonexistent"},
				Request:   request(),
				Spoil:     map[string]any{"Network": "a b", "Image": "gone"},
				Resources: r.list,
				Vanish:    r.vanish,
				Plant:     func(ctx context.Context, machine string) error { return r.plant(ctx, image, machine) },
				Foreign: func(ctx context.Context) ([]string, error) {
					return r.labelled(ctx, labelStore+"="+r.store+"-other")
				},
			}
		},
	})
}

// plant makes what looks like a machine's and belongs to another store.
func (r *real) plant(ctx context.Context, image, machine string) error {
	labels := map[string]string{labelStore: r.store + "-other", labelMachine: machine}
	name := fmt.Sprintf("machine-%s-%.8s", machine, r.store)
	if _, err := r.api.NetworkCreate(ctx, r.network, client.NetworkCreateOptions{Driver: "bridge", Labels: labels}); err != nil {
		return err
	}
	for _, v := range []string{"-docker", "-containerd"} {
		if _, err := r.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name + v, Labels: labels}); err != nil {
			return err
		}
	}
	_, err := r.api.ContainerCreate(ctx, client.ContainerCreateOptions{Name: name, Config: &container.Config{Image: image, Labels: labels}})
	return err
}

// TestRealAddressTaken lets somebody else take the chosen address just before
// the container starts.
func TestRealAddressTaken(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	image := r.idle(t)
	var once sync.Once
	at := r.proxy(t, func(method, path string) {
		if method != http.MethodPost || !strings.HasSuffix(path, "/start") {
			return
		}
		once.Do(func() {
			made, err := r.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
				Config:     &container.Config{Image: image, Labels: map[string]string{labelStore: r.store}},
				HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(r.network)},
				NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
					r.network: {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: r.first(t)}},
				}},
			})
			if err == nil {
				_, err = r.api.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
			}
			if err != nil {
				t.Error(err)
			}
		})
	})
	m := r.newHost(t, "m1", r.values("docker-image", image))
	m.config = json.RawMessage(strings.Replace(string(m.config), r.host, at, 1))
	m.reopen()
	if got := m.mustCreate(); got.Host == r.first(t).String() {
		t.Errorf("two are at %s", got.Host)
	}
}

// first returns the lowest address of the test's network that is not the gateway's.
func (r *real) first(t testing.TB) netip.Addr {
	n, err := r.api.NetworkInspect(t.Context(), r.network, client.NetworkInspectOptions{})
	if err != nil {
		t.Error(err)
		return netip.Addr{}
	}
	return gateway(n.Network.IPAM.Config[0].Subnet).Next()
}

func TestRealPortTaken(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // ends with the test
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	m := r.newHost(t, "m1", r.values("docker-image", r.idle(t), "docker-publish", port+":80"))
	err = m.Create(t.Context(), request())
	if !errors.Is(err, drivers.ErrConflict) || !strings.Contains(hintOf(err), "--docker-publish") {
		t.Errorf("got %v (%s)", err, hintOf(err))
	}
	_ = l.Close()
	if got := m.mustCreate(); got.State != drivers.Running { // the same again goes on
		t.Errorf("%+v", got)
	}
}

func TestRealProcessesAtOnce(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	image := r.idle(t)
	var g sync.WaitGroup
	hosts := make([]*host, 4)
	for i := range hosts {
		hosts[i] = r.newHost(t, "m"+strconv.Itoa(i), r.values("docker-image", image)) // each with a factory of its own
		g.Go(func() {
			if err := hosts[i].Create(t.Context(), request()); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	var seen []string
	for _, h := range hosts {
		seen = append(seen, h.recorded().Address)
	}
	slices.Sort(seen)
	if len(slices.Compact(slices.Clone(seen))) != len(hosts) {
		t.Errorf("addresses %q", seen)
	}
	n, err := r.api.NetworkList(t.Context(), client.NetworkListOptions{Filters: client.Filters{}.Add("name", r.network)})
	if err != nil || len(n.Items) != 1 {
		t.Errorf("networks %v, %v", n.Items, err)
	}
}

func TestRealPublished(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	m := r.newHost(t, "m1", r.values("docker-image", r.idle(t), "docker-access", "published", "docker-publish", "0.0.0.0::80"))
	before := m.mustCreate()
	if before.Host != "127.0.0.1" || before.SSHPort == 0 || before.EnginePort == 0 || before.Peer == "" {
		t.Errorf("%+v", before)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if after, err := m.Status(t.Context()); err != nil || after.Peer != before.Peer || after.SSHPort == 0 {
		t.Errorf("%+v, %v; was %+v", after, err, before)
	}
}
