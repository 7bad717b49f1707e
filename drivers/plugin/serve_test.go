package plugin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/drivers/plugin"
)

// serveFake is a program that serves the driver of hosts that do not exist: what the test binary is when
// it is told so.
func serveFake() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	patience, _ := time.ParseDuration(os.Getenv("SERVE_PATIENCE"))
	server := &plugin.Server{
		Factory: fake.New(nil), Stdout: os.Stdout, Getenv: os.Getenv, Creator: "test", Patience: patience, Grace: patience,
		Name:    os.Getenv(plugin.NameVariable),
		Log:     slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		StoreID: func(context.Context, string) (string, error) { return "0123456789abcdef0123456789abcdef", nil },
		Key: func(private []byte, comment string) ([]byte, string, error) {
			if private == nil {
				private = []byte("a key of " + comment + "\n")
			}
			return private, "ssh-ed25519 AAAA " + comment, nil
		},
	}
	switch err := server.Serve(ctx); {
	case errors.Is(err, plugin.ErrToken):
		fmt.Fprint(os.Stderr, plugin.Notice())
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// caller is a program that uses a plugin as docker-machine does, without anything of ours.
var caller = sync.OnceValues(func() (string, error) {
	file := filepath.Join(os.Getenv(programsDir), "dmclient.exe")
	out, err := exec.Command("go", "build", "-o", file, "./testdata/dmclient").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

// session is a caller at work with the fake driver.
type session struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    *os.File
	out   *bufio.Scanner
	infos []string
	err   bytes.Buffer
}

func dial(t *testing.T, env ...string) *session {
	t.Helper()
	program, err := caller()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, cmd: exec.Command(program, self(t), "fake"), in: w}
	s.cmd.Env = append(os.Environ(), append([]string{"PLUGIN_TEST_SERVE=1", "FAKE_SECRET="}, env...)...)
	s.cmd.Stdin, s.cmd.Stderr = r, &s.err
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	s.out = bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = w.Close()
		for s.out.Scan() { // until the plugin has ended
		}
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Log(s.err.String())
		}
	})
	return s
}

// next is the next answer; the plugin's lines before it are kept.
func (s *session) next() map[string]json.RawMessage {
	s.t.Helper()
	for s.out.Scan() {
		var line map[string]json.RawMessage
		if err := json.Unmarshal(s.out.Bytes(), &line); err != nil {
			s.t.Fatal(err)
		}
		info, ok := line["info"]
		if !ok {
			return line
		}
		s.infos = append(s.infos, string(info))
	}
	s.t.Fatalf("no answer: %v\n%s", s.out.Err(), s.err.String())
	return nil
}

func (s *session) call(line string) (reply string, err string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		s.t.Fatal(err)
	}
	answer := s.next()
	if e, ok := answer["error"]; ok {
		var text string
		_ = json.Unmarshal(e, &text)
		return "", text
	}
	return string(answer["reply"]), ""
}

// want has a call answered as the protocol says; a want that begins with "error: " is a part of one.
func (s *session) want(line, want string) {
	s.t.Helper()
	reply, err := s.call(line)
	if part, ok := strings.CutPrefix(want, "error: "); ok {
		if err == "" || !strings.Contains(err, part) {
			s.t.Fatalf("%s: got %s, error %q; want an error with %q", line, reply, err, part)
		}
		return
	}
	if err != "" || reply != want {
		s.t.Fatalf("%s: got %s, error %q; want %s", line, reply, err, want)
	}
}

// end closes the plugin and returns its exit code.
func (s *session) end() string {
	s.t.Helper()
	s.want("Close", "null")
	_ = s.in.Close()
	return string(s.next()["exit"])
}

func rawConfig(name, store string) string {
	data, _ := json.Marshal(map[string]any{
		"IPAddress": "", "MachineName": name, "SSHUser": "", "SSHPort": 0, "SSHKeyPath": "", "StorePath": store,
		"SwarmMaster": false, "SwarmHost": "", "SwarmDiscovery": "",
	})
	return "SetConfigRaw " + string(data)
}

// TestServed: the calls of docker-machine's create, ls, stop, start and rm, in its order, each in a plugin
// process of its own.
func TestServed(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"", "1"} {
		t.Run("old="+service, func(t *testing.T) {
			t.Parallel()
			store, provider := t.TempDir(), t.TempDir()
			s := dial(t, "DMCLIENT_OLD="+service)
			s.want("GetVersion", "1")
			s.want(rawConfig("m1", store), "null")
			s.want("GetMachineName", `"m1"`)
			s.want("DriverName", `"fake"`)
			s.want("GetState", "0")
			s.want("GetURL", "error: no configuration")
			s.want("PreCreateCheck", "error: no configuration")
			flags, _ := json.Marshal(map[string]any{
				"fake-state-dir": provider, "fake-address": "192.0.2.7", "fake-ssh-port": 22, "fake-engine-port": 0,
				"fake-secret": "hush", "fake-seed-host-key": true, "fake-size": "small", "fake-labels": []string{"a", "b"},
				"engine-install-url": "https://get.docker.com", "swarm-master": true, "swarm-host": "tcp://0.0.0.0:3376",
				"swarm-discovery": "token://x", "driver": "fake", "swarm": false,
			})
			s.want("SetConfigFromFlags "+string(flags), "null")
			s.want("PreCreateCheck", "null")
			first, _ := s.call("GetConfigRaw")
			if _, err := os.Stat(filepath.Join(store, "machines")); err == nil {
				t.Error("A folder was made before the caller made it: a check that fails would leave it behind")
			}
			s.want("Create", "null")
			s.want("GetState", "1")
			s.want("GetURL", `"tcp://192.0.2.7:2376"`)
			s.want("GetIP", `"192.0.2.7"`)
			s.want("GetIPv6", `""`)
			s.want("GetSSHHostname", `"192.0.2.7"`)
			s.want("GetSSHPort", "22")
			s.want("GetSSHUsername", `"root"`)
			key := filepath.Join(store, "machines", "m1", "id_ed25519")
			s.want("GetSSHKeyPath", `"`+key+`"`)
			raw, err := s.call("GetConfigRaw")
			if strings.Contains(first+raw, "hush") || err != "" {
				t.Errorf("The record holds the secret, or none came (%s): %s", err, raw)
			}
			var record map[string]any
			if err := json.Unmarshal([]byte(raw), &record); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]any{
				"IPAddress": "192.0.2.7", "MachineName": "m1", "SSHUser": "root", "SSHPort": 22., "SSHKeyPath": key, "StorePath": store,
				"SwarmMaster": true, "SwarmHost": "tcp://0.0.0.0:3376", "SwarmDiscovery": "token://x",
			} {
				if record[key] != want {
					t.Errorf("%s: got %v, want %v", key, record[key], want)
				}
			}
			for _, file := range []string{"id_ed25519", "secrets.json", "driver-state.json"} {
				info, err := os.Stat(filepath.Join(store, "machines", "m1", file))
				if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
					t.Errorf("%s: %v, %v; want one that is its owner's alone", file, info, err)
				}
			}
			if _, err := os.Stat(filepath.Join(store, "machines", "m1", "host_ed25519")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("The host's private key is left: %v", err)
			}
			if code := s.end(); code != "0" {
				t.Errorf("Exit code %s", code)
			}

			s = dial(t, "DMCLIENT_OLD="+service, "FAKE_WANT=hush")
			s.want("SetConfigRaw "+raw, "null")
			s.want("GetState", "1")
			s.want("Stop", "null")
			s.want("GetState", "4")
			s.want("GetURL", "error: Host is not running")
			s.want("Start", "null")
			s.want("Restart", "null")
			s.want("Kill", "null")
			s.want("GetState", "4")
			s.want("Remove", "null")
			s.want("GetState", "error: not found")
			if left, err := fake.Folder(provider).Resources(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("Left at the provider: %v, %v", left, err)
			}
			s.want("Upgrade", "error: can't find method")
			s.end()
		})
	}
}

// TestServedFlags: options are flags of docker-machine's kinds.
func TestServedFlags(t *testing.T) {
	t.Parallel()
	s := dial(t)
	reply, err := s.call("GetCreateFlags")
	if err != "" {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"text":{"Name":"fake-address","Usage":"address of the host","EnvVar":"","Value":"192.0.2.1"}}`,
		`{"number":{"Name":"fake-ssh-port","Usage":"port of SSH","EnvVar":"","Value":22}}`,
		`{"text":{"Name":"fake-size","Usage":"size of the host: small, large","EnvVar":"","Value":"small"}}`,
		`{"list":{"Name":"fake-labels","Usage":"labels of the host","EnvVar":"FAKE_LABELS","Value":null}}`,
		`{"text":{"Name":"fake-secret","Usage":"credential of the provider","EnvVar":"FAKE_SECRET","Value":""}}`,
		`{"toggle":{"Name":"fake-seed-host-key","Usage":"present the host key that was asked for","EnvVar":""}}`,
		`{"text":{"Name":"fake-delay","Usage":"time each operation takes","EnvVar":"","Value":""}}`,
	} {
		if !strings.Contains(reply, want) {
			t.Errorf("No %s in\n%s", want, reply)
		}
	}
}

// TestServedWrongly: what does not fit is an error, and the plugin goes on.
func TestServedWrongly(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	s := dial(t)
	s.want("SetConfigRaw nonsense", "error: not a JSON object")
	s.want(`SetConfigRaw {"MachineName":7}`, "error: read the caller's record")
	s.want(`SetConfigRaw {"MachineDriver":{"Driver":"other"}}`, `error: it is of driver "other", not "fake"`)
	s.want(rawConfig("../m1", store), "null")
	s.want(`SetConfigFromFlags {"fake-state-dir":"/x"}`, "null")
	s.want("Create", `error: invalid name "../m1"`)
	s.want(rawConfig("m1", store), "null")
	s.want(`SetConfigFromFlags {"fake-size":"huge","fake-ssh-port":"many"}`, `error: "huge" is none of small, large`)
	s.want(`SetConfigFromFlags {"fake-size":["a","b"]}`, "error: is one value")
	s.want(`SetConfigFromFlags {"fake-state-dir":"`+t.TempDir()+`","fake-fail":["check:quota"]}`, "null")
	s.want("PreCreateCheck", "error: quota exhausted")
	s.want("GetVersion", "1")
}

// TestServedAfterAKill: a plugin that is killed within Create leaves what the next one needs to release all, or to
// go on, although the caller's record is as it was before.
func TestServedAfterAKill(t *testing.T) {
	t.Parallel()
	for _, then := range []string{"Remove", "Start"} {
		t.Run(then, func(t *testing.T) {
			t.Parallel()
			store, provider := t.TempDir(), t.TempDir()
			s := dial(t, "FAKE_FAIL=create-after")
			s.want(rawConfig("m1", store), "null")
			s.want(`SetConfigFromFlags {"fake-state-dir":"`+provider+`","fake-secret":"hush"}`, "null")
			before, _ := s.call("GetConfigRaw")
			if _, err := s.call("Create"); err == "" {
				t.Fatal("The fault did not come")
			}
			_ = s.in.Close() // which kills the plugin
			if code := string(s.next()["exit"]); code != "-1" {
				t.Fatalf("Exit code %s of a process that was killed", code)
			}
			made := func() int {
				left, err := fake.Folder(provider).Resources(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return len(left)
			}
			if made() == 0 {
				t.Fatal("Nothing was made that could be left")
			}
			s = dial(t, "FAKE_WANT=hush")
			s.want("SetConfigRaw "+before, "null")
			s.want(then, "null")
			if then == "Start" {
				s.want("GetState", "1")
				s.want("Remove", "null")
			}
			if n := made(); n != 0 {
				t.Errorf("%d resources are left", n)
			}
			s.end()
		})
	}
}

// TestForsaken: without heartbeats the server ends, in a call or not.
func TestForsaken(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"GetVersion", "Create"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			s := dial(t, "DMCLIENT_MUTE=1", "SERVE_PATIENCE=3s", "FAKE_DELAY=1h")
			s.want(rawConfig("m1", t.TempDir()), "null")
			s.want(`SetConfigFromFlags {"fake-state-dir":"`+t.TempDir()+`"}`, "null")
			if _, err := s.call(call); call == "Create" && !strings.Contains(err, "no heartbeat") && !strings.Contains(err, "EOF") && !strings.Contains(err, "shut down") {
				t.Errorf("Create ended with %q", err)
			}
			_ = s.in.Close()
			if code := string(s.next()["exit"]); code != "1" {
				t.Errorf("Exit code %s, want 1", code)
			}
		})
	}
}

// TestNotServed: a person who starts a plugin is told what it is.
func TestNotServed(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), "PLUGIN_TEST_SERVE=1", "MACHINE_PLUGIN_TOKEN=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "API version: 1") {
		t.Errorf("got %v, %q, %q", err, stdout.String(), stderr.String())
	}
}
