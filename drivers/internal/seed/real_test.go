package seed

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// read is cloud-init's own way from a disk's files to what it knows of the host,
// and to the network configuration of distributions.
const read = `
import json, os, sys, tempfile
from cloudinit import helpers, util
from cloudinit.distros import rhel
from cloudinit.net import eni, netplan, network_state, sysconfig
from cloudinit.sources import DataSourceNoCloud

files = json.load(sys.stdin)
home = tempfile.mkdtemp()
seed = os.path.join(home, "seed", "nocloud")
os.makedirs(seed)
for name, text in files.items():
    util.write_file(os.path.join(seed, name), text)

class Distro:
    name = "debian"

util.get_cmdline = lambda: ""
DataSourceNoCloud.dmi.read_dmi_data = lambda key: None
paths = helpers.Paths({"cloud_dir": home, "run_dir": home, "templates_dir": home})
ds = DataSourceNoCloud.DataSourceNoCloud({"datasource": {"NoCloud": {"fs_label": None}}}, Distro(), paths)
found = ds.get_data()
out = {"found": found, "instance": ds.get_instance_id(), "hostname": str(getattr(ds.get_hostname(), "hostname", ds.get_hostname())),
       "user": ds.get_userdata_raw() == files["user-data"] or ds.get_userdata_raw() == files["user-data"].encode(), "vendor": str(ds.get_vendordata_raw())}

config = ds.network_config
if config:
    state = network_state.parse_net_config_data(config)
    for name, renderer in [("netplan", netplan.Renderer({})), ("eni", eni.Renderer()), ("sysconfig", sysconfig.Renderer(rhel.Distro.renderer_configs["sysconfig"]))]:
        target = os.path.join(home, name)
        renderer.render_network_state(state, target=target)
        text = ""
        for folder, _, names in sorted(os.walk(target)):
            for n in sorted(names):
                text += "== " + os.path.relpath(os.path.join(folder, n), target) + "\n" + util.load_file(os.path.join(folder, n))
        out[name] = text
print(json.dumps(out))
`

// python is a command that runs a script with a real cloud-init: that of this
// computer, which PYTHONPATH may name, or the one in a container if
// MACHINE_TEST_DOCKER is set.
func python(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	const python = "/usr/bin/python3"
	if exec.CommandContext(t.Context(), python, "-c", "import cloudinit.net.netplan").Run() == nil {
		return exec.CommandContext(t.Context(), python, "-c", script)
	}
	if os.Getenv("MACHINE_TEST_DOCKER") == "" {
		t.Skip("no cloud-init here; set MACHINE_TEST_DOCKER=1 to run the one in a container")
	}
	image, err := host.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), "docker", "run", "--rm", "-i", "--network", "none", "--entrypoint", python, image, "-c", script)
}

func TestRealCloudInit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seed.iso")
	if err := Write(path, KindNoCloud, full(t)); err != nil {
		t.Fatal(err)
	}
	_, files := contents(t, path)
	data, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	cmd := python(t, read)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Found, User                                         bool
		Instance, Hostname, Vendor, Netplan, Eni, Sysconfig string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if !got.Found || !got.User || got.Instance != "i-1" || got.Hostname != "m1" || !strings.Contains(got.Vendor, "growpart") {
		t.Errorf("got %+v", got)
	}
	for what, wants := range map[string][]string{
		got.Netplan:   {"macaddress: 52:54:00:ab:cd:02", "set-name: eth0", "- 192.168.56.7/21", "via: 192.168.56.1", "- 9.9.9.9", "use-routes: false"},
		got.Eni:       {"iface eth0 inet dhcp", "iface eth1 inet static", "address 192.168.56.7/21", "gw 192.168.56.1"},
		got.Sysconfig: {"HWADDR=52:54:00:ab:cd:02", "DEVICE=eth1", "IPADDR=192.168.56.7", "GATEWAY=192.168.56.1", "BOOTPROTO=dhcp", "NETMASK=255.255.248.0"},
	} {
		for _, want := range wants {
			if !strings.Contains(what, want) {
				t.Errorf("no %s in\n%s", want, what)
			}
		}
	}
}

// TestLabel asks the program by which cloud-init and systemd find disks.
func TestLabel(t *testing.T) {
	t.Parallel()
	blkid, err := exec.LookPath("blkid")
	if err != nil {
		t.Skip("no blkid here")
	}
	for kind, label := range map[string]string{KindNoCloud: "cidata", KindConfigDrive: "config-2"} {
		path := filepath.Join(t.TempDir(), "seed.iso")
		if err := Write(path, kind, full(t)); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), blkid, "-p", "-o", "export", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for line := range strings.Lines(string(out)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if key == "LABEL" || key == "TYPE" {
				found[key] = value
			}
		}
		if diff := cmp.Diff(map[string]string{"LABEL": label, "TYPE": "iso9660"}, found); diff != "" {
			t.Error(diff)
		}
	}
}
