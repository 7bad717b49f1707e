package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// provider is a simulated provider with its knobs.
type provider struct {
	world
	front http.Handler // its interface; nil: it is asked in other ways
	env   func(ready) map[string]string
	set   func(knob string, value json.RawMessage) error
	close func()
}

// world is what there is to see and to spoil.
type world interface {
	ledger(ctx context.Context) ([]sim.Resource, error)
	vanish(ctx context.Context, kind, id string) error
	counts() (map[string]int, error) // of calls, by action; the sum has the empty name
	inject(f sim.Fault) error
	clear() error
	held() bool
}

// cloud is a world behind a gate.
type cloud struct {
	sim.Provider
	gate *sim.Gate
}

func (c cloud) ledger(context.Context) ([]sim.Resource, error)  { return c.Ledger(), nil }
func (c cloud) vanish(_ context.Context, kind, id string) error { return c.Vanish(kind, id) }
func (c cloud) counts() (map[string]int, error)                 { return c.gate.Calls(), nil }
func (c cloud) inject(f sim.Fault) error                        { c.gate.Inject(f); return nil }
func (c cloud) clear() error                                    { c.gate.Clear(); return nil }
func (c cloud) held() bool                                      { return c.gate.Held() }

// gated returns a provider behind a gate.
func gated(p sim.Provider, env func(ready) map[string]string, set func(string, json.RawMessage) error, closes func()) *provider {
	gate := sim.NewGate(p)
	return &provider{cloud{p, gate}, gate, env, set, closes}
}

func newProvider(ctx context.Context, name string, hosts host.Hosts, config string) (*provider, error) {
	switch name {
	case "ec2":
		return newEC2(hosts, config)
	case "azure":
		return newAzure(hosts, config)
	case "vsphere":
		return newVSphere(hosts, config)
	case "virtualbox":
		return newVirtualBox(ctx, hosts, config)
	case "hyperv":
		return newHyperV(ctx, hosts, config)
	}
	return nil, fmt.Errorf("provider %q: not ec2, azure, vsphere, virtualbox or hyperv", name)
}

func decode[T any](text string, into *T) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return nil
}

func newEC2(hosts host.Hosts, config string) (*provider, error) {
	var c ec2sim.Config
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	c.Hosts = hosts
	cloud, err := ec2sim.New(c)
	if err != nil {
		return nil, err
	}
	env := func(r ready) map[string]string {
		return map[string]string{
			"AWS_ENDPOINT_URL": r.URL, "AWS_CA_BUNDLE": r.CA, "SSL_CERT_FILE": r.CA,
			"AWS_ACCESS_KEY_ID": ec2sim.AccessKey, "AWS_SECRET_ACCESS_KEY": ec2sim.SecretKey,
			"AWS_REGION": ec2sim.RegionNames()[0], "AWS_EC2_METADATA_DISABLED": "true",
			"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		}
	}
	return gated(cloud, env, func(knob string, value json.RawMessage) error { return setEC2(cloud, knob, value) }, func() {}), nil
}

// setEC2 knows quota:NAME (a number), capacity:TYPE/ZONE (a number) and
// key:ACCESS:SECRET (a list of IAM actions; null removes the key).
func setEC2(cloud *ec2sim.Cloud, knob string, value json.RawMessage) error {
	kind, name, _ := strings.Cut(knob, ":")
	switch kind {
	case "quota":
		n, err := read[int](value)
		if err == nil {
			cloud.SetQuota(ec2sim.Quota(name), n)
		}
		return err
	case "capacity":
		n, err := read[int](value)
		if err != nil {
			return err
		}
		instance, zone, _ := strings.Cut(name, "/")
		return cloud.SetCapacity(instance, zone, n)
	case "key":
		actions, err := read[[]string](value)
		access, secret, _ := strings.Cut(name, ":")
		switch {
		case err != nil:
		case actions == nil:
			cloud.RemoveKey(access)
		default:
			cloud.AddKey(access, secret, actions...)
		}
		return err
	}
	return unknown(knob)
}

func newAzure(hosts host.Hosts, config string) (*provider, error) {
	var c struct {
		azuresim.Config
		Fakes *azuresim.FrontConfig // the SDK's fake servers are in front
	}
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	c.Hosts = hosts
	cloud, err := azuresim.New(c.Config)
	if err != nil {
		return nil, err
	}
	var front sim.Provider = cloud
	if c.Fakes != nil {
		front = azuresim.NewFront(cloud, *c.Fakes)
	}
	env := func(r ready) map[string]string {
		return map[string]string{
			"AZURE_RESOURCE_MANAGER_ENDPOINT": r.URL, "AZURE_AUTHORITY_HOST": r.URL, "SSL_CERT_FILE": r.CA,
			"AZURE_SUBSCRIPTION_ID": azuresim.Subscription, "AZURE_TENANT_ID": azuresim.Tenant,
			"AZURE_CLIENT_ID": azuresim.ClientID, "AZURE_CLIENT_SECRET": azuresim.ClientSecret,
		}
	}
	return gated(front, env, func(knob string, value json.RawMessage) error { return setAzure(cloud, knob, value) }, func() {}), nil
}

// setAzure knows quota:NAME (a number), restriction:SIZE/LOCATION/ZONE (the
// reason; ZONE may be empty), scarce:SIZE (the error code), registered:PROVIDER
// (true or false) and principal:ID:SECRET (a list of actions).
func setAzure(cloud *azuresim.Cloud, knob string, value json.RawMessage) error {
	kind, name, _ := strings.Cut(knob, ":")
	switch kind {
	case "quota":
		n, err := read[int](value)
		if err == nil {
			cloud.SetQuota(name, n)
		}
		return err
	case "restriction":
		reason, err := read[string](value)
		at := strings.Split(name+"//", "/")
		if err == nil {
			cloud.SetRestriction(at[0], at[1], at[2], reason)
		}
		return err
	case "scarce":
		code, err := read[string](value)
		if err == nil {
			cloud.SetScarce(name, code)
		}
		return err
	case "registered":
		is, err := read[bool](value)
		if err == nil {
			cloud.SetRegistered(name, is)
		}
		return err
	case "principal":
		actions, err := read[[]string](value)
		client, secret, _ := strings.Cut(name, ":")
		if err == nil {
			cloud.AddPrincipal(client, secret, actions...)
		}
		return err
	}
	return unknown(knob)
}

func newVSphere(hosts host.Hosts, config string) (*provider, error) {
	var c vspheresim.Config
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	c.Hosts = hosts
	cloud, err := vspheresim.New(c)
	if err != nil {
		return nil, err
	}
	env := func(r ready) map[string]string {
		return map[string]string{
			"VSPHERE_VCENTER": r.URL, "VSPHERE_CA_FILE": r.CA, "SSL_CERT_FILE": r.CA,
			"VSPHERE_USERNAME": vspheresim.Username, "VSPHERE_PASSWORD": vspheresim.Password,
			"VSPHERE_CLONE_FROM": vspheresim.Template,
		}
	}
	set := func(knob string, value json.RawMessage) error {
		text, err := read[string](value)
		if err != nil {
			return err
		}
		return cloud.Set(knob, text)
	}
	return gated(cloud, env, set, cloud.Close), nil
}

func read[T any](value json.RawMessage) (v T, err error) {
	if err := json.Unmarshal(value, &v); err != nil {
		return v, fmt.Errorf("value: %w", err)
	}
	return v, nil
}

func unknown(knob string) error { return fmt.Errorf("no knob %q", knob) }
