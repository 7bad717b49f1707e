package plugin_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A plugin by the protocol alone: package net/rpc, and the types under the names that they have on the wire.
type (
	wireFlags  struct{ Values map[string]any }
	wireString struct{ Name, Usage, EnvVar, Value string }
	wireInt    struct {
		Name, Usage, EnvVar string
		Value               int
	}
	wireBool  struct{ Name, Usage, EnvVar string }
	wireSlice struct {
		Name, Usage, EnvVar string
		Value               []string
	}
)

// pebble is the driver of the plugin. Its provider is a folder, with a file for each host that has its state.
type pebble struct {
	IPAddress, MachineName, SSHUser string
	SSHPort                         int
	SSHKeyPath, StorePath           string
	SwarmMaster                     bool
	SwarmHost, SwarmDiscovery       string
	ID, Token, Password             string
	Size                            int
	Tags                            []string
	Labels                          map[string]string
	Note                            string `json:",omitempty"`
}

// service has a method of the protocol each.
type service struct {
	d *pebble

	remembered int

	closed chan struct{}
	beats  chan struct{}
}

type none = struct{}

// fault does what PEBBLE_FAULT says of a method: "hang:GetState,crash:Stop".
func fault(method string) {
	for f := range strings.SplitSeq(os.Getenv("PEBBLE_FAULT"), ",") {
		switch f {
		case "hang:" + method:
			select {}
		case "crash:" + method:
			fmt.Fprintln(os.Stderr, "going on\npanic: out of pebbles\n\ngoroutine 1 [running]:")
			os.Exit(2)
		case "slow:" + method:
			<-time.After(300 * time.Millisecond)
		}
	}
}

func (s *service) host() string { return filepath.Join(os.Getenv("PEBBLE_DIR"), s.d.MachineName) }

func (s *service) GetVersion(_ *none, reply *int) error {
	fault("GetVersion")
	if *reply = 1; os.Getenv("PEBBLE_FAULT") == "version" {
		*reply = 2
	}
	return nil
}

func (s *service) Close(_, _ *none) error {
	fault("Close")
	close(s.closed)
	return nil
}

func (s *service) Heartbeat(_, _ *none) error {
	fault("Heartbeat")
	s.beats <- none{}
	return nil
}

func (s *service) DriverName(_ *none, reply *string) error { *reply = "pebble"; return nil }

func (s *service) GetCreateFlags(_ *none, reply *[]any) error {
	*reply = []any{
		&wireString{Name: "pebble-token", Usage: "who may\nhave pebbles.", EnvVar: "PEBBLE_TOKEN"},
		&wireString{Name: "pebble-kind", Usage: "kind", EnvVar: "PEBBLE_KIND,OTHER_KIND", Value: "round"},
		&wireInt{Name: "pebble-size", Usage: "size", Value: 7},
		&wireBool{Name: "pebble-wet", Usage: "wet"},
		&wireSlice{Name: "pebble-tag", Usage: "tags", Value: []string{"a", "b"}},
	}
	return nil
}

func (s *service) SetConfigRaw(data []byte, _ *none) error {
	fault("SetConfigRaw")
	return json.Unmarshal(data, &s.d)
}

func (s *service) GetConfigRaw(_ *none, reply *[]byte) (err error) {
	fault("GetConfigRaw")
	*reply, err = json.Marshal(s.d)
	return err
}

func (s *service) SetConfigFromFlags(flags *any, _ *none) error {
	fault("SetConfigFromFlags")
	v := (*flags).(*wireFlags).Values
	s.d.Token, s.d.Size, s.d.Tags = v["pebble-token"].(string), v["pebble-size"].(int), v["pebble-tag"].([]string)
	s.d.SwarmHost = fmt.Sprint(v["swarm-host"])
	s.d.Password = "made-by-the-plugin"
	switch {
	case v["pebble-kind"] == "no":
		return errors.New("there is no such kind")
	case v["pebble-wet"].(bool):
		s.d.Labels = map[string]string{s.d.MachineName: "wet"}
	}
	return os.WriteFile(filepath.Join(os.Getenv("PEBBLE_DIR"), ".flags"), fmt.Append(nil, v), 0o600)
}

func (s *service) PreCreateCheck(_, _ *none) error {
	fault("PreCreateCheck")
	if s.d.Size < 0 {
		return fmt.Errorf("size %d is too small for %s", s.d.Size, s.d.Token)
	}
	return nil
}

func (s *service) Create(_, _ *none) error {
	fault("Create")
	fmt.Println("heaving", s.d.MachineName, "with", s.d.Token)
	if _, err := os.Stat(s.host()); err == nil {
		return fmt.Errorf("there is a pebble %s", s.d.MachineName)
	}
	s.d.ID, s.d.IPAddress = "id-"+s.d.MachineName, "127.0.0.1"
	if err := os.MkdirAll(filepath.Join(s.d.StorePath, "machines", s.d.MachineName), 0o700); err != nil {
		return err
	}
	s.d.SSHKeyPath = filepath.Join(s.d.StorePath, "machines", s.d.MachineName, "id_rsa")
	if err := os.WriteFile(s.d.SSHKeyPath, []byte("key"), 0o600); err != nil {
		return err
	}
	err := os.WriteFile(s.host(), []byte("1"), 0o600)
	fault("Created")
	return err
}

func (s *service) GetState(_ *none, reply *int) error {
	fault("GetState")
	switch os.Getenv("PEBBLE_FAULT") {
	case "always":
		*reply = 1
		return nil
	case "crash:nobody":
		if s.d.MachineName == "nobody.invalid" {
			fault("nobody")
		}
	case "remembers":
		if *reply = s.remembered; *reply != 0 {
			return nil
		}
		defer func() { s.remembered = *reply }()
	}
	data, err := os.ReadFile(s.host())
	if err != nil {
		return fmt.Errorf("pebble %s not found with %s", s.d.MachineName, s.d.Token)
	}
	if os.Getenv("PEBBLE_FAULT") == "stranger" {
		return errors.New("project quarry not found")
	}
	_, err = fmt.Sscan(string(data), reply)
	return err
}

func (s *service) set(method, state string) error {
	fault(method)
	if _, err := os.Stat(s.host()); err != nil {
		return fmt.Errorf("pebble %s not found", s.d.MachineName)
	}
	return os.WriteFile(s.host(), []byte(state), 0o600)
}

func (s *service) Start(_, _ *none) error   { return s.set("Start", "1") }
func (s *service) Stop(_, _ *none) error    { return s.set("Stop", "4") }
func (s *service) Kill(_, _ *none) error    { return s.set("Kill", "4") }
func (s *service) Restart(_, _ *none) error { return s.set("Restart", "1") }

func (s *service) Remove(_, _ *none) error {
	fault("Remove")
	if os.Getenv("PEBBLE_FAULT") == "stranger" {
		return errors.New("project quarry not found")
	}
	if err := os.Remove(s.host()); err != nil {
		return fmt.Errorf("pebble %s not found", s.d.MachineName)
	}
	return nil
}

func (s *service) GetURL(_ *none, reply *string) error {
	*reply = "tcp://" + net.JoinHostPort(s.d.IPAddress, "2377")
	return nil
}
func (s *service) GetIP(_ *none, reply *string) error          { *reply = s.d.IPAddress; return nil }
func (s *service) GetSSHUsername(_ *none, reply *string) error { *reply = "flint"; return nil }
func (s *service) GetSSHPort(_ *none, reply *int) error        { *reply = 2222; return nil }
func (s *service) GetSSHKeyPath(_ *none, reply *string) error  { *reply = s.d.SSHKeyPath; return nil }

// servePebble is the plugin's main function.
func servePebble() {
	if dir := os.Getenv("PEBBLE_DIR"); dir != "" {
		f, err := os.OpenFile(filepath.Join(dir, ".started"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(f, os.Getpid())
		_ = f.Close()
	}
	if os.Getenv("MACHINE_PLUGIN_TOKEN") != "42" || os.Getenv("MACHINE_PLUGIN_DRIVER_NAME") != "pebble" {
		fmt.Fprintln(os.Stderr, "started by nobody who uses plugins")
		os.Exit(1)
	}
	fault("start")
	switch what, text, _ := strings.Cut(os.Getenv("PEBBLE_FAULT"), "="); what {
	case "silent":
		select {}
	case "say":
		fmt.Println(text)
		select {}
	}
	gob.RegisterName("*rpcdriver.RPCFlags", &wireFlags{})
	gob.RegisterName("*mcnflag.StringFlag", &wireString{})
	gob.RegisterName("*mcnflag.IntFlag", &wireInt{})
	gob.RegisterName("*mcnflag.BoolFlag", &wireBool{})
	gob.RegisterName("*mcnflag.StringSliceFlag", &wireSlice{})
	s := &service{d: &pebble{Size: 1}, closed: make(chan none), beats: make(chan none)}
	server := rpc.NewServer()
	names := []string{"RpcServerDriver", "RPCServerDriver"}
	if os.Getenv("PEBBLE_FAULT") == "old" {
		names = names[:1]
	}
	for _, name := range names {
		if err := server.RegisterName(name, s); err != nil {
			panic(err)
		}
	}
	server.HandleHTTP("/_goRPC_", "/debug/rpc")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	if os.Getenv("PEBBLE_FAULT") == "noisy" {
		fmt.Fprintln(os.Stderr, string(bytes.Repeat([]byte("x"), 200<<10)))
		fmt.Println(string(bytes.Repeat([]byte("y"), 200<<10)))
	}
	go func() { _ = http.Serve(listener, nil) }() //nolint:gosec // as docker-machine's plugins do
	for {
		select {
		case <-s.closed:
			os.Exit(0)
		case <-s.beats:
		case <-time.After(10 * time.Second):
			os.Exit(1)
		}
	}
}
