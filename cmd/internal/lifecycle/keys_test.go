package lifecycle

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// madeHost is the host that the provider was asked for.
func (w *world) madeHost(name string) fake.Resource {
	w.t.Helper()
	all, err := w.provider.Resources(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range all {
		if r.Kind == fake.KindHost && r.Name == name {
			return r
		}
	}
	w.t.Fatalf("there is no host %s", name)
	return fake.Resource{}
}

func TestSwarmPortsAreForPeersAndAlwaysAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}, Engine: EngineOptions{Port: 12376}})
	want := []drivers.Port{
		{Number: 12376, Protocol: "tcp"}, {Number: 2377, Protocol: "tcp", Peers: true},
		{Number: 7946, Protocol: "tcp", Peers: true}, {Number: 7946, Protocol: "udp", Peers: true}, {Number: 4789, Protocol: "udp", Peers: true},
	}
	if got := w.madeHost("m1").OpenPorts; !slices.Equal(got, want) {
		t.Errorf("asked for %v", got)
	}
}

func TestKeyPairOfTheUsersOwn(t *testing.T) {
	t.Parallel()
	for _, seeds := range []string{"true", "false"} {
		w := newWorld(t, "m1")
		pair, err := ssh.NewKeyPair("the user's own")
		if err != nil {
			t.Fatal(err)
		}
		key := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, pair.Private, 0o600); err != nil {
			t.Fatal(err)
		}
		// The provider puts the key pair on the host by itself.
		w.hooks(func(step string) {
			if strings.HasSuffix(step, "wait for SSH") {
				w.hosts["m1"].sshd.Authorize(pair.Authorized)
			}
		}, nil)
		w.create(CreateRequest{Names: []string{"m1"}, Options: drivers.Values{"fake-ssh-keypath": {key}, "fake-seed-host-key": {seeds}}})
		host, rec, files := w.madeHost("m1"), w.record("m1"), w.files()
		if host.AuthorizedKey != "" || (host.HostKey != "") != (seeds == "true") {
			t.Errorf("seeds %s: made with key %q, host key %q", seeds, host.AuthorizedKey, host.HostKey)
		}
		want := map[string]string{"true": "seeded", "false": "pinned"}[seeds]
		if rec.SSH.Key != ownKeyFile || rec.SSH.HostKey != want || files["machines/m1/"+ownKeyFile] != string(pair.Private) {
			t.Errorf("seeds %s: record %+v", seeds, rec.SSH)
		}
		if _, ok := files["machines/m1/"+newKeyFile]; ok {
			t.Errorf("seeds %s: a login key was made that nobody uses", seeds)
		}
		plan, err := w.manager().PlanCreate(t.Context(), CreateRequest{Names: []string{"m2"}, Driver: fake.Name, Options: drivers.Values{"fake-ssh-keypath": {key}}})
		if text := strings.Join(plan[0].Steps, "\n"); err != nil || !strings.Contains(text, "copy the SSH key "+key) || !strings.Contains(text, "create the host") {
			t.Errorf("plan %q, %v", plan, err)
		}
	}
}

// TestHostKeyIsSeededByWhoeverComesFirst has creates that end before their first contact.
func TestHostKeyIsSeededByWhoeverComesFirst(t *testing.T) {
	t.Parallel()
	options := drivers.Values{"fake-seed-host-key": {"true"}}
	for verb, next := range map[string]func(context.Context, *Manager) error{
		"create": func(ctx context.Context, m *Manager) error {
			_, err := m.Create(ctx, CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: options})
			return err
		},
		"provision": func(ctx context.Context, m *Manager) error {
			return m.Provision(ctx, ProvisionRequest{Names: []string{"m1"}})
		},
		"restart": func(ctx context.Context, m *Manager) error { return m.Restart(ctx, []string{"m1"}) },
	} {
		w := newWorld(t, "m1")
		ctx, cancel := context.WithCancel(t.Context())
		w.hooks(nil, func(what string) error {
			if what == "put record, created" {
				cancel() // after it, nothing
			}
			return context.Cause(ctx)
		})
		_, err := w.manager().Create(ctx, CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: options})
		w.hooks(nil, nil)
		if err == nil || w.record("m1").SSH.HostKey != "" || w.record("m1").Address.Host == "" {
			t.Fatalf("%s: %v, record %+v", verb, err, w.record("m1"))
		}
		if err := next(t.Context(), w.manager()); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if rec := w.record("m1"); rec.SSH.HostKey != "seeded" || rec.Phase != store.Ready || w.noted("pinned") {
			t.Errorf("%s: record %+v, notes %q", verb, rec, w.notes.text)
		}
	}
}
