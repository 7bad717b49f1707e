package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

// cloud is a driver that goes on with machines of docker-machine's driver of its name.
func cloud() drivers.Factory {
	type config struct {
		Region string         `option:"region" help:"region"`
		Size   int            `option:"size" help:"size" min:"1"`
		Login  bool           `option:"login" help:"log in"`
		Tags   []string       `option:"tag" env:"CLOUD_TAGS" help:"tags" alias:"cloud-label"`
		Pause  time.Duration  `option:"pause" help:"pause"`
		Key    drivers.Secret `option:"key" env:"CLOUD_KEY" help:"key"`
	}
	type state struct{ ID string }
	f := drivers.Define("cloud", "a cloud", func() config { return config{Region: "r1", Login: true, Tags: []string{"a", "b"}, Pause: time.Second} },
		func(c config, s *drivers.Durable[state], _ drivers.Env) (drivers.Driver, error) {
			return instance{region: c.Region, id: &s.Value.ID, save: s.Save, key: c.Key}, nil
		})
	return drivers.TakingOver(f, func(record json.RawMessage) (config, state, error) {
		var r struct{ Region, SecretKey, InstanceID string }
		err := json.Unmarshal(record, &r)
		return config{Region: r.Region, Key: drivers.Secret(r.SecretKey)}, state{r.InstanceID}, err
	})
}

type instance struct {
	region string
	id     *string
	save   func() error
	key    drivers.Secret
}

func (instance) Check(context.Context) error                         { return nil }
func (instance) Create(context.Context, drivers.CreateRequest) error { panic("out of clouds") }
func (instance) Start(context.Context) error                         { return nil }
func (instance) Stop(context.Context) error                          { return nil }

func (i instance) Remove(context.Context) error {
	*i.id = ""
	return i.save()
}

func (i instance) Status(context.Context) (drivers.Status, error) {
	if i.key.Reveal() != "hush" {
		return drivers.Status{}, drivers.ErrCredentials
	}
	return drivers.Status{State: drivers.Running, Host: *i.id + "." + i.region, User: "u"}, nil
}

// served is a host without a caller.
func served(t testing.TB, f drivers.Factory, env map[string]string) (*calls, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	s := &Server{
		Factory: f, Stdout: &out, Log: slog.New(slog.DiscardHandler), Getenv: func(k string) string { return env[k] },
		StoreID: func(context.Context, string) (string, error) { return "id", nil },
		Key:     func([]byte, string) ([]byte, string, error) { return []byte("key"), "public", nil },
	}
	return newCalls(s.host(t.Context())), &out
}

const oldRecord = `{"IPAddress":"192.0.2.1","MachineName":"old","SSHUser":"ubuntu","SSHPort":22,"SSHKeyPath":"/elsewhere/id_rsa","StorePath":"STORE",
	"SwarmMaster":false,"SwarmHost":"","SwarmDiscovery":"","Region":"r7","SecretKey":"hush","InstanceID":"i-1"}`

// TestServedInherits: a machine of docker-machine's own driver goes on with ours, and its record stays one that
// docker-machine's driver reads.
func TestServedInherits(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	dir := filepath.Join(store, "machines", "old")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "id_rsa"), []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	record := []byte(strings.Replace(oldRecord, "STORE", filepath.ToSlash(store), 1))
	for range 2 { // the second time it is a record of ours
		c, _ := served(t, cloud(), nil)
		if err := c.SetConfigRaw(record, nil); err != nil {
			t.Fatal(err)
		}
		var ip, key string
		if err := errors.Join(c.GetIP(nil, &ip), c.GetSSHKeyPath(nil, &key), c.GetConfigRaw(nil, &record)); err != nil {
			t.Fatal(err)
		}
		if ip != "i-1.r7" || key != filepath.Join(dir, "id_rsa") {
			t.Errorf("got %s, %s", ip, key)
		}
		var now struct{ Region, SecretKey, InstanceID string }
		if err := json.Unmarshal(record, &now); err != nil || now.Region != "r7" || now.SecretKey != "hush" || now.InstanceID != "i-1" {
			t.Errorf("docker-machine's driver would read %+v, %v", now, err)
		}
	}
	c, _ := served(t, cloud(), nil)
	if err := errors.Join(c.SetConfigRaw(record, nil), c.Remove(nil, nil)); err != nil {
		t.Fatal(err)
	}
	c, _ = served(t, cloud(), nil) // with the record as it was: what was saved counts
	var ip string
	if err := errors.Join(c.SetConfigRaw(record, nil), c.GetIP(nil, &ip)); err != nil || ip != ".r7" {
		t.Errorf("got %q, %v", ip, err)
	}
}

// TestServedPanics: a driver that panics leaves a server that answers.
func TestServedPanics(t *testing.T) {
	t.Parallel()
	c, _ := served(t, cloud(), map[string]string{"CLOUD_KEY": "hush"})
	raw, err := json.Marshal(baseDriver{MachineName: "m", StorePath: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var flags any = &RPCFlags{Values: map[string]any{"cloud-size": 0}}
	if err := errors.Join(c.SetConfigRaw(raw, nil), c.SetConfigFromFlags(&flags, nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(nil, nil); err == nil || !strings.Contains(err.Error(), "panic in the driver: out of clouds") {
		t.Errorf("got %v", err)
	}
	var state int
	if err := c.GetState(nil, &state); err != nil || state != 1 {
		t.Errorf("got %d, %v; the secret of the environment was not used", state, err)
	}
}

// TestValuesOf: what docker-machine sends without being told is what was not given.
func TestValuesOf(t *testing.T) {
	t.Parallel()
	env := func(string) string { return "" }
	options := cloud().Options()
	unset := map[string]any{
		"cloud-region": "r1", "cloud-size": 0, "cloud-login": "true", "cloud-tag": []string{"a", "b"}, "cloud-label": []string{},
		"cloud-pause": "1s", "cloud-key": "", "engine-label": []string{"x"}, "swarm": false,
	}
	if got, err := valuesOf(unset, options, env); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v; want nothing", got, err)
	}
	unset["cloud-login"], unset["cloud-label"], unset["cloud-key"] = "false", []string{"c"}, "hush"
	got, err := valuesOf(unset, options, env)
	if err != nil || len(got) != 3 || got["cloud-login"][0] != "false" || got["cloud-label"][0] != "c" || got["cloud-key"][0] != "hush" {
		t.Errorf("got %v, %v", got, err)
	}
	delete(unset, "cloud-label")
	delete(unset, "cloud-tag")
	got, err = valuesOf(unset, options, func(name string) string { return map[string]string{"CLOUD_TAGS": "e,f"}[name] })
	if err != nil || len(got["cloud-tag"]) != 2 {
		t.Errorf("got %v, %v; want the tags of the environment", got, err)
	}
	for _, f := range flagsOf(options) {
		if f, ok := f.(*StringFlag); ok && f.Name == "cloud-login" && f.Value == "true" {
			return
		}
	}
	t.Error("A switch that is on cannot be turned off by docker-machine's flag of that kind")
}

// TestSay: lines are of a length that docker-machine reads.
func TestSay(t *testing.T) {
	t.Parallel()
	c, out := served(t, cloud(), nil)
	c.host.say("a\nb\r\n" + strings.Repeat("ü", 1<<17))
	c.host.say("")
	if lines := strings.Count(out.String(), "\n"); lines != 1 || out.Len() > 5000 || !strings.HasPrefix(out.String(), "a; b; ") {
		t.Errorf("%d lines, %d bytes: %.20q", lines, out.Len(), out.String())
	}
}

// FuzzServedRecord: whatever records come, the server goes on, writes nothing into another folder, and has a record
// that it takes itself.
func FuzzServedRecord(f *testing.F) {
	f.Add([]byte(oldRecord), []byte(`{"MachineName":"m","StorePath":"s"}`))
	f.Add([]byte(`{"MachineDriver":{"Driver":"cloud","Config":{"Region":"x"},"State":{"ID":"i"},"Created":true,"Key":"../k"}}`), []byte(`null`))
	f.Add([]byte(`{"MachineName":"m","MachineDriver":{"Driver":"cloud","Key":".."}}`), []byte(`{"MachineDriver":{"Driver":"cloud","Key":"k"}}`))
	f.Add([]byte(`{"MachineDriver":null,"SSHPort":"x"}`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c, _ := served(t, cloud(), nil)
		store := t.TempDir()
		for _, raw := range [][]byte{first, second, nil} {
			_ = c.SetConfigRaw(raw, nil)
			c.host.base.StorePath = store
			var reply []byte
			if err := c.GetConfigRaw(nil, &reply); err != nil {
				t.Fatalf("no record: %v", err)
			}
			var key string
			if err := c.GetSSHKeyPath(nil, &key); err != nil {
				t.Fatal(err)
			}
			if dir, err := c.host.dir(); err == nil && c.host.own != nil && c.host.own.Key != "" && filepath.Dir(key) != dir {
				t.Errorf("the key is %s", key)
			}
			again, _ := served(t, cloud(), nil)
			if err := again.SetConfigRaw(reply, nil); err != nil {
				t.Errorf("its own record %s is refused: %v", reply, err)
			}
			_ = c.Remove(nil, nil)
		}
		found, err := os.ReadDir(store)
		if err != nil || len(found) > 1 || len(found) == 1 && found[0].Name() != "machines" {
			t.Errorf("written: %v, %v", found, err)
		}
	})
}

// FuzzServedFlags: whatever flags come, they are taken or refused.
func FuzzServedFlags(f *testing.F) {
	f.Add([]byte(`{"fake-size":"huge","fake-labels":["a"],"swarm-master":1}`))
	f.Add([]byte(`{"fake-seed-host-key":"maybe","fake-delay":7,"fake-secret":{"a":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var values map[string]any
		if json.Unmarshal(data, &values) != nil {
			return
		}
		for key, v := range values {
			if n, ok := v.(float64); ok {
				values[key] = int(n)
			}
		}
		c, _ := served(t, fake.New(nil), nil)
		var flags any = &RPCFlags{Values: values}
		if err := c.SetConfigFromFlags(&flags, nil); err != nil && !errors.Is(err, drivers.ErrOption) {
			t.Errorf("got %v, want ErrOption", err)
		}
		var reply []byte
		if err := c.GetConfigRaw(nil, &reply); err != nil || !json.Valid(reply) {
			t.Errorf("record %s, %v", reply, err)
		}
	})
}

// FuzzServedWire: whatever a connection says, the server neither ends nor waits for more once it is closed.
func FuzzServedWire(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Add(wire(f, "SetConfigRaw", []byte(`{"MachineName":"m"}`)))
	f.Add(wire(f, "SetConfigFromFlags", struct{}{}))
	f.Add(wire(f, "GetState", struct{}{}))
	registerTypes()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _ := served(t, cloud(), nil)
		server := rpc.NewServer()
		if err := server.RegisterName(Service, c); err != nil {
			t.Fatal(err)
		}
		server.ServeConn(&conversation{Reader: bytes.NewReader(data)})
		var version int
		if err := c.GetVersion(nil, &version); err != nil || version != Version {
			t.Errorf("got %d, %v", version, err)
		}
	})
}

// conversation is a connection on which everything has been said.
type conversation struct {
	io.Reader
}

func (*conversation) Write(p []byte) (int, error) { return len(p), nil }
func (*conversation) Close() error                { return nil }

// wire is what a client sends to call a method.
func wire(f *testing.F, method string, arg any) []byte {
	f.Helper()
	here, there := net.Pipe()
	var sent bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&sent, there)
	}()
	client := rpc.NewClient(here)
	client.Go(Service+"."+method, arg, nil, make(chan *rpc.Call, 1))
	_ = client.Close()
	<-done
	return sent.Bytes()
}
