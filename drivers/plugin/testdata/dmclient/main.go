// Command dmclient is a caller of driver plugins that has nothing in common with this repository but the protocol:
// what docker-machine does, call by call, as it is told.
//
//	dmclient PROGRAM DRIVER < calls
//
// Each line of calls is METHOD or METHOD JSON. It prints a line of JSON for each: {"reply":...} or {"error":...},
// and last {"exit":CODE} of the plugin, which it kills if calls end without Close. The plugin's further lines of stdout are printed as {"info":...}; its
// stderr goes to stderr.
package main

import (
	"bufio"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// What the protocol calls by names of docker-machine's.
type (
	flags  struct{ Values map[string]interface{} }
	text   struct{ Name, Usage, EnvVar, Value string }
	number struct {
		Name, Usage, EnvVar string
		Value               int
	}
	list struct {
		Name, Usage, EnvVar string
		Value               []string
	}
	toggle struct{ Name, Usage, EnvVar string }
)

// options is the interface that docker-machine's client sends flags as.
type options interface{ String(key string) string }

func (f flags) String(key string) string { return fmt.Sprint(f.Values[key]) }

var printing sync.Mutex

func say(key string, value interface{}) {
	printing.Lock()
	defer printing.Unlock()
	line, err := json.Marshal(map[string]interface{}{key: value})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func main() {
	gob.RegisterName("*rpcdriver.RPCFlags", new(flags))
	gob.RegisterName("*mcnflag.StringFlag", new(text))
	gob.RegisterName("*mcnflag.IntFlag", new(number))
	gob.RegisterName("*mcnflag.StringSliceFlag", new(list))
	gob.RegisterName("*mcnflag.BoolFlag", new(toggle))
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "dmclient:", err)
		os.Exit(1)
	}
}

func run(program, driver string) error {
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "MACHINE_PLUGIN_TOKEN=42", "MACHINE_PLUGIN_DRIVER_NAME="+driver)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		_ = cmd.Wait()
		return errors.New("no address")
	}
	service := "RPCServerDriver"
	if os.Getenv("DMCLIENT_OLD") != "" {
		service = "RpcServerDriver"
	}
	client, err := rpc.DialHTTP("tcp", strings.TrimSpace(lines.Text()))
	if err != nil {
		return err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			say("info", lines.Text())
		}
	}()
	if os.Getenv("DMCLIENT_MUTE") == "" {
		go func() {
			for range time.Tick(time.Second) {
				_ = client.Call(service+".Heartbeat", struct{}{}, nil)
			}
		}()
	}
	closed := false
	calls := bufio.NewScanner(os.Stdin)
	for calls.Scan() {
		method, arg, _ := strings.Cut(calls.Text(), " ")
		closed = closed || method == "Close"
		reply, err := call(client, service+"."+method, method, arg)
		if err != nil {
			say("error", err.Error())
			continue
		}
		say("reply", reply)
	}
	if !closed && os.Getenv("DMCLIENT_MUTE") == "" {
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
	}
	<-read
	if err := cmd.Wait(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
	}
	say("exit", cmd.ProcessState.ExitCode())
	return nil
}

func call(client *rpc.Client, name, method, arg string) (interface{}, error) {
	none := struct{}{}
	switch method {
	case "SetConfigRaw":
		return nil, client.Call(name, []byte(arg), nil)
	case "GetConfigRaw":
		var raw []byte
		err := client.Call(name, none, &raw)
		return json.RawMessage(raw), err
	case "GetCreateFlags":
		var all []interface{}
		err := client.Call(name, none, &all)
		kinds := []interface{}{}
		for _, f := range all {
			kinds = append(kinds, map[string]interface{}{strings.TrimPrefix(fmt.Sprintf("%T", f), "*main."): f})
		}
		return kinds, err
	case "SetConfigFromFlags":
		var sent options = flags{values(arg)}
		return nil, client.Call(name, &sent, nil)
	case "GetVersion", "GetState", "GetSSHPort":
		var n int
		err := client.Call(name, none, &n)
		return n, err
	case "DriverName", "GetMachineName", "GetURL", "GetIP", "GetIPv6", "GetSSHHostname", "GetSSHKeyPath", "GetSSHUsername":
		var s string
		err := client.Call(name, none, &s)
		return s, err
	}
	return nil, client.Call(name, none, nil)
}

// values are flags of the kinds that cross the wire.
func values(arg string) map[string]interface{} {
	var object map[string]interface{}
	if err := json.Unmarshal([]byte(arg), &object); err != nil {
		panic(err)
	}
	for key, v := range object {
		switch v := v.(type) {
		case float64:
			object[key] = int(v)
		case []interface{}:
			words := []string{}
			for _, w := range v {
				words = append(words, w.(string))
			}
			object[key] = words
		}
	}
	return object
}
