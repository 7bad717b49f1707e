package docker

import (
	"errors"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hostsmith/machine/drivers"
)

// TestReleaseLeavesUsedNetwork: a network of a lost machine stays while a container is on it, whosever it is and
// even if it is stopped, and goes after that.
func TestReleaseLeavesUsedNetwork(t *testing.T) {
	t.Parallel()
	s := newStub()
	values := on(serve(t, s))
	newHost(t, testFactory(), "lost", values).mustCreate()
	s.containers["guest"] = &stubContainer{
		id: "guest", name: "guest", network: "machine", state: container.StateExited,
		config: &container.Config{}, host: &container.HostConfig{},
	}
	finder := newHost(t, testFactory(), "", values).Driver.(drivers.Orphans)
	release := func() (failed []string) {
		t.Helper()
		all, err := finder.Tagged(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			switch err := finder.Release(t.Context(), r); {
			case errors.Is(err, drivers.ErrInUse):
				failed = append(failed, r.Kind)
			case err != nil:
				t.Fatal(err)
			}
		}
		return failed
	}
	if got := release(); !slices.Equal(got, []string{kindNetwork}) || len(s.networks) != 1 {
		t.Errorf("Got %q in use and %d networks left, want the network alone", got, len(s.networks))
	}
	delete(s.containers, "guest")
	if got := release(); len(got) > 0 || len(s.networks)+len(s.volumes)+len(s.containers) > 0 {
		t.Errorf("Got %q in use, and %v %v %v left", got, s.networks, s.volumes, s.containers)
	}
}

// TestReleaseLooksAtLabels: what has got another store's labels since it was found is left alone.
func TestReleaseLooksAtLabels(t *testing.T) {
	t.Parallel()
	s := newStub()
	values := on(serve(t, s))
	newHost(t, testFactory(), "lost", values).mustCreate()
	finder := newHost(t, testFactory(), "", values).Driver.(drivers.Orphans)
	all, err := finder.Tagged(t.Context())
	if err != nil || len(all) != 4 {
		t.Fatalf("Got %v, %v, want a container, two volumes and a network", all, err)
	}
	another := map[string]string{labelStore: "another store"}
	s.mu.Lock()
	for _, c := range s.containers {
		c.config.Labels = another
	}
	for name, v := range s.volumes {
		v.Labels = another
		s.volumes[name] = v
	}
	for id, n := range s.networks {
		s.networks[id] = &network.Network{ID: id, Name: n.Name, Labels: another, IPAM: n.IPAM}
	}
	s.mu.Unlock()
	for _, r := range all {
		if err := finder.Release(t.Context(), r); err != nil {
			t.Errorf("Release %+v: %v", r, err)
		}
	}
	if len(s.containers) != 1 || len(s.volumes) != 2 || len(s.networks) != 1 {
		t.Errorf("%v %v %v are left, want all", s.containers, s.volumes, s.networks)
	}
}
