package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fault is one thing that goes wrong: what is done, and how it must end.
type fault struct {
	name   string
	code   int
	reason string // stable id that the message carries; empty: a usage error, which has none
	says   string // regular expression that the message must match
	do     func(f *fleet, m string) result
}

// TestFaults has a row for each kind of bad input and fault. Each ends with its
// exit code and a message that no other row has; afterwards ls works and rm
// removes all there is.
func TestFaults(t *testing.T) {
	needEngines(t)
	t.Parallel()
	var mu sync.Mutex
	texts := map[string]string{} // message to row
	t.Run("rows", func(t *testing.T) {
		for _, row := range faults() {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t)
				m := f.name("x")
				r := row.do(f, m)
				if r.code != row.code {
					t.Errorf("Got exit code %d, want %d\n%s", r.code, row.code, r)
				}
				text := message(f, r)
				if !regexp.MustCompile(row.says).MatchString(text) {
					t.Errorf("The message does not match %q\n%s", row.says, r)
				}
				if row.reason != "" && !strings.Contains(r.stderr, "Reason: "+row.reason+"\n") {
					t.Errorf("The reason is not %s\n%s", row.reason, r)
				}
				if strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine ") {
					t.Errorf("The program crashed\n%s", r)
				}
				mu.Lock()
				defer mu.Unlock()
				if other, ok := texts[text]; ok {
					t.Errorf("The same message as %q: %s", other, text)
				}
				texts[text] = row.name

				f.ok("ls")
				for _, name := range strings.Fields(f.ok("ls", "-q")) {
					f.ok("rm", "-y", "--force", name)
				}
				if left := f.leftovers("container"); len(left) > 0 {
					t.Errorf("Left %v", left)
				}
			})
		}
	})
	if len(texts) < 20 {
		t.Errorf("Only %d messages were compared", len(texts))
	}
}

// message returns the error lines of a run with what differs from run to run taken out.
func message(f *fleet, r result) string {
	var lines []string
	for line := range strings.Lines(r.stderr) {
		if strings.HasPrefix(line, "Error") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	text := strings.Join(lines, "\n")
	text = strings.NewReplacer(f.store, "STORE", f.prefix+"-", "").Replace(text)
	return regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`).ReplaceAllString(text, "ADDRESS")
}

// on boots a host, changes it with a script, and creates a machine of it.
func on(img image, script, user string, more ...string) func(*fleet, string) result {
	return func(f *fleet, m string) result {
		h := newHost(f.t, img)
		if script != "" {
			h.sh(script)
		}
		return f.run(append(append([]string{"create"}, append(h.generic(user), more...)...), m)...)
	}
}

const none = "tcp://127.0.0.1:9"

func faults() []fault {
	return []fault{
		{"invalid name", 2, "NAME_INVALID", `a_b`, func(f *fleet, _ string) result {
			return f.run("create", "-d", "none", "--url", none, "a_b")
		}},
		{"path as name", 2, "NAME_INVALID", `\.\./x`, func(f *fleet, _ string) result {
			return f.run("create", "-d", "none", "--url", none, "../x")
		}},
		{"no name", 2, "", `name`, func(f *fleet, _ string) result {
			return f.run("create", "-d", "none", "--url", none)
		}},
		{"name twice", 2, "", `twice`, func(f *fleet, m string) result {
			return f.run("create", "-d", "none", "--url", none, m, m)
		}},
		{"name taken", 1, "MACHINE_EXISTS", `already exists`, func(f *fleet, m string) result {
			f.ok("create", "-d", "none", "--url", none, m)
			return f.run("create", "-d", "none", "--url", "tcp://127.0.0.1:10", m)
		}},
		{"no such machine", 1, "MACHINE_UNKNOWN", `does not exist`, func(f *fleet, m string) result {
			return f.run("ip", m)
		}},
		{"unknown driver", 2, "DRIVER_UNKNOWN", `abacus`, func(f *fleet, m string) result {
			return f.run("create", "-d", "abacus", m)
		}},
		{"unknown option", 2, "", `frobnicate`, func(f *fleet, m string) result {
			return f.run("create", "-d", "none", "--url", none, "--frobnicate", "7", m)
		}},
		{"option of another driver", 2, "", `generic-ip-address`, func(f *fleet, m string) result {
			return f.run("create", "-d", "none", "--url", none, "--generic-ip-address", "127.0.0.1", m)
		}},
		{"option missing", 2, "DRIVER_OPTION", `url`, func(f *fleet, m string) result {
			return f.run("create", "-d", "none", m)
		}},
		{"unknown command", 2, "", `frobnicate`, func(f *fleet, _ string) result {
			return f.run("frobnicate")
		}},
		{"missing key file", 3, "CHECK_FAILED", `no/such/key`, func(f *fleet, m string) result {
			return f.run("create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-key", "/no/such/key", m)
		}},
		{"wrong user", 1, "SSH_AUTH_REFUSED", `nobody-here`, on(withEngine, "", "nobody-here")},
		{"refused key", 1, "SSH_AUTH_REFUSED", `admin`, func(f *fleet, m string) result {
			h := newHost(f.t, withEngine)
			h.key = filepath.Join(f.t.TempDir(), "other")
			mustRun(f.t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", h.key)
			return f.run(append(append([]string{"create"}, h.generic("admin")...), m)...)
		}},
		{"changed host key", 1, "SSH_HOST_KEY_CHANGED", `SHA256:\S+.*SHA256:\S+`, func(f *fleet, m string) result {
			h := newHost(f.t, withEngine)
			f.ok(append(append([]string{"create"}, h.generic("root")...), m)...)
			h.sh(`rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; systemctl restart ssh`)
			return f.run("provision", m)
		}},
		{"unreachable host", 1, "SSH_NOT_READY", `refused`, func(f *fleet, m string) result {
			return f.run("create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", "9", "--timeout", "3s", m)
		}},
		{"host that keeps silent", 1, "SSH_NOT_READY", `banner`, func(f *fleet, m string) result {
			_, port, _ := strings.Cut(silent(f.t), ":")
			return f.run("create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", port, "--timeout", "3s", m)
		}},
		{"no sudo", 1, "HOST_NO_ROOT", `not root`, on(withEngine, "", "plain")},
		{"full disk", 1, "HOST_DISK_FULL", `space`, on(withEngine,
			"mkdir -p /etc/docker && mount -t tmpfs -o size=8k none /etc/docker && (cat /dev/zero >/etc/docker/filler || true)", "root")},
		{"no package mirror", 1, "PACKAGES_UNREACHABLE", `127\.0\.0\.1|ADDRESS`, on(bare,
			"echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list && rm -f /etc/apt/sources.list.d/*", "root", "--engine-source", "distro")},
		{"unsupported distribution", 1, "HOST_OS_UNSUPPORTED", `Plan 9`, on(bare,
			`printf 'ID=plan9\nNAME="Plan 9"\nPRETTY_NAME="Plan 9 from Bell Labs"\n' >/etc/os-release`, "root")},
		{"engine option unknown to the engine", 2, "ENGINE_OPTION", `no-such-flag`, on(withEngine, "", "root", "--engine-opt", "no-such-flag=1")},
		{"engine that does not start", 1, "ENGINE_NOT_STARTED", `storage|driver|zfs`, on(withEngine, "", "root", "--engine-storage-driver", "zfs")},
		{"malformed engine option", 2, "ENGINE_OPTION", `=x`, func(f *fleet, m string) result {
			return on(withEngine, "", "root", "--engine-opt", "=x")(f, m)
		}},
		{"daemon.json is no JSON", 1, "DAEMON_JSON_CONFLICT", `daemon\.json`, on(withEngine,
			"mkdir -p /etc/docker && echo '{ this is not' >/etc/docker/daemon.json", "root")},
		{"engine port taken", 1, "ENGINE_PORT_TAKEN", `2376`, func(f *fleet, m string) result {
			h := newHost(f.t, withEngine)
			program := filepath.Join(f.t.TempDir(), "squatter")
			mustRun(f.t, "env", "CGO_ENABLED=0", "GOOS=linux", "go", "build", "-o", program, "./hello")
			mustRun(f.t, "docker", "cp", program, h.container+":/usr/local/bin/squatter")
			h.sh("systemd-run --unit squatter /usr/local/bin/squatter -listen :2376 && until ss -Hltn 'sport = :2376' | grep -q .; do sleep 0.1; done")
			return f.run(append(append([]string{"create"}, h.generic("root")...), m)...)
		}},
		{"store is read-only", 1, "STORE_READ_ONLY", `STORE`, func(f *fleet, m string) result {
			f.ok("create", "-d", "none", "--url", none, f.name("before"))
			mount(f.t, f.store, f.store, "", syscall.MS_BIND, "")
			if err := syscall.Mount("", f.store, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
				f.t.Skip("cannot make the store read-only here:", err)
			}
			r := f.run("create", "-d", "none", "--url", none, m)
			f.ok("ls") // also while nothing can be written
			unmount(f.t, f.store)
			return r
		}},
		{"store is full", 1, "STORE_FULL", `space`, func(f *fleet, m string) result {
			if err := os.MkdirAll(f.store, 0o700); err != nil {
				f.t.Fatal(err)
			}
			mount(f.t, "none", f.store, "tmpfs", 0, "size=256k")
			f.ok("create", "-d", "none", "--url", none, f.name("before"))
			fill(f.t, filepath.Join(f.store, "filler"))
			r := f.run("create", "-d", "none", "--url", none, m)
			if got := f.ok("ls", "-q"); !strings.Contains(got, f.name("before")) {
				f.t.Errorf("ls shows %q on a full store, want the machine made before", got)
			}
			if err := os.Remove(filepath.Join(f.store, "filler")); err != nil {
				f.t.Fatal(err)
			}
			return r
		}},
		{"record is corrupt", 1, "RECORD_CORRUPT", `config\.json`, func(f *fleet, m string) result {
			f.ok("create", "-d", "none", "--url", none, m, f.name("good"))
			if err := os.WriteFile(f.path(m, "config.json"), []byte(`{"ConfigVersion": 4, "Dri`), 0o600); err != nil {
				f.t.Fatal(err)
			}
			rows := f.ok("ls", "--format", "{{.Name}} {{.State}}")
			if !strings.Contains(rows, m+" Error") || !strings.Contains(rows, f.name("good")+" ") {
				f.t.Errorf("A bad record spoils more than its row:\n%s", rows)
			}
			return f.run("inspect", m)
		}},
		{"newer schema", 1, "RECORD_FROM_FUTURE", `99`, func(f *fleet, m string) result {
			f.ok("create", "-d", "none", "--url", none, m)
			raw, err := os.ReadFile(f.path(m, "config.json"))
			if err != nil {
				f.t.Fatal(err)
			}
			newer := regexp.MustCompile(`"ConfigVersion": *\d+`).ReplaceAll(raw, []byte(`"ConfigVersion": 99`))
			if err := os.WriteFile(f.path(m, "config.json"), newer, 0o600); err != nil {
				f.t.Fatal(err)
			}
			return f.run("ip", m)
		}},
		{"two commands at once", 4, "MACHINE_LOCKED", `create`, func(f *fleet, m string) result {
			first := f.start(f.t.Context(), "create", "-d", "docker", m)
			eventually(f.t, 20*time.Second, func() error { _, err := os.Stat(f.path(m, "config.json")); return err })
			r := f.run("stop", m)
			if r := first.wait(); r.code != 0 {
				f.t.Errorf("The command that was there first: %s", r)
			}
			return r
		}},
		{"swarm that is not there", 1, "SWARM_UNKNOWN", `swarm`, func(f *fleet, m string) result {
			return f.run("create", "-d", "docker", "--swarm", m)
		}},
		{"stopped machine", 1, "NOT_RUNNING", `not running`, func(f *fleet, m string) result {
			f.ok("create", "-d", "docker", m)
			f.ok("stop", m)
			return f.run("ssh", m, "true")
		}},
		{"published port taken", 1, "PROVIDER_CONFLICT", `port|address`, func(f *fleet, m string) result {
			return f.run("create", "-d", "docker", "--docker-publish", silent(f.t)+":80", m)
		}},
	}
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Skip("cannot mount a file system here:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
}

func unmount(t *testing.T, target string) {
	t.Helper()
	if err := syscall.Unmount(target, 0); err != nil {
		t.Fatal(err)
	}
}

// fill writes a file until no space is left.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1024)
	for err == nil {
		_, err = file.Write(block)
	}
	if cerr := file.Close(); cerr != nil {
		t.Fatal(cerr)
	}
}
