package fake_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

// open configures and opens a fake on p.
func open(t *testing.T, p *fake.Provider, values drivers.Values, getenv func(string) string) drivers.Driver {
	t.Helper()
	f := fake.New(p)
	config, secrets, err := f.Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	save := func(json.RawMessage) error { return nil }
	d, err := f.Open(config, secrets, nil, save, drivers.Env{Machine: "m", Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"check", "create-before", "create-between", "create-after", "status", "start", "stop", "kill", "remove"} {
		for _, by := range []string{"option", "environment"} {
			t.Run(step+" by "+by, func(t *testing.T) {
				t.Parallel()
				values, environment := drivers.Values{}, map[string]string{}
				if by == "option" {
					values["fake-fail"] = []string{step + ":quota"}
				} else {
					environment[fake.EnvFail] = "check:unsupported," + step + ":quota"
					if step == "check" {
						environment[fake.EnvFail] = "check:quota"
					}
				}
				d := open(t, fake.Memory(), values, func(k string) string { return environment[k] })
				err := d.Create(t.Context(), drivers.CreateRequest{})
				if strings.HasPrefix(step, "create-") != errors.Is(err, drivers.ErrQuota) {
					t.Errorf("create: got %v", err)
				}
				_, statusErr := d.Status(t.Context())
				for name, err := range map[string]error{
					"check": d.Check(t.Context()), "status": statusErr, "start": d.Start(t.Context()), "stop": d.Stop(t.Context()),
					"kill": d.(drivers.Killer).Kill(t.Context()), "remove": d.Remove(t.Context()),
				} {
					if (name == step) != errors.Is(err, drivers.ErrQuota) {
						t.Errorf("%s: got %v", name, err)
					}
				}
			})
		}
	}
}

func TestFaultsLeaveWhatWasMade(t *testing.T) {
	t.Parallel()
	for step, want := range map[string]int{"create-before": 0, "create-between": 1, "create-after": 2} {
		p := fake.Memory()
		d := open(t, p, drivers.Values{"fake-fail": {step}}, nil)
		if err := d.Create(t.Context(), drivers.CreateRequest{}); err == nil {
			t.Errorf("%s: no error", step)
		}
		if got, err := p.Resources(t.Context()); err != nil || len(got) != want {
			t.Errorf("%s: got %v, %v, want %d resources", step, got, err, want)
		}
	}
}

func TestDelayEndsWithContext(t *testing.T) {
	t.Parallel()
	d := open(t, fake.Memory(), drivers.Values{"fake-delay": {"1h"}}, nil)
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, cause)
	defer cancel()
	if err := d.Check(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

func TestStatusTellsWhatWasConfigured(t *testing.T) {
	t.Parallel()
	p := fake.Memory()
	d := open(t, p, drivers.Values{
		"fake-address": {"127.0.0.1"}, "fake-peer-address": {"10.0.0.1"}, "fake-ssh-user": {"u"}, "fake-ssh-port": {"2222"},
		"fake-engine-port": {"12376"}, "fake-seed-host-key": {"true"}, "fake-labels": {"colour=red", "bare"},
	}, nil)
	request := drivers.CreateRequest{AuthorizedKey: "ssh-ed25519 AAAA", HostKey: []byte("key"), UserData: []byte("#cloud-config")}
	if err := d.Create(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	got, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := drivers.Status{State: drivers.Running, Host: "127.0.0.1", Peer: "10.0.0.1", User: "u", SSHPort: 2222, EnginePort: 12376}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !d.(drivers.HostKeySeeder).SeedsHostKey() {
		t.Error("the host key is not seeded")
	}
	if !d.(drivers.UserDataTaker).TakesUserData() {
		t.Error("user data is not taken")
	}
	all, err := p.Resources(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("got %v, %v, want a disk and a host", all, err)
	}
	h := all[1]
	if h.AuthorizedKey != request.AuthorizedKey || h.HostKey != "key" || h.UserData != "#cloud-config" || h.Labels["colour"] != "red" {
		t.Errorf("host was born with %+v", h)
	}
}

func TestFolderIsShared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, nil, drivers.Values{"fake-state-dir": {dir}}, nil)
	if err := d.Create(t.Context(), drivers.CreateRequest{}); err != nil {
		t.Fatal(err)
	}
	if got, err := fake.Folder(dir).Resources(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v, want 2 resources", got, err)
	}
}

func TestNeedsAProvider(t *testing.T) {
	t.Parallel()
	_, err := fake.New(nil).Open(nil, nil, nil, nil, drivers.Env{})
	if !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), "--fake-state-dir") {
		t.Errorf("got %v, want ErrOption about --fake-state-dir", err)
	}
}
