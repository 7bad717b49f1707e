package provision

import (
	"strings"
	"testing"
)

// TestCandidate asks each package manager for the newest version and for that of a prefix.
func TestCandidate(t *testing.T) {
	refused := map[string]string{
		"apt-get": "echo 'E: Failed to fetch http://mirror.lan/x  Could not resolve'; exit 100", "dnf": "exit 1", "zypper": "exit 1", "apk": "exit 1", "pacman": "exit 1",
	}
	for _, c := range []struct {
		tool, has string
		fakes     map[string]string
		pkg, want string
		out       string
	}{
		{"apt-get", "dpkg-query", map[string]string{"apt-get": "", "apt-cache": aptCache}, "docker-ce", "", "5:28.5.2-1~debian.12~bookworm"},
		{"apt-get", "dpkg-query", map[string]string{"apt-get": "", "apt-cache": aptCache}, "docker-ce", "27", "5:27.5.1-1~debian.12~bookworm"},
		{"apt-get", "dpkg-query", map[string]string{"apt-get": "", "apt-cache": aptCache}, "docker-ce", "26", ""},
		{"dnf", "dnf", map[string]string{"dnf": dnfFake}, "docker-ce", "", "29.0.0-1.el9"},
		{"dnf", "dnf", map[string]string{"dnf": dnfFake}, "docker-ce", "28", "28.5.10-1.el9"},
		{"zypper", "zypper", map[string]string{"zypper": zypperFake}, "docker", "", "28.5.1_ce-150000.230.1"},
		{"apk", "apk", map[string]string{"apk": apkFake}, "docker", "28", "28.3.3-r1"},
		{"pacman", "pacman", map[string]string{"pacman": "case $1 in -Si) echo 'Version         : 1:28.5.2-1' ;; esac"}, "docker", "", "1:28.5.2-1"},
	} {
		t.Run(c.tool+" "+c.want, func(t *testing.T) {
			eachShell(t, func(t *testing.T, r shell) {
				script := candidateScript + "\nhas() { [ \"$1\" = " + c.has + " ] || [ \"$1\" = " + c.tool + " ]; }\nsleep() { :; }\n" +
					"echo \"<$(candidate " + c.pkg + " '" + c.want + "')>\"; cat"
				r.fake(t, c.fakes)
				if out, code := r.run(t, script, ""); strings.TrimSpace(out) != "<"+c.out+">" || code != 0 {
					t.Errorf("got %q, %d, want %q", out, code, c.out)
				}
				// Lists that cannot be read anew tell nothing.
				r.fake(t, map[string]string{c.tool: refused[c.tool], "apt-cache": aptCache})
				if out, code := r.run(t, script, ""); strings.TrimSpace(out) != "<>" || code != 0 {
					t.Errorf("unreachable: got %q, %d", out, code)
				}
			})
		})
	}
}

func TestProbeReadsPackageListsForAnUpgradeAlone(t *testing.T) {
	t.Parallel()
	for want, e := range map[string][]Engine{
		"upgrade=no\n":        {{}, {Version: "28"}, {Upgrade: true, Version: "28.5.2"}, {Upgrade: true, InstallURL: "https://x/y"}},
		"upgrade=yes want=":   {{Upgrade: true}, {Upgrade: true, Version: "28"}},
		"upgrade=yes want=''": {{Upgrade: true}},
	} {
		for _, e := range e {
			if got := e.probeUpgrade(); !strings.HasPrefix(got, want) {
				t.Errorf("%+v: %q", e, got)
			}
		}
	}
}

func TestPlanOfAnUpgradeToWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		candidate string
		listed    bool
		e         Engine
		steps     bool
	}{
		{"nothing newer", "5:28.5.2-1", true, Engine{Upgrade: true}, false},
		{"nothing newer of the prefix", "5:28.5.2-1", true, Engine{Upgrade: true, Version: "28"}, false},
		{"newer", "5:29.0.0-1", true, Engine{Upgrade: true}, true},
		{"another build", "5:28.5.2-2", true, Engine{Upgrade: true}, true},
		{"not known", "", true, Engine{Upgrade: true}, true},
		{"from another source", "5:28.5.2-1", true, Engine{Upgrade: true, Source: SourceDistro}, true},
		{"without the repository", "5:28.5.2-1", false, Engine{Upgrade: true}, true},
		{"another prefix", "5:28.5.2-1", true, Engine{Upgrade: true, Version: "29"}, true},
	} {
		f := host(t, "debian", withEngine("docker-ce", "28.5.2", debianUnit))
		f.PackageVersion, f.Candidate, f.RepoListed = "5:28.5.2-1", c.candidate, c.listed
		steps, err := planPackages(f, c.e)
		if err != nil || len(steps) > 0 != c.steps {
			t.Errorf("%s: %v, %v", c.name, steps, err)
		}
	}
}
