package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func shells() []string {
	return []string{"bash", "fish", "cmd", "powershell", "tcsh", "emacs"}
}

// TestShellGolden: harmless values look as docker-machine wrote them, byte by byte.
func TestShellGolden(t *testing.T) {
	t.Parallel()
	set := []setting{
		{name: "DOCKER_TLS_VERIFY", value: "1"},
		{name: "DOCKER_HOST", value: "tcp://192.168.99.100:2376"},
		{name: "DOCKER_CERT_PATH", value: "/home/u/.docker/machine/machines/dev box"},
		{name: "DOCKER_MACHINE_NAME", value: "dev"},
	}
	var unset []setting
	for _, s := range set {
		unset = append(unset, setting{name: s.name, unset: true})
	}
	for _, name := range shells() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got strings.Builder
			for _, settings := range [][]setting{set, unset} {
				out, err := shellOf(name).script(settings, []string{"docker-machine", "env", "--shell=" + name, "dev"})
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString(out)
			}
			golden(t, filepath.Join("testdata", "env", name+".golden"), got.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got\n%s", file, diff)
	}
}

func TestShellOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/bin/bash": "export K=", "zsh": "export K=", "sh": "export K=", "/usr/bin/fish": "set -gx K ", "no-such-shell": "export K=",
		"": "export K=", `C:\Windows\System32\cmd.exe`: "SET K=", "PowerShell.exe": "$Env:K = ", "pwsh": "$Env:K = ", "/bin/tcsh": "setenv K ",
		"emacs": `(setenv "K" `,
	} {
		got, err := shellOf(name).set("K", "v")
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("shell %q: %q (%v), want %q...", name, got, err, want)
		}
	}
}

// TestShellEvaluates: the command that is advised does what each line says, also where it makes one line of all.
func TestShellEvaluates(t *testing.T) {
	t.Parallel()
	settings := []setting{{name: "K1", unset: true}, {name: "K2", value: "ssh://u@h:22"}, {name: "K3", unset: true}, {name: "K4", value: "m"}}
	out, err := shellOf("bash").script(settings, []string{"machine", "env", "m"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh here")
	}
	for _, advised := range []string{`eval $(cat)`, `eval "$(cat)"`} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", advised+`; echo "${K1-unset} $K2 ${K3-unset} $K4"`)
		cmd.Env = append(os.Environ(), "K1=before", "K3=before")
		cmd.Stdin = strings.NewReader(out)
		got, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(got)) != "unset ssh://u@h:22 unset m" {
			t.Errorf("%s: %q (%v)", advised, got, err)
		}
	}
}

// TestShellEscapes: what shells that are not here would do with a value, by their rules.
func TestShellEscapes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ shell, value, want string }{
		{"bash", `C:\Users\me`, `export K="C:\Users\me"`},
		{"bash", `a\`, `export K="a\\"`},
		{"bash", `a\\b`, `export K="a\\\b"`},
		{"bash", "$(id)`id`\"", "export K=\"\\$(id)\\`id\\`\\\"\""},
		{"bash", `a\$b`, `export K="a\\\$b"`},
		{"bash", `a*`, `export K="a$(printf '\052')"`},
		{"bash", `a\*`, `export K="a\\$(printf '\052')"`},
		{"fish", `a"$b\`, `set -gx K "a\"\$b\\";`},
		{"fish", `C:\x`, `set -gx K "C:\x";`},
		{"powershell", "a\"$(id)`b", "$Env:K = \"a`\"`$(id)``b\""},
		{"powershell", "a\u201d; id", "$Env:K = \"a`\u201d; id\""},
		{"powershell", "a\nid", "$Env:K = \"a`nid\""},
		{"tcsh", "a$b`c`!d\"e", `setenv K "a"\$"b"\` + "`" + `"c"\` + "`" + `""\!"d"\""e";`},
		{"emacs", `a"b\`, `(setenv "K" "a\"b\\")`},
		{"cmd", `a&b|c`, `SET "K=a&b|c"`},
		{"cmd", `C:\Users\me you`, `SET K=C:\Users\me you`},
	} {
		got, err := shellOf(tt.shell).set("K", tt.value)
		if err != nil || got != tt.want {
			t.Errorf("%s %q: %s (%v), want %s", tt.shell, tt.value, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ shell, value string }{{"cmd", `a"b`}, {"cmd", "a\nb"}, {"cmd", "%PATH%"}, {"tcsh", "a\nb"}} {
		if got, err := shellOf(tt.shell).set("K", tt.value); err == nil {
			t.Errorf("%s %q: %s, want an error", tt.shell, tt.value, got)
		}
	}
}

// TestShellHint: the command in the comment cannot leave it.
func TestShellHint(t *testing.T) {
	t.Parallel()
	for _, name := range shells() {
		out, err := shellOf(name).script(nil, []string{"machine", "--storage-path", "/tmp/x\nrm -rf /\r\u2028`id`$(id)'; id", "env"})
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out, "\n"); lines != 2 || strings.ContainsAny(out, "\r\u2028") {
			t.Errorf("%s: %d lines in %q, want 2", name, lines, out)
		}
	}
	out, err := shellOf("sh").script(nil, []string{"/opt/my tools/machine", "env", "x"})
	if err != nil || !strings.HasSuffix(out, "# eval $('/opt/my tools/machine' env x)\n") {
		t.Errorf("program with a blank in its path: %q, %v", out, err)
	}
}

// roundTrip evaluates the output of env with a real shell and returns the values it sets.
func roundTrip(t *testing.T, shell string, args []string, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shell, append(args, line)...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "LC_ALL=C.UTF-8"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", shell, err, stderr.String(), line)
	}
	return string(out)
}

// hostile are values that would do harm if a shell took them for more than text.
func hostile() []string {
	return []string{
		"plain", "with blank", "two  blanks", " around ", "", "a'b", `a"b`, `a\`, `a\\`, `\`, `\\`, `a\"b`, `"`, "`touch pwned`", "$(touch pwned)", "${HOME}", "$HOME",
		"a;touch pwned", "a&touch pwned", "a|touch pwned", "*", "[a-z]*", "?", "~", "!!", "a!b", "#x", "a\tb", "é ü", `\*`, `\$x`, "%s", "-n", "a=b", "{a,b}", "(a)", "<x", ">pwned",
		`C:\Users\me\x`, "\\`x", "\"; touch pwned; \"",
	}
}

func TestBourneRoundTrip(t *testing.T) {
	t.Parallel()
	for _, sh := range []string{"sh", "bash", "zsh", "dash"} {
		path, err := exec.LookPath(sh)
		if err != nil {
			t.Logf("no %s here", sh)
			continue
		}
		t.Run(sh, func(t *testing.T) {
			t.Parallel()
			for _, value := range hostile() {
				checkBourne(t, path, value)
			}
		})
	}
}

// checkBourne evaluates as people do, with and without quotes around $(...), in a folder full of
// files that patterns may find.
func checkBourne(t *testing.T, sh, value string) {
	t.Helper()
	out, err := shellOf("sh").script([]setting{{name: "A", value: "1"}, {name: "K", value: value}}, []string{"machine", "env", "x"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, eval := range []string{`eval "$(cat '` + file + `')"`, `eval $(cat '` + file + `')`} {
		if strings.Contains(value, "\n") && !strings.Contains(eval, `"`) {
			continue // a line break becomes a blank there, whoever writes it
		}
		got := roundTrip(t, sh, []string{"-c"}, "touch a b abc; "+eval+`; printf %s "$K"; [ "$A" = 1 ] && [ ! -e pwned ] || printf ' BROKEN'`)
		if got != value {
			t.Errorf("%s: %s gives %q, want %q\n%s", filepath.Base(sh), eval, got, value, out)
		}
	}
}

func TestFishRoundTrip(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("no fish here")
	}
	for _, value := range hostile() {
		line, err := shellOf("fish").set("K", value)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := roundTrip(t, path, []string{"-c"}, "eval (cat '"+file+"'); printf %s $K; test -e pwned; and printf ' BROKEN'; true"); got != value {
			t.Errorf("%q comes back as %q from %s", value, got, line)
		}
	}
}

func TestTcshRoundTrip(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("tcsh")
	if err != nil {
		t.Skip("no tcsh here")
	}
	for _, value := range hostile() {
		line, err := shellOf("tcsh").set("K", value)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := roundTrip(t, path, []string{"-f", "-c"}, "eval \"`cat "+file+"`\"; printenv K; if (-e pwned) echo BROKEN")
		if got != value+"\n" {
			t.Errorf("%q comes back as %q from %s", value, got, line)
		}
		// Without quotes tcsh takes patterns and blanks for its own; nothing worse may happen.
		got = roundTrip(t, path, []string{"-f", "-c"}, "set nonomatch; eval `cat "+file+"`; if (-e pwned) echo BROKEN; true")
		if got != "" {
			t.Errorf("%q without quotes: %q from %s", value, got, line)
		}
	}
}

// FuzzBourne evaluates arbitrary values with a real sh.
func FuzzBourne(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		f.Skip("no sh here")
	}
	for _, v := range hostile() {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\x00\r\n") {
			t.Skip("cannot be in a path that a shell hands on")
		}
		checkBourne(t, sh, value)
	})
}
