package provision

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The package managers that are no Debian's are known here by what they print and take: each
// fake writes down what it is asked to change.

const aptCache = `case $1-$2 in
policy-docker-ce) printf 'docker-ce:\n  Installed: (none)\n  Candidate: 5:28.5.2-1~debian.12~bookworm\n' ;;
policy-docker.io) printf 'docker.io:\n  Installed: (none)\n  Candidate: 20.10.24+dfsg1-1+deb12u1\n' ;;
policy-*) printf '%s:\n  Candidate: (none)\n' "$2" ;;
madison-docker-ce | madison-docker-ce-cli) for v in 5:29.0.0-1~debian.12~bookworm 5:28.5.2-1~debian.12~bookworm 5:28.5.1-1~debian.12~bookworm 5:27.5.1-1~debian.12~bookworm; do
	printf ' %s | %s | https://download.docker.com/linux/debian bookworm/stable amd64 Packages\n' "$2" "$v"; done ;;
madison-docker.io) printf ' docker.io | 26.1.5+dfsg1-9 | http://deb.debian.org/debian trixie/main amd64 Packages\n docker.io | 20.10.24+dfsg1-1+deb12u1 | http://deb.debian.org/debian bookworm/main amd64 Packages\n' ;;
madison-iptables) printf 'iptables | 1 | http://x bookworm/main amd64 Packages\n' ;;
esac
`

func TestAptResolve(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		r.fake(t, map[string]string{"apt-cache": aptCache})
		for _, c := range []struct{ pkg, want, out string }{
			{"docker-ce", "28.5.1", "5:28.5.1-1~debian.12~bookworm bookworm"},
			{"docker-ce", "28", "5:28.5.2-1~debian.12~bookworm "},
			{"docker-ce", "28.5.2?", "5:28.5.2-1~debian.12~bookworm "},
			{"docker-ce", "", "5:28.5.2-1~debian.12~bookworm "},
			{"docker-ce", "5:27.5.1-1~debian.12~bookworm", "5:27.5.1-1~debian.12~bookworm bookworm"},
			{"docker-ce", "26.0.0?", "MARK note docker-ce 26.0.0 is not in the package source; takes 5:28.5.2-1~debian.12~bookworm\n5:28.5.2-1~debian.12~bookworm "},
			{"docker.io", "26.1", "26.1.5+dfsg1-9 trixie"},
			{"docker.io", "20", "20.10.24+dfsg1-1+deb12u1 "},
		} {
			got, code := r.run(t, "apt_resolve '"+c.pkg+"' '"+c.want+"'\nprintf '%s %s' \"$version\" \"$suite\"; true", "")
			if strings.TrimLeft(got, "\n") != c.out || code != 0 {
				t.Errorf("%s %s: got %q, %d", c.pkg, c.want, got, code)
			}
		}
		for _, c := range []struct{ pkg, want, text string }{
			{"docker-ce", "26", "no docker-ce 26; the package sources have: 5:29.0.0-1~debian.12~bookworm 5:28.5.2"},
			{"docker-engine", "", "no package docker-engine"},
			{"docker-engine", "28.5.2?", "no package docker-engine"},
		} {
			got, code := r.run(t, "apt_resolve '"+c.pkg+"' '"+c.want+"'", "")
			if code != exitNoPackage || !strings.Contains(got, c.text) {
				t.Errorf("%s %s: got %q, %d", c.pkg, c.want, got, code)
			}
		}
		got, code := r.run(t, "apt_update_said='W: Failed to fetch http://mirror.lan/x  Could not resolve'\napt_resolve nothing ''", "")
		if code != exitMirror || !strings.Contains(got, "http://mirror.lan/x") {
			t.Errorf("got %q, %d", got, code)
		}
	})
}

// recorder appends to a log what a command is asked for.
func recorder(log, name string) string {
	return "printf '%s' " + name + " >>" + log + "\nfor a; do printf ' %s' \"$a\" >>" + log + "; done\necho >>" + log + "\n"
}

func TestPackageManagers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fakes map[string]string // a leading + writes down the calls
		run   string
		want  string // calls
		code  int
		text  string // in the output
	}{
		{
			name: "dnf install", run: "dnf_engine repo docker-ce 28.5.2? fresh up 5",
			fakes: map[string]string{"+dnf": dnfFake, "rpm": "exit 1"},
			want: `dnf -y makecache
dnf -y list --showduplicates docker-ce
dnf -y list --showduplicates docker-buildx-plugin
dnf -y list --showduplicates docker-compose-plugin
dnf -y versionlock list
dnf -y install docker-ce-28.5.2-1.el9 docker-ce-cli-28.5.2-1.el9 containerd.io docker-buildx-plugin
dnf -y versionlock add docker-ce docker-ce-cli containerd.io`,
			text: "note installed docker-ce docker-ce-cli containerd.io 28.5.2-1.el9",
		},
		{
			name: "dnf newest by number", run: "dnf_engine repo docker-ce 28 present up 5",
			fakes: map[string]string{"+dnf": dnfFake, "rpm": "echo 28.5.2-1.el9"},
			want:  "install docker-ce-28.5.10-1.el9 ",
		},
		{
			name: "dnf held", run: "dnf_engine repo docker-ce 28.5.9 present up 5",
			fakes: map[string]string{"+dnf": "case $* in *'versionlock list') echo 'docker-ce-3:28.5.2-1.el9.*' ;; *' install '*) exit 9 ;; esac\n" + dnfFake, "rpm": "echo 28.5.2-1.el9"},
			want: `dnf -y versionlock delete docker-ce docker-ce-cli containerd.io
dnf -y install docker-ce-28.5.9-1.el9 docker-ce-cli-28.5.9-1.el9 containerd.io docker-buildx-plugin
dnf -y versionlock add docker-ce docker-ce-cli containerd.io`,
			code: 9,
		},
		{
			name: "dnf is there", run: "dnf_engine repo docker-ce 28.5.2 present up 5",
			fakes: map[string]string{"+dnf": dnfFake, "rpm": "echo 28.5.2-1.el9"},
			want:  "dnf -y makecache\ndnf -y list --showduplicates docker-ce", text: "is installed",
		},
		{
			name: "dnf older", run: "dnf_engine repo docker-ce 28.5.2 present up 5",
			fakes: map[string]string{"+dnf": dnfFake, "rpm": "echo 29.0.0-1.el9"},
			code:  exitDowngrade, text: "29.0.0-1.el9 is installed",
		},
		{
			name: "dnf older on purpose", run: "dnf_engine repo docker-ce 28.5.2 present any 5",
			fakes: map[string]string{"+dnf": dnfFake, "rpm": "echo 29.0.0-1.el9"},
			want:  "dnf -y downgrade docker-ce-28.5.2-1.el9 ",
		},
		{
			name: "dnf no version", run: "dnf_engine repo docker-ce 30 fresh up 5",
			fakes: map[string]string{"+dnf": dnfFake, "rpm": "exit 1"},
			code:  exitNoPackage, text: "28.5.2-1.el9",
		},
		{
			name: "dnf no mirror", run: "dnf_engine repo docker-ce 28 fresh up 5",
			fakes: map[string]string{"+dnf": "case $* in *makecache*) echo 'Errors during downloading metadata'; echo ' - Curl error (7) for http://x/y'; echo 'Ignoring repositories: docker-ce-stable' ;; esac", "rpm": "exit 1"},
			code:  exitMirror, text: "http://x/y",
		},
		{
			name: "dnf without versionlock", run: "dnf_engine distro docker 25 fresh up 5",
			fakes: map[string]string{"+dnf": "case $* in *versionlock*) exit 1 ;; *list*) echo 'docker.x86_64 25.0.8-1.amzn2023 amazonlinux' ;; esac", "rpm": "exit 1"},
			want:  "install docker-25.0.8-1.amzn2023", text: "is not held",
		},
		{
			name: "zypper install", run: "zypper_engine distro docker '' fresh up 5",
			fakes: map[string]string{"+zypper": zypperFake, "rpm": "exit 1"},
			want: `zypper -q -n refresh
zypper -q -n search -s -x -t package docker
zypper -q -n locks
zypper -n install --no-recommends --no-confirm docker=28.5.1_ce-150000.230.1`,
		},
		{
			name: "zypper older on purpose", run: "zypper_engine distro docker 27 present any 5",
			fakes: map[string]string{"+zypper": zypperFake, "rpm": "echo 28.5.1_ce-150000.230.1"},
			want:  "install --no-recommends --no-confirm --oldpackage docker=27.5.1_ce-150000.218.1\nzypper -q -n addlock docker",
		},
		{
			name: "zypper no package", run: "zypper_engine distro docker '' fresh up 5",
			fakes: map[string]string{"+zypper": "case $* in *search*) exit 104 ;; esac", "rpm": "exit 1"},
			code:  exitNoPackage, text: "no package docker",
		},
		{
			name: "pacman", run: "pacman_engine distro docker '' fresh up 5",
			fakes: map[string]string{"+pacman": "case $1 in -Si) printf 'Name   : docker\\nVersion   : 1:28.5.2-1\\n' ;; esac"},
			want:  "pacman -Sy --noconfirm\npacman -Si docker\npacman -S --needed --noconfirm docker",
		},
		{
			name: "pacman no version", run: "pacman_engine distro docker 27 fresh up 5",
			fakes: map[string]string{"+pacman": "case $1 in -Si) printf 'Version   : 1:28.5.2-1\\n' ;; esac"},
			code:  exitNoPackage, text: "1:28.5.2-1",
		},
		{
			name: "apk", run: "apk_engine distro docker '' fresh up 5",
			fakes: map[string]string{"+apk": apkFake},
			want:  "apk --wait 5 update\napk list -a docker\napk --wait 5 add --upgrade docker",
		},
		{
			name: "apk version", run: "apk_engine distro docker 28 fresh up 5",
			fakes: map[string]string{"+apk": apkFake},
			want:  "apk --wait 5 add docker=28.3.3-r1",
		},
		{
			name: "cloud-init error", run: "wait_cloud_init 5 strict",
			fakes: map[string]string{"cloud-init": "echo 'status: error'; case $* in *long*) echo 'detail: no such module' ;; esac; exit 1"},
			code:  exitCloudInit, text: "no such module",
		},
		{
			name: "cloud-init error of long ago", run: "wait_cloud_init 5 lax",
			fakes: map[string]string{"cloud-init": "echo 'status: error'; exit 1"}, text: "note cloud-init ended with an error",
		},
		{
			name: "cloud-init degraded", run: "wait_cloud_init 5 strict",
			fakes: map[string]string{"cloud-init": "echo 'status: degraded done'; exit 2"}, text: "note cloud-init ended with warnings",
		},
		{
			name: "cloud-init for ever", run: "wait_cloud_init 1 strict",
			fakes: map[string]string{"cloud-init": "echo 'status: running'; exit 0"}, code: exitCloudInit, text: "still running after 1 s",
		},
		{
			name: "cloud-init in time", run: "wait_cloud_init 9 strict",
			fakes: map[string]string{"cloud-init": "f=${0%/*}/n; echo x >>$f; if [ $(wc -l <$f) -lt 3 ]; then echo 'status: running'; else echo 'status: done'; fi"},
			text:  "wait for cloud-init, which is running",
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, words := range shells(t) {
				if _, rpm := c.fakes["rpm"]; rpm && words[0] == "busybox" {
					continue // busybox prefers its own rpm to ours
				}
				r := shell{words: words}
				log := filepath.Join(t.TempDir(), "log")
				fakes := map[string]string{}
				for name, script := range c.fakes {
					if after, ok := strings.CutPrefix(name, "+"); ok {
						name, script = after, recorder(log, after)+script
					}
					fakes[name] = script
				}
				r.fake(t, fakes)
				out, code := r.run(t, c.run, "")
				calls, _ := os.ReadFile(log)
				if code != c.code || !strings.Contains(out, c.text) || !strings.Contains(string(calls), c.want) {
					t.Errorf("%s: got %d\n%s\ncalls:\n%s\nwant %d, %q and\n%s", words[0], code, out, calls, c.code, c.text, c.want)
				}
				if c.code != 0 && c.want == "" && strings.Contains(string(calls), "install ") {
					t.Errorf("%s: installed all the same:\n%s", words[0], calls)
				}
			}
		})
	}
}

const dnfFake = `case $* in
*'list --showduplicates docker-ce')
	echo 'Available Packages'
	for v in 28.5.10 28.5.2 28.5.9 29.0.0; do echo "docker-ce.x86_64      3:$v-1.el9      docker-ce-stable"; done ;;
*'list --showduplicates docker-buildx-plugin') echo 'docker-buildx-plugin.x86_64 0.29.1-1.el9 docker-ce-stable' ;;
*list*) echo 'Error: No matching Packages to list' >&2; exit 1 ;;
esac
`

const zypperFake = `case $* in
*search*) printf '%s\n' '' 'S | Name   | Type    | Version               | Arch   | Repository' '--+--------+---------+-----------------------+--------+-----------' \
	'v | docker | package | 28.5.1_ce-150000.230.1 | x86_64 | Update' '  | docker | package | 27.5.1_ce-150000.218.1 | x86_64 | Update' ;;
esac
`

const apkFake = `case $* in
'list -a docker') printf '%s\n' 'docker-28.3.3-r0 x86_64 {docker} (Apache-2.0)' 'docker-28.3.3-r1 x86_64 {docker} (Apache-2.0)' 'docker-29.0.0-r0 x86_64 {docker} (Apache-2.0)' ;;
esac
`

// An engine whose installation was cut off is installed again from where it came, whatever is on
// the disk of it already.
func TestPlanRepair(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg    string
		source Source
		want   string
	}{
		{"docker.io", SourceAuto, "install docker.io"},
		{"docker.io", SourceKeep, "install docker.io"},
		{"docker-ce", SourceAuto, "install docker-ce"},
		{"docker.io", SourceRepo, "install docker-ce"},
	} {
		f := Facts{
			ID: "debian", VersionID: "13", Codename: "trixie", Arch: "amd64", Packager: "apt-get", RepoListed: true,
			Dockerd: "/usr/sbin/dockerd", Version: "26.1.5", Package: c.pkg, Unfinished: true,
		}
		steps, err := planPackages(f, Engine{Source: c.source})
		if err != nil || len(steps) == 0 || !strings.HasPrefix(steps[len(steps)-1].Name, c.want) {
			t.Errorf("%s, source %q: got %v, %v", c.pkg, c.source, steps, err)
		}
		f.Unfinished = false
		if steps, err := planPackages(f, Engine{}); err != nil || len(steps) != 0 {
			t.Errorf("%s as it should be: got %v, %v", c.pkg, steps, err)
		}
	}
}
