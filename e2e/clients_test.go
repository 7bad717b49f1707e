package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestClients runs other people's clients of docker-machine, unmodified, on the program under its other name: two
// packages of npm and Ansible's inventory. They have a machine of their own, and machines that are only its engine's URL.
func TestClients(t *testing.T) {
	t.Parallel()
	modules := os.Getenv("MACHINE_E2E_CLIENTS")
	if modules == "" {
		needEngines(t)
		t.Skip("needs clients of docker-machine: MACHINE_E2E_CLIENTS=$(e2e/scripts/clients.sh)")
	}
	f := newFleet(t)
	f.store = filepath.Join(f.home, ".docker", "machine") // one of them tells the program nothing but HOME and PATH
	m, made := f.name("m"), f.name("n")
	f.ok("create", "-d", "docker", "--engine-label", "a=b", m)
	url := f.ok("url", m)

	t.Run("cli", func(t *testing.T) { f.in(t).clientCLI(modules, m, url, made) })
	t.Run("inventory", func(t *testing.T) { f.in(t).clientInventory(m, url, made) })
	t.Run("api", func(t *testing.T) { f.in(t).clientAPI(modules, m, url, made) })
}

// script runs a script of testdata and decodes what it prints.
func (f *fleet) script(modules, script string, into any, args ...string) {
	f.t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "clients", script))
	if err != nil {
		f.t.Fatal(err)
	}
	out := f.client([]string{"NODE_PATH=" + modules}, "node", append([]string{path}, args...)...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		f.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// client runs a program that calls docker-machine, and returns its standard output.
func (f *fleet) client(env []string, program string, args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), program, args...)
	cmd.Env, cmd.Dir = append(f.env(), env...), f.home
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, stderr.String())
	}
	return string(out)
}

// want compares what a client understood with what there is.
func (f *fleet) want(what, got, want string) {
	f.t.Helper()
	if got != want {
		f.t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func (f *fleet) clientCLI(modules, m, url, made string) {
	var out struct {
		List   []map[string]string
		Config struct {
			Host, Port, TLSCACert, TLSCert, TLSKey string
			TLSVerify                              bool
		}
		Inspect struct {
			DriverName, Name string
			Driver           struct{ IPAddress string }
		}
		Env, IP, URL, Status, Gone string
		Left                       []string
	}
	f.script(modules, "cli.js", &out, m, url, made)
	if len(out.List) != 2 {
		f.t.Fatalf("It sees the machines %v, want 2", out.List)
	}
	for i, name := range []string{m, made} {
		row := out.List[i]
		f.want("name", row["name"], name)
		f.want("active", row["active"], "-")
		f.want("driver", row["driver"], []string{"docker", "none"}[i])
		f.want("state", row["state"], "Running")
		f.want("url", row["url"], url)
		f.want("docker", row["docker"], "v"+f.ok("version", m))
		f.want("errors", row["errors"], "")
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(url, "tcp://"), ":")
	f.want("host", out.Config.Host, host)
	f.want("port", out.Config.Port, port)
	for _, file := range []string{out.Config.TLSCACert, out.Config.TLSCert, out.Config.TLSKey} {
		if _, err := os.Stat(file); err != nil {
			f.t.Error(err)
		}
	}
	if !out.Config.TLSVerify {
		f.t.Error("config does not tell to verify TLS")
	}
	f.want("inspected driver", out.Inspect.DriverName, "docker")
	f.want("inspected name", out.Inspect.Name, m)
	f.want("inspected address", out.Inspect.Driver.IPAddress, host)
	f.want("address", out.IP, host)
	f.want("URL", out.URL, url)
	f.want("status", out.Status, "Running")
	if !strings.Contains(out.Env, `export DOCKER_HOST="`+url+`"`) {
		f.t.Errorf("env is %q", out.Env)
	}
	if !slices.Equal(out.Left, []string{m}) {
		f.t.Errorf("after rm there are %q", out.Left)
	}
	if !strings.Contains(out.Gone, `Docker machine "`+made+`" does not exist`) {
		f.t.Errorf("of a machine that is gone it hears %q", out.Gone)
	}
}

func (f *fleet) clientAPI(modules, m, url, made string) {
	var out struct {
		List []struct {
			Name, Active, DriverName, State, URL, DockerVersion string
			ActiveHost, ActiveSwarm                             bool
			Error, Swarm                                        *string
			ResponseTime                                        float64
			HostOptions                                         struct {
				EngineOptions struct{ Labels map[string]string }
			}
		}
		Env                             map[string]string
		Hostname, Stopped, Kill, Absent string
		Started                         bool
		Inspect                         struct {
			Driver struct{ MachineName, URL string }
		}
	}
	f.script(modules, "api.js", &out, m, url, made)
	if len(out.List) != 2 {
		f.t.Fatalf("It sees the machines %+v, want 2", out.List)
	}
	for i, name := range []string{m, made} {
		row := out.List[i]
		f.want("name", row.Name, name)
		f.want("active", row.Active, "-")
		f.want("driver", row.DriverName, []string{"docker", "none"}[i])
		f.want("state", row.State, "running")
		f.want("url", row.URL, url)
		f.want("docker", row.DockerVersion, "v"+f.ok("version", m))
		if row.Error != nil || row.Swarm != nil || row.ActiveHost || row.ActiveSwarm || row.ResponseTime <= 0 {
			f.t.Errorf("It understands %+v", row)
		}
	}
	f.want("label", out.List[0].HostOptions.EngineOptions.Labels["0"], "a=b")
	f.want("DOCKER_HOST", out.Env["DOCKER_HOST"], url)
	f.want("DOCKER_MACHINE_NAME", out.Env["DOCKER_MACHINE_NAME"], m)
	f.want("DOCKER_CERT_PATH", out.Env["DOCKER_CERT_PATH"], filepath.Join(f.store, "machines", m))
	f.want("hostname", out.Hostname, m)
	f.want("state after stop", out.Stopped, "stopped")
	if !out.Started {
		f.t.Error("after start it does not run")
	}
	f.want("inspected name", out.Inspect.Driver.MachineName, made)
	f.want("inspected URL", out.Inspect.Driver.URL, url)
	if !strings.Contains(out.Kill, "hosts without a driver cannot be killed") || !strings.Contains(out.Absent, "does not exist") {
		f.t.Errorf("It hears %q and %q", out.Kill, out.Absent)
	}
}

// inventory is the file that Ansible finds the plugin by.
const inventory = `plugin: community.docker.docker_machine
daemon_env: require
keyed_groups:
  - {separator: "", key: docker_machine_node_attributes.DriverName}
compose:
  ansible_ssh_common_args: '"-o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + HostOptions.AuthOptions.StorePath + "/known_hosts"'
`

func (f *fleet) clientInventory(m, url, made string) {
	f.ok("create", "-d", "none", "--url", url, made)
	defer f.ok("rm", "-y", made)
	file := filepath.Join(f.home, "docker_machine.yml")
	if err := os.WriteFile(file, []byte(inventory), 0o600); err != nil {
		f.t.Fatal(err)
	}
	env := []string{"ANSIBLE_LOCALHOST_WARNING=False", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=True", "LC_ALL=C.UTF-8"}
	var out struct {
		Docker, None struct{ Hosts []string }
		Meta         struct {
			Hostvars map[string]map[string]any
		} `json:"_meta"`
	}
	if err := json.Unmarshal([]byte(f.client(env, "ansible-inventory", "-i", file, "--list")), &out); err != nil {
		f.t.Fatal(err)
	}
	if !slices.Equal(out.Docker.Hosts, []string{m}) || !slices.Equal(out.None.Hosts, []string{made}) {
		f.t.Errorf("It groups %q and %q by driver", out.Docker.Hosts, out.None.Hosts)
	}
	for _, name := range []string{m, made} {
		vars := out.Meta.Hostvars[name]
		f.want("address", vars["ansible_host"].(string), f.ok("ip", m))
		f.want("DOCKER_HOST", vars["dm_DOCKER_HOST"].(string), url)
		f.want("DOCKER_MACHINE_NAME", vars["dm_DOCKER_MACHINE_NAME"].(string), name)
		f.want("DOCKER_TLS_VERIFY", vars["dm_DOCKER_TLS_VERIFY"].(string), "1")
	}
	if got := f.client(env, "ansible", "-i", file, m, "-m", "ansible.builtin.raw", "-a", "hostname"); !strings.Contains(got, "\n"+m) {
		f.t.Errorf("hostname by Ansible: %q", got)
	}
}
