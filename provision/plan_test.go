package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	goflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = goflag.Bool("update", false, "write the golden files")

var testTLS = TLS{CA: []byte("ca\n"), Cert: []byte("cert\n"), Key: []byte("key\n")}

// host returns a host of a distribution as Probe would see it, without engine.
func host(t testing.TB, name string, change ...func(*Facts)) Facts {
	t.Helper()
	text, ok := osReleases[name]
	if !ok {
		t.Fatalf("no os-release of %s", name)
	}
	f := Facts{Arch: "amd64", Init: "systemd", FreeVarMiB: 20000, FreeEtcMiB: 20000, EngineState: "inactive"}
	f.setOS(parseOSRelease(text))
	switch f.ID {
	case "debian", "ubuntu", "raspbian", "linuxmint", "kali":
		f.Packager = "apt-get"
	case "opensuse-leap", "sles":
		f.Packager = "zypper"
	case "arch":
		f.Packager = "pacman"
	case "alpine":
		f.Packager, f.Init = "apk", "openrc"
	case "boot2docker":
		f.Init = ""
	case "flatcar", "nixos":
	default:
		f.Packager = "dnf"
	}
	for _, fn := range change {
		fn(&f)
	}
	return f
}

const debianUnit = "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS"

// withEngine puts a running engine on a host.
func withEngine(pkg, version, unit string) func(*Facts) {
	return func(f *Facts) {
		f.Dockerd, f.Version, f.Package, f.ExecStart = "/usr/bin/dockerd", version, pkg, unit
		f.EngineState, f.Enabled, f.Socket = "active", true, strings.Contains(unit, "fd://")
	}
}

// settled is the host after Apply, as far as Plan can tell.
func settled(t testing.TB, f Facts, e Engine, unit string) Facts {
	t.Helper()
	if f.Dockerd == "" {
		pkg, version := "docker-ce", DefaultVersion
		if d, _ := distributionOf(f); e.Source == SourceDistro || d.repo == "" {
			pkg = d.pkg
		}
		if e.Version != "" && !satisfies(version, e.Version) {
			version = e.Version + ".1"
		}
		withEngine(pkg, version, unit)(&f)
	}
	flags, e, err := e.flags()
	if err != nil {
		t.Fatal(err)
	}
	c, err := configure(f, e, flags, false)
	if err != nil {
		t.Fatal(err)
	}
	f.EngineState, f.Enabled, f.PortOwner, f.RestartDue = "active", true, "dockerd (pid 7)", false
	f.OurOptions, f.OurDropIn = c.options, c.layout.file
	if c.layout.json {
		f.DaemonJSON, f.Record = c.json, c.record
	}
	f.TLSHashes = map[string]string{}
	for name, data := range map[string][]byte{"ca.pem": testTLS.CA, "server.pem": testTLS.Cert, "server-key.pem": testTLS.Key} {
		sum := sha256.Sum256(data)
		f.TLSHashes[name] = hex.EncodeToString(sum[:])
	}
	return f
}

// render prints steps as a person would review them; secrets are left out.
func render(steps []Step) []byte {
	var b bytes.Buffer
	for _, s := range steps {
		fmt.Fprintf(&b, "## %s (%s)\n", s.Name, s.Limit)
		if s.Unless != "" {
			fmt.Fprintf(&b, "unless: %s\n", s.Unless)
		}
		fmt.Fprintf(&b, "run: %s\n", strings.ReplaceAll(s.Run, "\n", "\n     "))
		switch {
		case s.Stdin == nil:
		case strings.HasPrefix(s.Run, "write_tls"), strings.HasPrefix(s.Run, "use_proxies"):
			fmt.Fprintf(&b, "stdin: <%d bytes>\n", len(s.Stdin))
		default:
			fmt.Fprintf(&b, "stdin: | %s\n", strings.ReplaceAll(strings.TrimSuffix(string(s.Stdin), "\n"), "\n", "\n       | "))
		}
		b.WriteString("\n")
	}
	if len(steps) == 0 {
		b.WriteString("nothing to do\n")
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "plan", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s, with -update it becomes what it is:\n%s", path, diff)
	}
}

// TestPlan shows a plan per distribution, and that it leaves nothing to do.
func TestPlan(t *testing.T) {
	t.Parallel()
	labels := Engine{Labels: []string{"provider=test"}}
	rich := Engine{
		Version: "28.5", Port: 2377, Labels: []string{"provider=test", "zone=b 2"}, Options: []string{"mtu=1400", "live-restore", "label=rack=7", "log-opt=env=a b"},
		Env: []string{`GODEBUG=x "y" 100%`}, InsecureRegistries: []string{"reg.lan:5000"}, RegistryMirrors: []string{"https://mirror.lan"},
		StorageDriver: "overlay2", HTTPProxy: "http://u:p%40w@proxy.lan:3128", NoProxy: "localhost,.lan", RepoURL: "http://127.0.0.1:8080/linux/",
	}
	fedoraUnit := "/usr/bin/dockerd --host=fd:// --exec-opt native.cgroupdriver=systemd $OPTIONS $DOCKER_STORAGE_OPTIONS"
	ceUnit := "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"
	suseUnit := "/usr/bin/dockerd --add-runtime oci=/usr/sbin/docker-runc $DOCKER_NETWORK_OPTIONS $DOCKER_OPTS"
	tests := []struct {
		name string
		f    Facts
		e    Engine
		unit string // what the package brings
	}{
		{"debian", host(t, "debian"), labels, ceUnit},
		{"debian-options", host(t, "debian"), rich, ceUnit},
		{"debian-sid", host(t, "debian-sid"), labels, debianUnit},
		{"debian-distro", host(t, "debian"), Engine{Source: SourceDistro, Version: "20.10"}, debianUnit},
		{"debian-script", host(t, "debian"), Engine{Source: SourceScript, Version: "28.1"}, ceUnit},
		{"debian-keep", host(t, "debian", withEngine("docker.io", "20.10.24+dfsg1", debianUnit)), labels, ""},
		{"debian-cloud-init", host(t, "debian", func(f *Facts) { f.CloudInit, f.Firewall = "running", "ufw" }), Engine{}, ceUnit},
		{"raspbian", host(t, "raspbian", func(f *Facts) { f.Arch = "armhf" }), labels, ceUnit},
		{"ubuntu", host(t, "ubuntu"), labels, ceUnit},
		{"linuxmint", host(t, "linuxmint"), labels, ceUnit},
		{"fedora", host(t, "fedora"), labels, ceUnit},
		{"fedora-distro", host(t, "fedora"), Engine{Source: SourceDistro}, fedoraUnit},
		{"rhel", host(t, "rhel"), labels, ceUnit},
		{"centos", host(t, "centos"), labels, ceUnit},
		{"rocky", host(t, "rocky", func(f *Facts) { f.Firewall = "firewalld" }), labels, ceUnit},
		{"almalinux", host(t, "almalinux"), labels, ceUnit},
		{"oracle", host(t, "oracle"), labels, ceUnit},
		{"amazon", host(t, "amazon"), labels, "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $OPTIONS"},
		{"opensuse-leap", host(t, "opensuse-leap"), labels, suseUnit},
		{"sles", host(t, "sles"), labels, suseUnit},
		{"arch", host(t, "arch"), labels, ceUnit},
		{"alpine", host(t, "alpine"), labels, ""},
		{"alpine-options", host(t, "alpine", withEngine("docker-engine", "28.3.3", "")), Engine{Options: []string{"log-opt=tag=it's"}, Env: []string{"A=b'c $d"}}, ""},
		{"flatcar", host(t, "flatcar", withEngine("", "28.0.4", "/usr/bin/env PATH=${TORCX_BINDIR}:${PATH} /usr/bin/dockerd --host=fd:// $DOCKER_OPTS")), labels, ""},
		{"boot2docker", host(t, "boot2docker", withEngine("", "19.03.12", "")), Engine{Labels: []string{"provider=virtualbox"}, Env: []string{"A=b c"}}, ""},
		{"foreign", host(t, "debian", withEngine("docker-ce", "28.5.2", ceUnit), func(f *Facts) {
			f.DaemonJSON = []byte("{\n\t\"data-root\": \"/srv/docker\",\n  \"labels\": [ \"rack=7\" ],\n  \"log-driver\": \"journald\"\n}\n")
			f.DropIns = []string{"/etc/systemd/system/docker.service.d/override.conf"}
		}), Engine{Gentle: true, Labels: []string{"provider=generic"}}, ""},
		{"foreign-hosts", host(t, "debian", withEngine("docker-ce", "28.5.2", "/usr/bin/dockerd --label=rack=7"), func(f *Facts) {
			f.DaemonJSON = []byte(`{"hosts": ["unix:///run/docker.sock"]}`)
		}), Engine{Gentle: true, Labels: []string{"provider=generic"}}, ""},
		{"upgrade", host(t, "debian", withEngine("docker-ce", "28.0.1", ceUnit), func(f *Facts) { f.RepoListed = true }), Engine{Upgrade: true, Version: "28.5.2"}, ceUnit},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			steps, err := Plan(c.f, c.e, testTLS)
			if err != nil {
				t.Fatal(err)
			}
			after := c.f
			if c.name == "upgrade" {
				after.Version = "28.5.2"
			}
			after.Firewall, after.CloudInit, after.RepoListed = "", "", true
			after = settled(t, after, c.e, c.unit)
			removal, err := PlanRemoval(after)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name, append(render(steps), append([]byte("# removal\n\n"), render(removal)...)...))

			again, err := Plan(after, c.e, testTLS)
			if err != nil {
				t.Fatal(err)
			}
			if len(again) != 0 {
				t.Errorf("a second plan is not empty:\n%s", render(again))
			}
		})
	}
}

func TestPlanRestartsOnlyForCause(t *testing.T) {
	t.Parallel()
	done := settled(t, host(t, "debian", withEngine("docker-ce", "28.5.2", debianUnit)), Engine{}, "")
	for name, c := range map[string]struct {
		change func(*Facts)
		e      Engine
		want   string // names of steps
	}{
		"nothing":         {func(*Facts) {}, Engine{}, ""},
		"interrupted":     {func(f *Facts) { f.RestartDue = true }, Engine{}, "restart the engine"},
		"replaced":        {func(f *Facts) { f.Stale = true }, Engine{}, "restart the engine"},
		"replaced gently": {func(f *Facts) { f.Stale = true }, Engine{Gentle: true}, ""},
		"stopped":         {func(f *Facts) { f.EngineState, f.PortOwner = "inactive", "" }, Engine{}, "start the engine"},
		"not at boot":     {func(f *Facts) { f.Enabled = false }, Engine{}, "start the engine at boot"},
		"loose key":       {func(f *Facts) { f.TLSLoose = []string{"server-key.pem"} }, Engine{}, "write TLS files to /etc/docker,restart the engine"},
		"other CA":        {func(f *Facts) { f.TLSHashes = map[string]string{"ca.pem": "00"} }, Engine{}, "write TLS files to /etc/docker,restart the engine"},
		"cloud-init":      {func(f *Facts) { f.CloudInit = "error" }, Engine{}, ""},
		"gentle firewall": {func(f *Facts) { f.Firewall = "ufw" }, Engine{Gentle: true}, ""},
		"firewall":        {func(f *Facts) { f.Firewall = "ufw" }, Engine{}, "open port 2376 in ufw"},
		"new label":       {func(*Facts) {}, Engine{Labels: []string{"a=b"}}, "merge TLS, labels, log-driver, log-opts into /etc/docker/daemon.json,restart the engine"},
		"new option": {func(*Facts) {}, Engine{Options: []string{"mtu=1400"}},
			"check engine options,write /etc/systemd/system/docker.service.d/10-machine.conf,restart the engine"},
	} {
		f := done
		c.change(&f)
		steps, err := Plan(f, c.e, testTLS)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, s := range steps {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, ","); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	ce := withEngine("docker-ce", "28.5.2", "/usr/bin/dockerd -H fd://")
	options := func(o ...string) Engine { return Engine{Options: o} }
	foreign := func(text string) Facts {
		return host(t, "debian", ce, func(f *Facts) { f.DaemonJSON = []byte(text) })
	}
	tests := []struct {
		name string
		f    Facts
		e    Engine
		want error
		text string // in the message
	}{
		{"no root", host(t, "debian", func(f *Facts) { f.UID = 1000 }), Engine{}, ErrNoRoot, "uid 1000"},
		{"port", host(t, "debian", ce, func(f *Facts) { f.PortOwner = "nginx (pid 12)" }), Engine{}, ErrPortTaken, "nginx (pid 12) listens on 2376"},
		{"disk", host(t, "debian", func(f *Facts) { f.FreeVarMiB = 100 }), Engine{}, ErrDiskFull, "100 MiB"},
		{"etc", host(t, "debian", ce, func(f *Facts) { f.FreeEtcMiB = 0 }), Engine{}, ErrDiskFull, "/etc"},
		{"unknown", host(t, "nixos"), Engine{}, ErrUnsupportedOS, "ID=nixos VERSION_ID=25.05"},
		{"flatcar version", host(t, "flatcar", withEngine("", "28.0.4", "/usr/bin/dockerd --host=fd://")), Engine{Version: "28.5"}, ErrUnsupportedOS, "28.0.4"},
		{"static engine", host(t, "debian", withEngine("", "28.0.4", "/usr/local/bin/dockerd")), Engine{Version: "28.5"}, ErrUnsupportedOS, "28.0.4"},
		{"no init", host(t, "debian", ce, func(f *Facts) { f.Init = "" }), Engine{}, ErrUnsupportedOS, "systemd"},
		{"no distro package", host(t, "rhel"), Engine{Source: SourceDistro}, ErrNoPackage, "ID=rhel"},
		{"no repository", host(t, "arch"), Engine{Source: SourceRepo}, ErrNoPackage, "ID=arch"},
		{"nothing to keep", host(t, "debian"), Engine{Source: SourceKeep}, ErrNoPackage, "no engine"},
		{"downgrade", host(t, "debian", ce), Engine{Version: "27"}, ErrDowngrade, "28.5.2 is installed, 27 is asked for"},
		{"downgrade within", host(t, "debian", ce), Engine{Version: "28.5.1", Upgrade: true}, ErrDowngrade, "28.5.1"},
		{"version", host(t, "debian"), Engine{Version: "28;reboot"}, ErrOption, "28;reboot"},
		{"source", host(t, "debian"), Engine{Source: "snap"}, ErrOption, "snap"},
		{"port number", host(t, "debian"), Engine{Port: 70000}, ErrOption, "70000"},
		{"repository URL", host(t, "debian"), Engine{RepoURL: "ftp://x"}, ErrOption, "ftp://x"},
		{"script URL", host(t, "debian"), Engine{InstallURL: "https://x/'$(reboot)'"}, ErrOption, "reboot"},
		{"flag", host(t, "debian", ce), options("--mtu=1"), ErrOption, "--mtu=1"},
		{"flag with shell", host(t, "debian", ce), options("mtu=1\nExecStartPre=/bin/x"), ErrOption, "control characters"},
		{"managed", host(t, "debian", ce), options("tlsverify=false"), ErrOption, "tlsverify"},
		{"label", host(t, "debian", ce), Engine{Labels: []string{"x"}}, ErrOption, `"x"`},
		{"env", host(t, "debian", ce), Engine{Env: []string{"A B=secret"}}, ErrOption, `"A B"`},
		{"mirror", host(t, "debian", ce), Engine{RegistryMirrors: []string{"mirror.lan"}}, ErrOption, "mirror.lan"},
		{"two storage drivers", host(t, "debian", ce), Engine{StorageDriver: "btrfs", Options: []string{"storage-driver=overlay2"}}, ErrOption, "btrfs"},
		{"daemon.json syntax", foreign("{\n  \"a\": 1,\n}"), Engine{}, ErrConfig, "line 3, column 1"},
		{"daemon.json no object", foreign("[]"), Engine{}, ErrConfig, "not a JSON object"},
		{"daemon.json twice", foreign(`{"a":1,"a":2}`), Engine{}, ErrConfig, `"a" stands there twice`},
		{"other TLS", foreign(`{"tlscacert":"/pki/ca.pem"}`), Engine{}, ErrConfig, "/pki/ca.pem"},
		{"plain TCP", foreign(`{"hosts":["tcp://0.0.0.0:2375"]}`), Engine{}, ErrConfig, "tcp://0.0.0.0:2375"},
		{"labels no list", foreign(`{"labels":"a=b"}`), Engine{Labels: []string{"a=b"}}, ErrConfig, "labels"},
		{"two labels", foreign(`{"labels":["a=b"]}`), Engine{Labels: []string{"a=c"}}, ErrConfig, `"a=b"`},
		{"other storage", foreign(`{"storage-driver":"zfs"}`), Engine{StorageDriver: "overlay2"}, ErrConfig, "zfs"},
		{"hosts twice", foreign(`{"hosts":["unix:///x"]}`), Engine{}, ErrConfig, "hosts"},
		{"option in daemon.json", foreign(`{"mtu":1400}`), options("mtu=1500"), ErrOption, "1400"},
		{"option on the command line", host(t, "debian", withEngine("docker-ce", "28.5.2", "/usr/bin/dockerd $DOCKER_OPTS"), func(f *Facts) {
			f.EnvFiles = map[string]string{"DOCKER_OPTS": "--mtu 1400"}
		}), options("mtu=1500"), ErrOption, "1400"},
		{"late drop-in", host(t, "debian", ce, func(f *Facts) { f.DropIns = []string{"/etc/systemd/system/docker.service.d/zzz.conf"} }), Engine{}, ErrConfig, "zzz.conf"},
		{"boot2docker quotes", host(t, "boot2docker", withEngine("", "19.03.12", "")), options("log-opt=tag=a b"), ErrOption, "a b"},
	}
	texts := map[string]string{}
	for _, c := range tests {
		steps, err := Plan(c.f, c.e, testTLS)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v with %q; steps %v", c.name, err, c.want, c.text, steps)
			continue
		}
		if other, twice := texts[err.Error()]; twice {
			t.Errorf("%s and %s have one message: %v", c.name, other, err)
		}
		texts[err.Error()] = c.name
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the message tells a value: %v", c.name, err)
		}
	}
	if _, err := Plan(host(t, "debian"), Engine{}, TLS{CA: []byte("x")}); err == nil {
		t.Error("a plan without key")
	}
}

func TestPlanAllowsDowngrade(t *testing.T) {
	t.Parallel()
	f := host(t, "debian", withEngine("docker-ce", "28.5.2", debianUnit))
	steps, err := Plan(f, Engine{Version: "27.5", AllowDowngrade: true}, testTLS)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(render(steps)), "apt_engine repo docker-ce 27.5 present any") {
		t.Errorf("no downgrade:\n%s", render(steps))
	}
}

// TestPlanSource shows when an engine that is there is kept.
func TestPlanSource(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, version string
		e            Engine
		want         string // of the first step; empty: kept
	}{
		{"docker.io", "20.10.24", Engine{}, ""},
		{"docker.io", "20.10.24", Engine{Version: "20.10"}, ""},
		{"docker.io", "20.10.24", Engine{Version: "20.10", InstallURL: "https://x/y"}, ""},
		{"docker.io", "20.10.24", Engine{Source: SourceKeep, Version: "28"}, ""},
		{"docker.io", "20.10.24", Engine{Version: "26"}, "apt_engine distro docker.io 26 present up 600"},
		{"docker.io", "20.10.24", Engine{Upgrade: true}, "apt_engine distro docker.io '' present up 600"},
		{"docker.io", "20.10.24", Engine{Version: "28", Source: SourceRepo}, "apt_repository https://download.docker.com/linux debian bookworm 600"},
		{"docker.io", "20.10.24", Engine{Version: "28", InstallURL: "https://x/y"}, "run_install_script https://x/y 28 600"},
		{"docker-ce", "28.5.2", Engine{Upgrade: true, Version: "28.5.2"}, ""},
		{"docker-ce", "28.5.2", Engine{Upgrade: true, Version: "28"}, "apt_repository https://download.docker.com/linux debian bookworm 600"},
		{"", "28.5.2", Engine{Version: "28"}, ""},
	} {
		steps, err := planPackages(host(t, "debian", withEngine(c.pkg, c.version, debianUnit)), c.e)
		got := ""
		if len(steps) > 0 {
			got = steps[0].Run
		}
		if err != nil || got != c.want {
			t.Errorf("%s %s %+v: got %q, want %q; %v", c.pkg, c.version, c.e, got, c.want, err)
		}
	}
}
