package provision

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// osReleases are what the distributions' own files say, shortened to what is read.
var osReleases = map[string]string{
	"debian": `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
`,
	"debian-sid": `PRETTY_NAME="Debian GNU/Linux forky/sid"
NAME="Debian GNU/Linux"
VERSION_CODENAME=forky
ID=debian
`,
	"raspbian": `PRETTY_NAME="Raspbian GNU/Linux 12 (bookworm)"
VERSION_ID="12"
VERSION_CODENAME=bookworm
ID=raspbian
ID_LIKE=debian
`,
	"ubuntu": `PRETTY_NAME="Ubuntu 24.04.2 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.2 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=noble
`,
	"linuxmint": `NAME="Linux Mint"
VERSION="22.1 (Xia)"
ID=linuxmint
ID_LIKE="ubuntu debian"
PRETTY_NAME="Linux Mint 22.1"
VERSION_ID="22.1"
VERSION_CODENAME=xia
UBUNTU_CODENAME=noble
`,
	"kali": `PRETTY_NAME="Kali GNU/Linux Rolling"
ID=kali
VERSION_ID="2025.3"
VERSION_CODENAME=kali-rolling
ID_LIKE=debian
`,
	"fedora": `NAME="Fedora Linux"
VERSION="43 (Server Edition)"
ID=fedora
VERSION_ID=43
VERSION_CODENAME=""
PRETTY_NAME="Fedora Linux 43 (Server Edition)"
`,
	"rhel": `NAME="Red Hat Enterprise Linux"
VERSION="9.6 (Plow)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="9.6"
PRETTY_NAME="Red Hat Enterprise Linux 9.6 (Plow)"
`,
	"centos": `NAME="CentOS Stream"
VERSION="10 (Coughlan)"
ID="centos"
ID_LIKE="rhel fedora"
VERSION_ID="10"
PRETTY_NAME="CentOS Stream 10 (Coughlan)"
`,
	"rocky": `NAME="Rocky Linux"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.6"
PRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"
`,
	"almalinux": `NAME="AlmaLinux"
ID="almalinux"
ID_LIKE="rhel centos fedora"
VERSION_ID="10.0"
PRETTY_NAME="AlmaLinux 10.0 (Purple Lion)"
`,
	"oracle": `NAME="Oracle Linux Server"
VERSION="9.6"
ID="ol"
ID_LIKE="fedora"
VERSION_ID="9.6"
PRETTY_NAME="Oracle Linux Server 9.6"
`,
	"amazon": `NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PRETTY_NAME="Amazon Linux 2023.7.20250623"
`,
	"opensuse-leap": `NAME="openSUSE Leap"
VERSION="15.6"
ID="opensuse-leap"
ID_LIKE="suse opensuse"
VERSION_ID="15.6"
PRETTY_NAME="openSUSE Leap 15.6"
`,
	"sles": `NAME="SLES"
VERSION="15-SP6"
VERSION_ID="15.6"
PRETTY_NAME="SUSE Linux Enterprise Server 15 SP6"
ID="sles"
ID_LIKE="suse"
`,
	"arch": `NAME="Arch Linux"
PRETTY_NAME="Arch Linux"
ID=arch
BUILD_ID=rolling
`,
	"alpine": `NAME="Alpine Linux"
ID=alpine
VERSION_ID=3.22.0
PRETTY_NAME="Alpine Linux v3.22"
`,
	"flatcar": `NAME="Flatcar Container Linux by Kinvolk"
ID=flatcar
ID_LIKE=coreos
VERSION=4230.2.0
VERSION_ID=4230.2.0
PRETTY_NAME="Flatcar Container Linux by Kinvolk 4230.2.0 (Oklo)"
`,
	"boot2docker": `NAME=Boot2Docker
VERSION=19.03.12
ID=boot2docker
ID_LIKE=tcl
VERSION_ID=19.03.12
PRETTY_NAME="Boot2Docker 19.03.12 (TCL 10.1); master : 0000000"
`,
	"nixos": `ID=nixos
NAME=NixOS
VERSION_ID="25.05"
VERSION_CODENAME=warbler
`,
}

func TestParseOSRelease(t *testing.T) {
	t.Parallel()
	got := parseOSRelease("# comment\n\nA=plain\nB=\"with blank\"\nC='single $x'\nD=a\\ b rest\nE=x=y\nno assignment\n=empty\nF=\n  G=\"q\\\"u\\$\\x\"\r\nH=\"open\n")
	want := map[string]string{"A": "plain", "B": "with blank", "C": "single $x", "D": "a b", "E": "x=y", "F": "", "G": `q"u$\x`, "H": "open"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseOSRelease(f *testing.F) {
	for _, text := range osReleases {
		f.Add(text)
	}
	f.Add("A=\"\\")
	f.Add("A='")
	f.Fuzz(func(t *testing.T, text string) {
		for k, v := range parseOSRelease(text) {
			if k == "" || strings.ContainsAny(k+v, "\n") {
				t.Errorf("key %q, value %q", k, v)
			}
		}
	})
}

func TestDistribution(t *testing.T) {
	t.Parallel()
	tests := map[string]string{ // folder and release of Docker's repository, the distribution's package
		"debian":        "debian bookworm docker.io",
		"debian-sid":    "  docker.io",
		"raspbian":      "raspbian bookworm docker.io",
		"ubuntu":        "ubuntu noble docker.io",
		"linuxmint":     "ubuntu noble docker.io",
		"kali":          "  docker.io",
		"fedora":        "fedora 43 moby-engine",
		"rhel":          "rhel 9 ",
		"centos":        "centos 10 ",
		"rocky":         "centos 9 ",
		"almalinux":     "centos 10 ",
		"oracle":        "centos 9 ",
		"amazon":        "  docker",
		"opensuse-leap": "  docker",
		"sles":          "  docker",
		"arch":          "  docker",
		"alpine":        "  docker",
		"flatcar":       "  ",
		"boot2docker":   "  ",
		"nixos":         "unknown",
	}
	for name, text := range osReleases {
		f := Facts{Arch: "amd64"}
		f.setOS(parseOSRelease(text))
		got := "unknown"
		if d, ok := distributionOf(f); ok {
			folder, release := d.repoFolder(f)
			got = folder + " " + release + " " + d.pkg
		}
		if got != tests[name] {
			t.Errorf("%s: got %q, want %q", name, got, tests[name])
		}
	}
	f := Facts{ID: "debian", VersionID: "12", Codename: "bookworm", Arch: "riscv64"}
	if d, _ := distributionOf(f); true {
		if folder, _ := d.repoFolder(f); folder != "" {
			t.Errorf("Docker's repository has nothing for riscv64, got %q", folder)
		}
	}
}
