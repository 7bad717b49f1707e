package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// result is what a run in this process left.
type result struct {
	code           int
	stdout, stderr string
}

// inProcess runs the program with a store of its own.
func inProcess(t *testing.T, root string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), append([]string{"/usr/local/bin/machine"}, args...), Env{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv:  func(name string) string { return map[string]string{"MACHINE_STORAGE_PATH": root}[name] },
		Drivers: testDrivers(), Version: "1.2.3", Commit: "abc1234", Now: time.Now,
	})
	return result{code, stdout.String(), stderr.String()}
}

// TestUsage: every command explains itself, refuses what it does not know with exit code 2, and
// neither of that makes a store.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line string
		code int
		says string // in help on stdout, in a refusal on stderr
	}{
		{"active --help", 0, "Usage: machine active [OPTIONS]\n"},
		{"active --bogus", 2, "flag provided but not defined: --bogus"},
		{"active x", 2, "Too many arguments given"},
		{"config --help", 0, "--swarm"},
		{"config --bogus", 2, "flag provided but not defined"},
		{"create --help", 0, "Drivers:\n  none"},
		{"create --bogus", 2, "flag provided but not defined"},
		{"create", 2, "No machine name specified"},
		{"env --help", 0, "--no-proxy"},
		{"env --bogus", 2, "flag provided but not defined"},
		{"env -u x", 2, "Expected no machine name when the -u flag is present"},
		{"exec --help", 0, "255 stands for no connection"},
		{"exec --bogus", 2, "flag provided but not defined"},
		{"exec m1", 2, "no command given"},
		{"exec m1 --", 2, "no command given"},
		{"exec -- x", 2, "no machines given"},
		{"exec --all m1 -- x", 2, "do not go with --all"},
		{"inspect --help", 0, "prettyjson"},
		{"inspect --bogus", 2, "flag provided but not defined"},
		{"ip --help", 0, "in the order of the names"},
		{"ip --bogus", 2, "flag provided but not defined"},
		{"ip", 2, `No machine name(s) specified and no "default" machine exists`},
		{"kill --help", 0, "like pulling the plug"},
		{"kill --bogus", 2, "flag provided but not defined"},
		{"ls --help", 0, "ResponseTime"},
		{"ls --bogus", 2, "flag provided but not defined"},
		{"ls x", 2, "ls takes no arguments"},
		{"ls --output yaml", 2, "want text or json"},
		{"mount --help", 0, "sshfs"},
		{"mount --bogus", 2, "flag provided but not defined"},
		{"mount", 2, "Improper number of arguments"},
		{"provision --help", 0, "--dry-run"},
		{"provision --bogus", 2, "flag provided but not defined"},
		{"regenerate-certs --help", 0, "--rotate-ca"},
		{"regenerate-certs --bogus", 2, "flag provided but not defined"},
		{"restart --help", 0, "Members of one swarm"},
		{"restart --bogus", 2, "flag provided but not defined"},
		{"rm --help", 0, "--force"},
		{"rm --bogus", 2, "flag provided but not defined"},
		{"rm", 2, "Expected to get one or more machine names as arguments"},
		{"scp --help", 0, "--delta"},
		{"scp --bogus", 2, "flag provided but not defined"},
		{"scp a", 2, "Improper number of arguments"},
		{"scp a b", 2, "neither path is on a machine"},
		{"scp -d a:x b:y", 2, "rsync does not copy from machine to machine"},
		{"ssh --help", 0, "255 if there was no connection"},
		{"ssh --bogus", 2, "flag provided but not defined"},
		{"start --help", 0, "Usage: machine start [NAME...]"},
		{"start --bogus", 2, "flag provided but not defined"},
		{"status --help", 0, "Stopping"},
		{"status --bogus", 2, "flag provided but not defined"},
		{"status a b", 2, "Expected one machine name as an argument"},
		{"stop --help", 0, "Usage: machine stop [NAME...]"},
		{"stop --bogus", 2, "flag provided but not defined"},
		{"upgrade --help", 0, "--engine-version"},
		{"upgrade --bogus", 2, "flag provided but not defined"},
		{"url --help", 0, "Usage: machine url [NAME]"},
		{"url --bogus", 2, "flag provided but not defined"},
		{"version --help", 0, "Usage: machine version [NAME]"},
		{"version --bogus", 2, "flag provided but not defined"},
		{"version a b", 2, "Expected one machine name as an argument"},
		{"swarm --help", 0, "  token"},
		{"swarm", 2, "no subcommand given"},
		{"swarm init --help", 0, "--default-addr-pool"},
		{"swarm init", 2, "no machine name specified"},
		{"swarm init --availability pause m", 2, "want active or drain"},
		{"swarm init --node-label x m", 2, "want KEY=VALUE"},
		{"swarm init --subnet-size 99 m", 2, "want 1 to 32"},
		{"swarm init --data-path-port 80 m", 2, "--data-path-port 80: want 1024 to 49151"},
		{"swarm init --swarm-data-path-port 49152 m", 2, "want 1024 to 49151"},
		{"swarm init --data-path-port 7946 m", 2, "speak to each other at that port"},
		{"swarm init --data-path-port -1 m", 2, "want 1024 to 49151"},
		{"swarm init --data-path-port x m", 2, "data-path-port"},
		{"swarm join --help", 0, "--manager"},
		{"swarm join", 2, "no machine name specified"},
		{"swarm join --default-addr-pool 10.0.0.0/8 m1", 2, "given to swarm init"},
		{"swarm init --help", 0, "--discovery"},
		{"swarm init --classic --strategy pack m1", 1, "m1"},
		{"swarm init --classic --availability drain m1", 2, "--availability is an option of Swarm mode"},
		{"swarm join --discovery 1234 m1", 2, "Swarm Discovery URL was in the wrong format: 1234"},
		{"swarm create --help", 0, "docker run swarm create"},
		{"swarm create x", 2, "expected no argument"},
		{"swarm list --help", 0, "docker run swarm list"},
		{"swarm list", 2, "expected a discovery URL"},
		{"swarm list prod", 1, "there is no classic swarm"},
		{"swarm list token://x", 1, "known to the discovery service only"},
		{"swarm leave --help", 0, "quorum"},
		{"swarm leave", 2, "no machine name specified"},
		{"swarm ls --help", 0, "Usage: machine swarm ls [OPTIONS]"},
		{"swarm ls --bogus", 2, "flag provided but not defined"},
		{"swarm status --help", 0, "[SWARM|NAME]"},
		{"swarm status a b", 2, "expected one swarm or machine name"},
		{"swarm status", 1, "Reason: SWARM_UNKNOWN"},
		{"swarm token", 2, "no subcommand given"},
		{"swarm token rotate --help", 0, "--role ROLE"},
		{"swarm token rotate --role x", 2, "want manager or worker"},
		{"swarm token rotate a b", 2, "expected one swarm or machine name"},
		{"completion --help", 0, "source <(machine completion bash)"},
		{"completion", 2, "name one shell"},
		{"completion ksh", 2, `no completion for shell "ksh"`},
		{"help", 0, "Usage: machine [OPTIONS] COMMAND"},
		{"help swarm init", 0, "Usage: machine swarm init"},
		{"help bogus", 2, "'bogus' is not a machine command"},
		{"docs", 2, "name the folder"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "store")
			r := inProcess(t, root, strings.Fields(tt.line)...)
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", r.code, tt.code, r.stdout, r.stderr)
			}
			text, other := r.stdout, r.stderr
			if tt.code != 0 {
				text, other = r.stderr, ""
			}
			if !strings.Contains(unwrapped(text), unwrapped(tt.says)) || other != "" {
				t.Errorf("%q is not said\nstdout: %s\nstderr: %s", tt.says, r.stdout, r.stderr)
			}
			if exist(root) {
				t.Error("it made a store")
			}
		})
	}
}

// unwrapped is a text without regard to where its lines break.
func unwrapped(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestHelpIsComplete: no command is without help, and nothing in it is wider than it
// says.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	a := &app{Env: Env{Drivers: testDrivers()}, name: "machine"}
	for _, c := range a.commands("") {
		r := inProcess(t, t.TempDir(), c.Name, "--help")
		if r.code != 0 || !strings.HasPrefix(r.stdout, "Usage: machine "+c.Name) || c.Usage == "" {
			t.Errorf("help on %s: %d\n%s%s", c.Name, r.code, r.stdout, r.stderr)
		}
		for line := range strings.Lines(r.stdout) {
			if len(line) > helpWidth+len("\n") {
				t.Errorf("%s: a line of %d characters: %s", c.Name, len(line), line)
			}
		}
	}
}

// TestSwarmLs: nothing is there in either form.
func TestSwarmLs(t *testing.T) {
	t.Parallel()
	if r := inProcess(t, t.TempDir(), "swarm", "ls"); r.stdout != "NAME   KIND   ID   MANAGERS   WORKERS\n" {
		t.Errorf("swarm ls prints %q", r.stdout)
	}
	if r := inProcess(t, t.TempDir(), "swarm", "ls", "--output", "json"); r.stdout != "[]\n" {
		t.Errorf("swarm ls --output json prints %q", r.stdout)
	}
}
