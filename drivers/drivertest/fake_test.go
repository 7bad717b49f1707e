package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

func TestFake(t *testing.T) {
	t.Parallel()
	for name, provider := range map[string]func(testing.TB) *fake.Provider{
		"memory": func(testing.TB) *fake.Provider { return fake.Memory() },
		"folder": func(t testing.TB) *fake.Provider { return fake.Folder(t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Run(t, Harness{New: func(t testing.TB) World { return worldOf(provider(t)) }})
		})
	}
}

// worldOf is a provider as the suite sees it.
func worldOf(p *fake.Provider) World {
	list := func(ctx context.Context, ours bool) (all []string, err error) {
		resources, err := p.Resources(ctx)
		for _, r := range resources {
			if ours == (r.Labels["store"] == "drivertest") {
				all = append(all, fmt.Sprintf("%s/%s/%s", r.Kind, r.ID, map[bool]string{false: string(r.State)}[ours]))
			}
		}
		return all, err
	}
	return World{
		Factory: fake.New(p),
		Values:  drivers.Values{"fake-secret": {"fake-hush"}, "fake-labels": {"a=b"}},
		Request: drivers.CreateRequest{AuthorizedKey: "ssh-ed25519 AAAA", OpenPorts: []drivers.Port{{Number: 80, Protocol: "tcp"}}},
		Bad:     map[string][]string{"fake-fail": {"lunch"}, "fake-ssh-port": {"65536"}, "fake-delay": {"-1s"}},
		Refused: map[string]drivers.Values{
			"credentials": {"fake-fail": {"check:credentials"}},
			"quota":       {"fake-fail": {"check:quota"}},
			"other":       {"fake-fail": {"check"}},
		},
		Spoil:     map[string]any{"Size": "gone", "Fail": []string{"lunch"}, "SSHPort": -1},
		Resources: func(ctx context.Context) ([]string, error) { return list(ctx, true) },
		Foreign:   func(ctx context.Context) ([]string, error) { return list(ctx, false) },
		Vanish: func(ctx context.Context, resource string) error {
			return p.Vanish(ctx, strings.Split(resource, "/")[1])
		},
		Plant: func(ctx context.Context, machine string) error {
			return errors.Join(
				p.Plant(ctx, fake.Resource{Kind: fake.KindHost, Name: machine, Token: "theirs", State: drivers.Running}),
				p.Plant(ctx, fake.Resource{Kind: fake.KindDisk, Name: "other", Token: "theirs"}))
		},
		Observe: p.Observe,
	}
}
