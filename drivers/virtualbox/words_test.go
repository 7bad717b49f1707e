package virtualbox

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// recorded is a call of VBoxManage as it was recorded.
type recorded struct {
	command        string
	exit           string
	stdout, stderr string
}

// recordings reads all that was recorded.
func recordings(t testing.TB) map[string][]recorded {
	t.Helper()
	files, err := filepath.Glob("testdata/vbox/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	all := map[string][]recorded{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		for block := range strings.SplitSeq(string(text), "=== end\n") {
			head, rest, ok := strings.Cut(strings.TrimLeft(block, "\n"), "--- stdout\n")
			if !ok {
				continue
			}
			r := recorded{}
			r.stdout, r.stderr, _ = strings.Cut(rest, "--- stderr\n")
			command, status, _ := strings.Cut(head, "\n")
			r.command = strings.TrimPrefix(command, "$ VBoxManage ")
			r.exit = strings.TrimPrefix(strings.Fields(status)[1], "exit=")
			all[name] = append(all[name], r)
		}
	}
	return all
}

// recording returns the nth recording of a command in a file.
func recording(t testing.TB, file, command string, nth int) recorded {
	t.Helper()
	for _, r := range recordings(t)[file] {
		if strings.HasPrefix(r.command, command) {
			if nth--; nth == 0 {
				return r
			}
		}
	}
	t.Fatalf("%s has no such %q", file, command)
	return recorded{}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, r := range recordings(t)["version"] {
		v, warning, ok := parseVersion(r.stdout)
		if !ok || v != (version{7, 2, 22}) || !strings.Contains(warning, "/dev/vboxdrv does not exist. Please install") {
			t.Errorf("%s: %v, %q, %v", r.command, v, warning, ok)
		}
	}
	for in, want := range map[string]string{
		"7.2.22_Debianr175245\n": "7.2.22", "6.1.50r161033\r\n": "6.1.50", "5.2.44_Ubuntur139111\n": "5.2.44",
		"7.1.4": "7.1.4", "7.0.0_RC1r153351\n": "7.0.0", "": "", "VBoxManage: error\n": "", "7.2\n": "", "1.2.3.4\n": "",
		"WARNING: 7.2.1 is old\n7.2.2r1\nWARNING\n": "7.2.2",
	} {
		got := ""
		if v, _, ok := parseVersion(in); ok {
			got = v.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    version
		want bool
	}{
		{version{6, 1, 28}, true},
		{version{6, 1, 27}, false},
		{version{6, 0, 99}, false},
		{version{5, 9, 99}, false},
		{version{6, 2, 0}, true},
		{version{7, 0, 0}, true},
	} {
		if got := c.v.atLeast(6, 1, 28); got != c.want {
			t.Errorf("%v: %v", c.v, got)
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	off := parseInfo(recording(t, "showvminfo-machinereadable-poweroff", "showvminfo", 1).stdout)
	on := parseInfo(recording(t, "showvminfo-machinereadable-running", "showvminfo", 1).stdout)
	hand := parseInfo(recording(t, "settings-and-extradata", "showvminfo 11111111-2222-4333-8444-666666666666", 1).stdout)
	ours := parseInfo(recording(t, "settings-and-extradata", "showvminfo 11111111-2222-4333-8444-555555555555", 1).stdout)
	for _, c := range []struct {
		info      map[string]string
		key, want string
	}{
		{off, "name", "default"},
		{off, "VMState", "poweroff"},
		{off, "memory", "1024"},
		{on, "VMState", "running"},
		{on, "SATA-1-0", "/home/user/.docker/machine/machines/default/disk.vmdk"},
		{on, "SATA-ImageUUID-1-0", "febe4401-2029-444a-be3e-9f5147d223a9"},
		{on, "Forwarding(0)", "ssh,tcp,127.0.0.1,54321,,22"},
		{on, "VideoMode", "720,400,0"},
		{on, "VRDEClients", "=0"},
		{on, "rec_screen_opts", "ac_profile=med"},
		{on, "GuestMemoryBalloon", "0"}, // the last but what a running one has
		{on, "GuestAdditionsRunLevel", "0"},
		{hand, "name", `it's "quoted"`},
		{hand, "UUID", "11111111-2222-4333-8444-666666666666"},
		{hand, "GuestMemoryBalloon", "0"},
		{ours, "nic2", "hostonly"},
		{ours, "macaddress2", "080027AABBCD"},
		{ours, "SATA-ImageUUID-0-0", "aaaaaaaa-0000-4000-8000-000000000001"},
		{ours, "storagecontrollername0", "SATA"},
		{ours, "SharedFolderNameMachineMapping1", "data"},
		{ours, "uartmode1", "file,/m7/a/console.log"},
	} {
		if got := c.info[c.key]; got != c.want {
			t.Errorf("%s: got %q, want %q", c.key, got, c.want)
		}
	}
	if d := hand["description"]; !strings.HasPrefix(d, "line one\nState: ") || !strings.HasSuffix(d, "555555555555") {
		t.Errorf("description %q", d)
	}
}

func TestInfoShapes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]map[string]string{
		`CfgFile="C:\\Users\\me\\x.vbox"` + "\r\n" + `name="a\"b"`: {"CfgFile": `C:\Users\me\x.vbox`, "name": `a"b`},
		"a=1\na=2\n":                     {"a": "1"},
		"no pair\n =x\n\"k\"\n\"k\":1\n": {},
		"open=\"never closed\nb=2":       {"open": "\"never closed", "b": "2"},
		"\"k=1\nc=3":                     {"c": "3"},
		"d=\"two\nlines\"\ne=5":          {"d": "two\nlines", "e": "5"},
		"":                               {},
	} {
		if diff := cmp.Diff(want, parseInfo(in)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestVMs(t *testing.T) {
	t.Parallel()
	got := parseVMs(recording(t, "settings-and-extradata", "list --long vms", 1).stdout)
	want := map[string]vm{
		"11111111-2222-4333-8444-555555555555": {
			UUID: "11111111-2222-4333-8444-555555555555", Name: "m1", State: "powered off", Config: "/m7/a/m1/m1.vbox",
			Marks: map[string]string{"machine-store": "0123456789abcdef", "machine-name": "m1", "machine-creator": "machine/1.0", "machine-ip": "192.168.56.30"},
			Nets:  []string{"vboxnet0"}, Ports: []int{54321},
			Disks: []attachment{{"SATA", 0, 0, "/m7/a/disk.vdi"}, {"SATA", 1, 0, "/m7/a/seed.iso"}},
		},
		"11111111-2222-4333-8444-666666666666": {
			UUID: "11111111-2222-4333-8444-666666666666", Name: `it's "quoted"`, State: "powered off",
			Config: `/m7/b/it_s _quoted_/it_s _quoted_.vbox`, Marks: map[string]string{},
		},
		"11111111-2222-4333-8444-777777777777": {
			UUID: "11111111-2222-4333-8444-777777777777", Name: "<inaccessible!>", Config: "/m7/c/gone/gone.vbox", Lost: true, Marks: map[string]string{},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	shared := parseVMs(recording(t, "lifecycle", "list -l vms", 1).stdout)
	if len(shared) != 1 || shared["548b42eb-9461-4745-85a1-5e3303f0dcbd"].Name != "default" {
		t.Errorf("a shared folder is taken for a machine: %v", shared)
	}
}

// TestOldVMs reads what 6.1 prints, where it differs.
func TestOldVMs(t *testing.T) {
	t.Parallel()
	got := parseVMs(`Name:                        old
Groups:                      /
Guest OS:                    Linux 2.6 / 3.x / 4.x (64-bit)
UUID:                        548b42eb-9461-4745-85a1-5e3303f0dcbd
Config file:                 /home/me/old/old.vbox
State:                       running (since 2021-11-21T03:02:06.997000000)
Storage Controller Name (0):            SATA
Storage Controller Type (0):            IntelAhci
SATA (0, 0): /home/me/disk (1).vmdk (UUID: febe4401-2029-444a-be3e-9f5147d223a9)
SATA (1, 0): Empty
NIC 1:                       MAC: 080027A19EAA, Attachment: NAT, Cable connected: on, Trace: off (file: none), Type: 82540EM, Reported speed: 0 Mbps, Boot priority: 0, Promisc Policy: deny, Bandwidth group: none
NIC 2:                       MAC: 080027A19EAB, Attachment: Host-only Interface 'VirtualBox Host-Only Ethernet Adapter #2', Cable connected: on, Trace: off (file: none), Type: 82540EM
Guest:

Configured memory balloon size: 0 MB
`)
	want := map[string]vm{"548b42eb-9461-4745-85a1-5e3303f0dcbd": {
		UUID: "548b42eb-9461-4745-85a1-5e3303f0dcbd", Name: "old", State: "running", Config: "/home/me/old/old.vbox", Marks: map[string]string{},
		Nets:  []string{"VirtualBox Host-Only Ethernet Adapter #2"},
		Disks: []attachment{{"SATA", 0, 0, "/home/me/disk (1).vmdk"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	servers := parseRecords(recording(t, "list-dhcpservers", "list dhcpservers", 1).stdout, "NetworkName")
	if len(servers) != 1 || servers[0]["NetworkName"] != "HostInterfaceNetworking-vboxnet0" || servers[0]["LowerIPAddress"] != "192.168.56.101" || servers[0]["Enabled"] != "Yes" {
		t.Errorf("%v", servers)
	}
	disks := parseRecords(recording(t, "errors", "list -l hdds", 1).stdout, "UUID")
	if len(disks) != 2 || disks[1]["Location"] != "/home/user/.docker/machine/machines/default/gone.vmdk" || disks[1]["State"] != "inaccessible" {
		t.Errorf("%v", disks)
	}
	text, err := os.ReadFile("testdata/vbox/real-vboxdrv-hostinfo-hostonlyif-lifecycle.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "$ VBoxManage list hostonlyifs\n")
	adapters := parseRecords(list, "Name")
	if adapters[0]["Name"] != "vboxnet0" || adapters[0]["GUID"] != "effffff9-dae8-4abf-8000-0a0027000000" || adapters[0]["IPV6Address"] != "" {
		t.Errorf("%v", adapters[0])
	}
	if p, ok := prefixOf(adapters[0]["IPAddress"], adapters[0]["NetworkMask"]); !ok || p.String() != "192.168.56.1/24" {
		t.Errorf("%v %v", p, ok)
	}
	// An empty line stands within a network without an interface.
	nets := parseRecords("Name:            a\nGUID:            g\n\nState:           Enabled\nNetworkMask:     255.255.255.0\nLowerIP:         192.168.56.1\n\nName:            b\n", "Name")
	if len(nets) != 2 || nets[0]["LowerIP"] != "192.168.56.1" || nets[1]["Name"] != "b" {
		t.Errorf("%v", nets)
	}
	if m := createdLine.FindStringSubmatch("0%...100%\nInterface 'VirtualBox Host-Only Ethernet Adapter #2' was successfully created\n"); m == nil || m[1] != "VirtualBox Host-Only Ethernet Adapter #2" {
		t.Errorf("%v", m)
	}
}

func TestExtraData(t *testing.T) {
	t.Parallel()
	if got := parseExtraData(recording(t, "settings-and-extradata", "getextradata global enumerate", 2).stdout); got["machine/x/y"] != "a b" || len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"192.168.56.1/24", "10.0.0.1/8", "192.168.56.1/21", "192.168.56.1/29"} {
		p := netip.MustParsePrefix(s)
		if got, ok := prefixOf(p.Addr().String(), maskOf(p)); !ok || got != p {
			t.Errorf("%s: %s, %v, %v", s, maskOf(p), got, ok)
		}
	}
	for _, mask := range []string{"", "255.0.255.0", "x", "::1"} {
		if p, ok := prefixOf("192.168.56.1", mask); ok {
			t.Errorf("%q gives %v", mask, p)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]drivers.State{
		"running": drivers.Running, "paused": drivers.Paused, "saved": drivers.Saved, "aborted-saved": drivers.Saved,
		"powered off": drivers.Stopped, "poweroff": drivers.Stopped, "aborted": drivers.Stopped, "starting": drivers.Starting,
		"restoring": drivers.Starting, "stopping": drivers.Stopping, "saving": drivers.Stopping, "gurumeditation": drivers.Error,
		"": drivers.None, "restoring snapshot": drivers.Stopped,
	} {
		if got := stateOf(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzParse demands that no output makes a parser fail or read what is not there.
func FuzzParse(f *testing.F) {
	for _, all := range recordings(f) {
		for _, r := range all {
			if len(r.stdout) < 8<<10 {
				f.Add(r.stdout)
			}
		}
	}
	f.Fuzz(func(t *testing.T, out string) {
		flat := strings.ReplaceAll(out, "\r\n", "\n")
		for key, value := range parseInfo(out) {
			if key == "" || len(key)+len(value) > len(flat) {
				t.Errorf("%q=%q", key, value)
			}
		}
		for id, v := range parseVMs(out) {
			if id == "" || id != v.UUID || !strings.Contains(out, id) || !strings.Contains(flat, v.Name) {
				t.Errorf("%q: %+v", id, v)
			}
			for _, port := range v.Ports {
				if port < 0 {
					t.Errorf("port %d", port)
				}
			}
		}
		for _, r := range parseRecords(out, "Name") {
			if _, ok := r["Name"]; !ok {
				t.Errorf("a record without its first key: %v", r)
			}
		}
		if v, _, ok := parseVersion(out); ok && !strings.Contains(out, v.String()) && !strings.Contains(out, "0") {
			t.Errorf("version %v", v)
		}
		for _, p := range parseNetworks(out) {
			if p != p.Masked() {
				t.Errorf("range %v", p)
			}
		}
		if a := parseLeases(out, "080027AABBCC", "m1", "192.168.56.1/24"); a != "" && !strings.HasPrefix(a, "192.168.56.") {
			t.Errorf("address %s", a)
		}
		parseExtraData(out)
		localvm.ParseMarks(out)
		_ = newCallError([]string{"x"}, answer{stderr: out, exit: 1}).Error()
	})
}
