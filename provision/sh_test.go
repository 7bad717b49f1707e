package provision

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScriptsParse(t *testing.T) {
	t.Parallel()
	script := stepsScript("MARK", []Step{{Run: "true", Stdin: []byte("x")}})
	for _, words := range shells(t) {
		c := exec.CommandContext(t.Context(), words[0], append(words[1:], "-n")...)
		c.Stdin = strings.NewReader(script)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", words[0], err, out)
		}
	}
	if _, err := exec.LookPath("shellcheck"); err != nil {
		return
	}
	files, err := filepath.Glob("sh/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	// Each file uses what others set, and ls where no other tool is everywhere.
	out, err := exec.CommandContext(t.Context(), "shellcheck", append([]string{"-s", "sh", "-e", "SC2154,SC2034,SC2012,SC2010"}, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestExitCodes keeps the codes in the scripts and those in Go together.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	died := regexp.MustCompile(`\b(?:die|exit) (7[5-9]|8[0-9])\b`)
	seen := map[string]bool{}
	for name, text := range map[string]string{"base": baseScript, "engine": engineScript, "apt": aptScript, "packages": packagesScript, "install": installScript} {
		for _, m := range died.FindAllStringSubmatch(text, -1) {
			seen[m[1]] = true
			if code, _ := strconv.Atoi(m[1]); sentinelOf(code, "") == nil {
				t.Errorf("%s.sh: nobody knows exit code %s", name, m[1])
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("found only %v", seen)
	}
}

func TestUnitExec(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		for unit, want := range map[string]string{
			"# /lib/systemd/system/docker.service\n[Service]\nExecStart=/usr/bin/dockerd -H fd:// $OPTS\n":                                              "/usr/bin/dockerd -H fd:// $OPTS",
			"# /lib/x/docker.service\nExecStart=/a \\\n  --b=\"c d\" \\\n# comment \\\n  --e %h\nOther=1\n":                                             "/a    --b=\"c d\"    --e %h",
			"# /lib/x/docker.service\nExecStart=/a\n# /etc/x.d/override.conf\nExecStart=\nExecStart=/b\n":                                               "/b",
			"# /lib/x/docker.service\nExecStart=/a\n\n# /etc/systemd/system/docker.service.d/10-machine.conf\n[Service]\nExecStart=\nExecStart=/ours\n": "/a",
			"# /lib/x/docker.service\nExecStart=/a\n# /e/10-machine.conf\nExecStart=/ours\n# /e/50-x.conf\nExecStart=/theirs\n":                         "/theirs",
			"# Unit docker.service is masked.\n": "",
		} {
			r.fake(t, map[string]string{"systemctl": "cat <<'END'\n" + unit + "END\n"})
			if got, code := r.run(t, "unit_exec", ""); strings.TrimSuffix(got, "\n") != want || code != 0 {
				t.Errorf("%s: got %q, %d, want %q", unit, got, code, want)
			}
		}
	})
}

// TestDropInOnHost: what the host composes is what Plan composes once it knows the unit.
func TestDropInOnHost(t *testing.T) {
	if os.Getuid() != 0 {
		// The file's owner is root's to set.
		t.Log("without root only the text is compared")
	}
	eachShell(t, func(t *testing.T, r shell) {
		for _, unit := range []string{"/usr/bin/dockerd -H fd:// $OPTS", "/usr/bin/dockerd --add-runtime oci=/x $OPTS", "/usr/bin/dockerd --host=fd://"} {
			f := Facts{Init: "systemd", Dockerd: "x", ExecStart: unit}
			e := Engine{Options: []string{`log-opt=tag=a "b" $c %d \e`}, Env: []string{"A=b c"}}
			flags, e, err := e.flags()
			if err != nil {
				t.Fatal(err)
			}
			after, err := configure(f, e, flags, false)
			if err != nil {
				t.Fatal(err)
			}
			before, err := configure(Facts{Init: "systemd"}, e, flags, true)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			r.fake(t, map[string]string{"systemctl": "cat <<'END'\n# /x/docker.service\nExecStart=" + unit + "\nEND\n"})
			out, code := r.run(t, "restart_mark="+dir+"/mark\nwrite_drop_in "+dir+"/d/10-machine.conf with-socket", string(before.options))
			got, err := os.ReadFile(dir + "/d/10-machine.conf")
			if err != nil || code != 0 {
				t.Fatalf("%v, %d: %s", err, code, out)
			}
			if diff := cmp.Diff(string(after.options), string(got)); diff != "" {
				t.Error(diff)
			}
			// The same again is no change.
			if err := os.Remove(dir + "/mark"); err != nil {
				t.Fatal(err)
			}
			r.run(t, "restart_mark="+dir+"/mark\nwrite_drop_in "+dir+"/d/10-machine.conf with-socket", string(before.options))
			if _, err := os.Stat(dir + "/mark"); err == nil {
				t.Error("a restart is due though nothing changed")
			}
		}
	})
}

func TestListening(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	eachShell(t, func(t *testing.T, r shell) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		got, code := r.run(t, "port_owner "+port, "")
		if want := "(pid " + strconv.Itoa(os.Getpid()) + ")"; code != 0 || !strings.Contains(got, want) {
			t.Errorf("got %q, %d, want %s", got, code, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got, code := r.run(t, "listening "+port, ""); code == 0 {
			t.Errorf("nobody listens, got %q", got)
		}
	})
}

func TestFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, "content")
		case "/empty":
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		default:
			http.Error(w, "page that says not found", http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	eachShell(t, func(t *testing.T, r shell) {
		file := filepath.Join(t.TempDir(), "file")
		for path, want := range map[string]string{"/ok": "content", "/moved": "content", "/empty": "", "/none": ""} {
			_, code := r.run(t, "fetch "+server.URL+path+" "+file, "")
			data, _ := os.ReadFile(file)
			if (code == 0) != (want != "") || code == 0 && string(data) != want {
				t.Errorf("%s: got %d, %q", path, code, data)
			}
		}
	})
}

func TestWanted(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		for _, c := range []struct {
			version, want string
			ok            bool
		}{
			{"5:28.5.2-1~debian.12~bookworm", "28.5.2", true},
			{"5:28.5.2-1~debian.12~bookworm", "28", true},
			{"5:28.5.2-1~debian.12~bookworm", "5:28.5.2-1~debian.12~bookworm", true},
			{"5:28.5.2-1~debian.12~bookworm", "5:28.5.2-1~debian.11~bullseye", false},
			{"20.10.24+dfsg1-1+deb12u1+b6", "20.10.24", true},
			{"28.5.1_ce-150000.1", "28.5", true},
			{"28.5.2-1.el9", "2", false},
			{"28.5.2-1.el9", "28.5.22", false},
		} {
			if _, code := r.run(t, "wanted '"+c.version+"' '"+c.want+"'", ""); (code == 0) != c.ok {
				t.Errorf("wanted %s %s: %d", c.version, c.want, code)
			}
		}
	})
}

func TestOpenRCOptions(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		flags := []string{"-H", "tcp://0.0.0.0:2376", `--log-opt=tag=it's "$HOME" \ $(id) %x`, "--a=*"}
		file := service{flags: flags, env: []string{`A=b'c" $d \ e`}}.openRC([]byte("DOCKER_OPTS=\"--theirs\"\n# a comment"))
		// OpenRC reads the file and evaluates what it starts.
		got, code := r.run(t, string(file)+"\neval \"set -- $DOCKER_OPTS\"\nprintf '<%s>' \"$@\" \"$A\"; true", "")
		want := "<--theirs><" + strings.Join(flags, "><") + "><" + `b'c" $d \ e` + ">"
		if got != want || code != 0 {
			t.Errorf("%d:\ngot  %s\nwant %s", code, got, want)
		}
		if again := (service{flags: flags, env: []string{`A=b'c" $d \ e`}}).openRC(file); string(again) != string(file) {
			t.Errorf("a second time it is another: %s", again)
		}
		if without := (service{}).openRC(file); string(without) != "DOCKER_OPTS=\"--theirs\"\n# a comment\n" {
			t.Errorf("without ours: %q", without)
		}
	})
}

func TestUseProxies(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		got, code := r.run(t, "{ use_proxies\nsh -c 'printf \"%s|%s\" \"$http_proxy\" \"$no_proxy\"'; }", "http_proxy=http://u:p=w $x@lan:1\nno_proxy=a,b\n")
		if got != "http://u:p=w $x@lan:1|a,b" || code != 0 {
			t.Errorf("got %q, %d", got, code)
		}
	})
}

// A package that dpkg is putting in place owns no file yet, and its engine is
// not to be taken for one that somebody brought along.
func TestProbeCutOff(t *testing.T) {
	functions, _, _ := strings.Cut(probeScript, "\n# probe_unit:")
	eachShell(t, func(t *testing.T, r shell) {
		for state, want := range map[string]string{
			"half-installed": "package=docker.io\npackage-version=26.1.5\nunfinished=yes\n",
			"not-installed":  "",
		} {
			r.fake(t, map[string]string{"dpkg-query": `case $* in
-S*) exit 1 ;;
*docker-ce*) echo ` + state + ` docker.io && echo not-installed docker-ce ;;
*) echo install ` + state + ` 26.1.5 ;;
esac`})
			script := functions + `
has() { [ "$1" = dpkg-query ]; }
say() { [ -z "$2" ] || echo "$1=$2"; }
dockerd=/usr/sbin/dockerd
probe_package
cat`
			if out, code := r.run(t, script, ""); out != want || code != 0 {
				t.Errorf("%s: got %q, %d, want %q", state, out, code, want)
			}
		}
	})
}
