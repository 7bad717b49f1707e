package cloudinit

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// merge is cloud-init's own way from user data to one configuration: its user
// data processor and its handlers, as installed on this computer.
const merge = `
import json, logging, sys, tempfile
from cloudinit import handlers, helpers, safeyaml, user_data, util
from cloudinit.distros import ug_util
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.handlers.jinja_template import JinjaTemplatePartHandler

home = tempfile.mkdtemp()
paths = helpers.Paths({"cloud_dir": home, "run_dir": home, "templates_dir": home})
with open(paths.get_runpath("instance_data_sensitive"), "w") as f:
    json.dump({"v1": {"region": "here"}}, f)

class Config(CloudConfigPartHandler):
    def _write_cloud_config(self):
        self.result = self.cloud_buf

config = Config(paths)
jinja = JinjaTemplatePartHandler(paths, sub_handlers=[config])
table = {kind: config for kind in config.list_types()}
table.update({kind: jinja for kind in jinja.list_types()})
rest = []

def part(data, filename, payload, headers):
    handler = table.get(headers["Content-Type"])
    if handler:
        handlers.run_part(handler, None, filename, payload, "once-per-instance", headers)
    else:
        rest.append([headers["Content-Type"], payload])

message = user_data.UserDataProcessor(paths).process(sys.stdin.buffer.read())
handlers.call_begin(config, None, "once-per-instance")
handlers.walk(message, part, None)
handlers.call_end(config, None, "once-per-instance")

class Distro:
    def get_default_user(self):
        return {"name": "debian", "lock_passwd": True}

found = json.loads(json.dumps(config.result or {}))
users, _ = ug_util.normalize_users_groups(found, Distro())
print(json.dumps({"config": config.result, "users": users, "rest": rest}))
`

type merged struct {
	Config map[string]any
	Users  map[string]map[string]any
	Rest   [][2]string
}

// realMerge asks the cloud-init of this computer, which PYTHONPATH may name, or
// the one in a container if MACHINE_TEST_DOCKER is set.
func realMerge(t *testing.T, data []byte) merged {
	t.Helper()
	const python = "/usr/bin/python3"
	cmd := exec.CommandContext(t.Context(), python, "-c", merge)
	if exec.CommandContext(t.Context(), python, "-c", "import cloudinit.user_data").Run() != nil {
		if os.Getenv("MACHINE_TEST_DOCKER") == "" {
			t.Skip("no cloud-init here; set MACHINE_TEST_DOCKER=1 to run the one in a container")
		}
		image, err := host.Image(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(t.Context(), "docker", "run", "--rm", "-i", "--network", "none", "--entrypoint", python, image, "-c", merge)
	}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var m merged
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return m
}

// The real cloud-init makes one configuration of all parts: ours wins where we
// speak, and what the owner said beyond that is there.
func TestRealCloudInit(t *testing.T) {
	t.Parallel()
	const mimed = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n" +
		"--b\nContent-Type: text/cloud-config\n\nhostname: theirs\npackages: [jq]\n" +
		"--b\nContent-Type: text/cloud-config\nX-Merge-Type: dict(recurse_list)+list(append)\n\npackages: [curl]\n" +
		"--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho hello\n--b--\n"
	hostile := "#cloud-config\nhostname: theirs\npreserve_hostname: true\nssh_deletekeys: false\n" +
		"ssh_keys: {ed25519_private: x, ed25519_public: y, rsa_private: z}\n" +
		"users: [default, {name: bob, uid: 4711}, {name: machine, sudo: null, shell: /bin/false, gecos: G, ssh_authorized_keys: [theirs]}]\n" +
		"packages: [jq]\nmerge_how: 'dict(no_replace)+list(no_replace)'\n"
	tests := map[string]struct {
		user     []byte
		packages []any
		users    []string
		rest     [][2]string
	}{
		"nothing":  {nil, nil, []string{"debian", "machine"}, [][2]string{}},
		"script":   {[]byte("#!/bin/sh\necho ü\n"), nil, []string{"debian", "machine"}, [][2]string{{"text/x-shellscript", "#!/bin/sh\necho ü\n"}}},
		"boothook": {[]byte("#cloud-boothook\nx\n"), nil, []string{"debian", "machine"}, [][2]string{{"text/cloud-boothook", "#cloud-boothook\nx\n"}}},
		"config":   {[]byte("#cloud-config\npackages: [jq]\n"), []any{"jq"}, []string{"debian", "machine"}, [][2]string{}},
		"hostile":  {[]byte(hostile), []any{"jq"}, []string{"debian", "bob", "machine"}, [][2]string{}},
		"no default": {
			[]byte("#cloud-config\nusers: [{name: bob}]\nhostname: theirs\n"), nil, []string{"bob", "machine"}, [][2]string{},
		},
		"old list of users": {[]byte("#cloud-config\nusers: bob\n"), nil, []string{"machine"}, [][2]string{}},
		"jinja": {
			[]byte("## template: jinja\n#cloud-config\nhostname: theirs\npackages: ['{{ v1.region }}']\n"),
			[]any{"here"}, []string{"debian", "machine"}, [][2]string{},
		},
		"archive": {
			[]byte("#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    hostname: theirs\n    packages: [jq]\n- \"#!/bin/sh\\nx\\n\"\n"),
			[]any{"jq"}, []string{"debian", "machine"}, [][2]string{{"text/x-shellscript", "#!/bin/sh\nx\n"}},
		},
		"patch":  {[]byte("#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/packages\", \"value\": [\"jq\"]}]\n"), []any{"jq"}, []string{"debian", "machine"}, [][2]string{}},
		"broken": {[]byte("#cloud-config\n{[\n"), nil, []string{"debian", "machine"}, [][2]string{}},
		"mime":   {[]byte(mimed), []any{"jq", "curl"}, []string{"debian", "machine"}, [][2]string{{"text/x-shellscript", "#!/bin/sh\necho hello"}}},
		"gzip":   {zipped(t, mimed), []any{"jq", "curl"}, []string{"debian", "machine"}, [][2]string{{"text/x-shellscript", "#!/bin/sh\necho hello"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := fullSeed(t)
			data, err := UserData(seed, tt.user)
			if err != nil {
				t.Fatal(err)
			}
			if name == "gzip" {
				if data, err = Fit(data, len(data)-1); err != nil {
					t.Fatal(err)
				}
			}
			m := realMerge(t, data)
			want := map[string]any{
				"hostname": "m1", "preserve_hostname": false, "ssh_deletekeys": true,
				"ssh_keys": map[string]any{"ed25519_private": string(seed.HostKey)},
			}
			if tt.packages != nil {
				want["packages"] = tt.packages
			}
			delete(m.Config, "users")
			if diff := cmp.Diff(want, m.Config); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.rest, m.Rest); diff != "" {
				t.Error(diff)
			}
			if len(m.Users) != len(tt.users) {
				t.Errorf("users %v, want %v", m.Users, tt.users)
			}
			for _, name := range tt.users {
				if _, ok := m.Users[name]; !ok {
					t.Errorf("no user %s in %v", name, m.Users)
				}
			}
			checkLogin(t, seed, m.Users["machine"])
			if name == "hostile" && (m.Users["machine"]["gecos"] != "G" || m.Users["bob"]["uid"] != 4711.0) {
				t.Errorf("the owner's are lost: %v", m.Users)
			}
		})
	}
}

func checkLogin(t *testing.T, s Seed, user map[string]any) {
	t.Helper()
	want := []any{s.Keys[0], s.Keys[1]}
	if diff := cmp.Diff(want, user["ssh_authorized_keys"]); diff != "" {
		t.Error(diff)
	}
	if user["shell"] != "/bin/bash" || user["sudo"] != "ALL=(ALL) NOPASSWD:ALL" || user["lock_passwd"] != true {
		t.Errorf("login user %v", user)
	}
}

// What an image without sudo needs adds up with what the owner asks for.
func TestRealCloudInitBusybox(t *testing.T) {
	t.Parallel()
	s := fullSeed(t)
	s.Busybox = true
	for _, user := range []string{"", "#cloud-config\nbootcmd: [date]\nwrite_files: [{path: /x, content: y}]\n"} {
		data, err := UserData(s, []byte(user))
		if err != nil {
			t.Fatal(err)
		}
		m := realMerge(t, data)
		commands, _ := m.Config["bootcmd"].([]any)
		files, _ := m.Config["write_files"].([]any)
		want := 1
		if user != "" {
			want = 2
		}
		if len(commands) != want || len(files) != want {
			t.Fatalf("commands %v, files %v", commands, files)
		}
		if got := files[want-1].(map[string]any); got["path"] != "/etc/doas.d/machine.conf" || got["content"] != "permit nopass machine\n" {
			t.Errorf("file %v", got)
		}
		if got := m.Users["machine"]; got["shell"] != "/bin/sh" || got["hashed_passwd"] != "*" || got["lock_passwd"] != false {
			t.Errorf("user %v", got)
		}
	}
}

// The keys of the default user add up.
func TestRealCloudInitDefaultUser(t *testing.T) {
	t.Parallel()
	data, err := UserData(Seed{Keys: []string{"ours"}}, []byte("#cloud-config\nssh_authorized_keys: [theirs]\nusers: [default, bob]\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := realMerge(t, data)
	want := map[string]any{"ssh_authorized_keys": []any{"theirs", "ours"}, "users": []any{"default", "bob"}}
	if diff := cmp.Diff(want, m.Config); diff != "" {
		t.Error(diff)
	}
}
