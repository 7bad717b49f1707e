package vboxsim

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// tape is what a real VBoxManage printed.
const tape = "../../../drivers/virtualbox/testdata/vbox"

type recorded struct {
	args           []string
	exit           string
	stdout, stderr string
}

// recordings reads the calls of a file. Words with spaces are in single quotes, and
// commas behind backslashes.
func recordings(t *testing.T, file string) []recorded {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tape, file))
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for block := range strings.SplitSeq(string(text), "=== end\n") {
		head, rest, ok := strings.Cut(strings.TrimLeft(block, "\n"), "--- stdout\n")
		command, status, _ := strings.Cut(head, "\n")
		if !ok || strings.Contains(command, "'") {
			continue
		}
		r := recorded{exit: strings.TrimPrefix(strings.Fields(status)[1], "exit=")}
		r.args = strings.Fields(strings.ReplaceAll(strings.TrimPrefix(command, "$ VBoxManage "), `\`, ""))
		r.stdout, r.stderr, _ = strings.Cut(rest, "--- stderr\n")
		all = append(all, r)
	}
	return all
}

func newBox(t *testing.T, cfg Config) *Box {
	t.Helper()
	cfg.Home = filepath.Join(t.TempDir(), "home")
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// must runs a call that shall succeed.
func must(t *testing.T, b *Box, args ...string) string {
	t.Helper()
	a := b.Run(t.Context(), t.TempDir(), args)
	if a.Exit != 0 {
		t.Fatalf("%s: %s", strings.Join(args, " "), a.Stderr)
	}
	return a.Stdout
}

// reason is the first line of a refusal.
func reason(stderr string) string {
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(line, "VBoxManage: error: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

func code(stderr string) string {
	_, after, _ := strings.Cut(stderr, "Details: code ")
	word, _, _ := strings.Cut(after, " ")
	return word
}

// TestRefusals compares refusals with those of a real VBoxManage, in their exit code,
// code and words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const folder = "/home/user/.docker/machine/machines/default"
	dir := t.TempDir()
	b := newBox(t, Config{})
	must(t, b, "createvm", "--name", "default", "--basefolder", dir, "--register")
	must(t, b, "storagectl", "default", "--name", "SATA", "--add", "sata")
	must(t, b, "modifyvm", "default", "--natpf1", "ssh,tcp,127.0.0.1,54321,,22")
	must(t, b, "createvm", "--name", "other", "--basefolder", dir, "--register")
	must(t, b, "storagectl", "other", "--name", "SATA", "--add", "sata")
	raw, disk := filepath.Join(dir, "raw"), filepath.Join(dir, "disk.vdi")
	if err := os.WriteFile(raw, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, b, "convertfromraw", raw, disk, "--format", "VDI")
	must(t, b, "storageattach", "default", "--storagectl", "SATA", "--port", "1", "--device", "0", "--type", "hdd", "--medium", disk)
	swap := strings.NewReplacer(folder+"/default/default.vbox", filepath.Join(dir, "default", "default.vbox"), folder+"/disk.vmdk", disk, folder, dir)

	compare := func(file string, skip ...string) (compared int) {
		for _, r := range recordings(t, file) {
			line := strings.Join(r.args, " ")
			known := false
			for _, s := range skip {
				known = known || strings.HasPrefix(line, s)
			}
			if r.exit == "0" || !known || strings.Contains(r.stderr, "state is Saved") {
				continue
			}
			args := strings.Fields(swap.Replace(line))
			a := b.Run(t.Context(), dir, args)
			want := swap.Replace(reason(r.stderr))
			if got := reason(a.Stderr); a.Exit == 0 || got != want || code(a.Stderr) != code(r.stderr) {
				t.Errorf("%s: got exit %d, %s (%s), want %s (%s)", line, a.Exit, got, code(a.Stderr), want, code(r.stderr))
			}
			compared++
		}
		return compared
	}
	stopped := compare("errors.txt", "showvminfo nosuch", "showvminfo 0000", "startvm nosuch", "startvm default --type bogus", "controlvm", "modifyvm",
		"storagectl default", "storageattach other --storagectl NOPE", "storageattach other --storagectl SATA --port 0 --device 0 --type hdd --medium /nonexistent",
		"guestproperty get nosuch", "sharedfolder add default --name nope", "bogus", "list bogus")
	must(t, b, "startvm", "default", "--type", "headless")
	running := compare("running-state.txt", "startvm default", "modifyvm default --memory", "modifyvm default --natpf1 web", "unregistervm default", "storageattach", "closemedium", "unregistervm nosuch")
	if stopped < 15 || running < 6 {
		t.Errorf("compared %d and %d refusals", stopped, running)
	}
	must(t, b, "controlvm", "default", "poweroff")
	if n := compare("hostonly-nodriver.txt", "hostonlyif ipconfig", "hostonlyif remove", "hostonlynet", "dhcpserver remove"); n < 4 {
		t.Errorf("compared %d refusals of networks", n)
	}
}

// TestKeys demands that what is shown of a machine are lines that a real VBoxManage
// shows too.
func TestKeys(t *testing.T) {
	t.Parallel()
	b := newBox(t, Config{})
	must(t, b, "createvm", "--name", "default", "--basefolder", t.TempDir(), "--register")
	must(t, b, "storagectl", "default", "--name", "SATA", "--add", "sata", "--portcount", "2")
	must(t, b, "modifyvm", "default", "--natpf1", "ssh,tcp,127.0.0.1,54321,,22", "--nic2", "hostonly", "--hostonlyadapter2", "vboxnet0")
	keys := func(text, sep string) map[string]bool {
		all := map[string]bool{}
		for line := range strings.Lines(text) {
			if key, _, ok := strings.Cut(line, sep); ok {
				all[key] = true
			}
		}
		return all
	}
	real := map[string]bool{}
	for _, file := range []string{"settings-and-extradata.txt", "showvminfo-machinereadable-poweroff.txt"} {
		for _, r := range recordings(t, file) {
			for key := range keys(r.stdout, "=") {
				real[key] = true
			}
			for key := range keys(r.stdout, ":") {
				real[key] = true
			}
		}
	}
	for key := range keys(must(t, b, "showvminfo", "default", "--machinereadable"), "=") {
		if !real[key] {
			t.Errorf("showvminfo has %s", key)
		}
	}
	for key := range keys(must(t, b, "list", "--long", "vms"), ":") {
		if !real[key] {
			t.Errorf("list vms has %q", key)
		}
	}
}

// TestServed has another process do the calls, with a host behind the machine.
func TestServed(t *testing.T) {
	t.Parallel()
	hosts := host.NewMemory()
	dir, err := os.MkdirTemp("", "vbox") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := New(Config{Home: dir, Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", Socket(dir))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context(), l) }()
	ask := func(args ...string) Answer {
		a, err := Ask(t.Context(), dir, dir, args)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const id = "beef0000-0000-4000-8000-000000000001"
	ask("createvm", "--name", "m", "--uuid", id, "--basefolder", dir, "--register")
	if a := ask("startvm", "m"); a.Exit != 0 {
		t.Fatal(a.Stderr)
	}
	if running, err := hosts.Running(t.Context(), id); err != nil || !running {
		t.Errorf("host runs: %v, %v", running, err)
	}
	ask("controlvm", "m", "acpipowerbutton")
	b.Close() // also for the answers
	if a := ask("list", "runningvms"); a.Stdout != "" {
		t.Errorf("runs after the power button: %s", a.Stdout)
	}
	if a := ask("unregistervm", "m", "--delete"); a.Exit != 0 {
		t.Error(a.Stderr)
	}
	if _, ok := hosts.Spec(id); ok {
		t.Error("the host is there")
	}
	l.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := newBox(t, Config{})
	for _, f := range []sim.Fault{{Action: "list", Nth: 2, Mode: sim.Fail, Text: "no"}, {Action: "createvm", Nth: 1, Mode: sim.Lose}, {Nth: 4, Mode: computer.KillBefore}} {
		if err := b.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) Answer { return b.Run(t.Context(), t.TempDir(), args) }
	if a := run("list", "vms"); a.Exit != 0 {
		t.Errorf("first: %+v", a)
	}
	if a := run("list", "vms"); a.Exit != 1 || reason(a.Stderr) != "no" {
		t.Errorf("second: %+v", a)
	}
	if a := run("createvm", "--name", "m", "--register"); a.Exit != 1 {
		t.Errorf("third: %+v", a)
	}
	if all, err := b.Ledger(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("what was lost is done: %v, %v", all, err)
	}
	for n := range 3 {
		if a := run("list", "vms"); a.Kill {
			return
		} else if n == 2 {
			t.Errorf("nobody is killed: %+v", a)
		}
	}
}

// TestUnknown demands that what is not known is refused, of each command, and that
// nothing is done.
func TestUnknown(t *testing.T) {
	t.Parallel()
	b := newBox(t, Config{})
	dir := t.TempDir()
	must(t, b, "createvm", "--name", "m", "--basefolder", dir, "--register")
	must(t, b, "hostonlyif", "create")
	raw := filepath.Join(dir, "raw")
	if err := os.WriteFile(raw, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, b, "convertfromraw", raw, raw+".vdi", "--format", "VDI")
	before := must(t, b, "showvminfo", "m", "--machinereadable")
	for _, line := range []string{
		"list vms --bogus", "showvminfo m --machinereadable --bogus", "createvm --name x --register --bogus", "createvm --name x --register bogus",
		"unregistervm m --bogus", "modifyvm m --cpus 2 --bogus 1", "modifyvm m --cpus 2 --memory 1", "modifyvm m --cpus 2 --hostonlynet2 x",
		"storagectl m --name S --add sata --bogus", "storagectl m --name S --add sata --controller bogus", "storagectl m --name S --add sata --controller PIIX4",
		"storagectl m --name S --add sata --portcount 31", "storagectl m --name S --add sata --bootable yes", "storageattach m --storagectl S --port 0 --device 0 --medium none --bogus",
		"modifymedium disk " + raw + ".vdi --bogus 1", "clonemedium disk " + raw + ".vdi " + raw + "2.vdi --format VDI --existing",
		"closemedium disk " + raw + ".vdi --bogus", "convertfromraw " + raw + " " + raw + "3.vdi --format VDI --bogus",
		"startvm m --bogus", "startvm m --type bogus", "controlvm m bogus", "discardstate m bogus", "setextradata m k v", "getextradata m enumerate",
		"guestproperty wait m x", "sharedfolder add m --name x --hostpath " + dir + " --bogus",
		"hostonlyif create --bogus", "hostonlyif remove vboxnet0 --ip 192.168.56.1", "hostonlyif ipconfig vboxnet0 --bogus",
		"dhcpserver add --netname n --bogus", "dhcpserver bogus --netname n", "natnetwork list", "bogus",
	} {
		if a := b.Run(t.Context(), dir, strings.Fields(line)); a.Exit == 0 {
			t.Errorf("%s: is done", line)
		}
	}
	if after := must(t, b, "showvminfo", "m", "--machinereadable"); after != before {
		t.Errorf("Before\n%s\nAfter\n%s", before, after)
	}
	if all, err := b.Ledger(t.Context()); err != nil || len(all) > 3 {
		t.Errorf("there is %v, %v", all, err)
	}
}
