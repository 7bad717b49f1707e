package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/drivers"
)

// testParser knows a small program.
func testParser() *parser {
	return &parser{
		app: "machine",
		globals: []cli.Flag{
			&cli.BoolFlag{Name: "debug", Aliases: []string{"D"}},
			&cli.StringFlag{Name: "storage-path", Aliases: []string{"s"}},
			&cli.BoolFlag{Name: "quiet"},
		},
		commands: []*cli.Command{
			{Name: "ls", Flags: []cli.Flag{
				&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}},
				&cli.StringSliceFlag{Name: "filter"},
				&cli.StringFlag{Name: "format", Aliases: []string{"f"}},
			}},
			{Name: "rm", Flags: []cli.Flag{
				&cli.BoolFlag{Name: "force", Aliases: []string{"f"}},
				&cli.BoolFlag{Name: "y"},
				&cli.GenericFlag{Name: "raw", Value: &rawValue{drivers.Option{Kind: drivers.Bool}}},
				&cli.GenericFlag{Name: "text", Value: &rawValue{}},
			}},
			{Name: "ssh"},
			{Name: "swarm", Subcommands: []*cli.Command{{Name: "ls"}, {Name: "token", Subcommands: []*cli.Command{{Name: "rotate"}}}}},
		},
		rawAfter: rawAfter,
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{"", "machine --"},
		{"ls", "machine ls --"},
		{"--debug ls", "machine --debug=true ls --"},
		{"-D -s /x ls", "machine --debug=true --storage-path=/x ls --"},
		{"-storage-path=/x ls", "machine --storage-path=/x ls --"},
		{"ls --debug", "machine --debug=true ls --"},
		{"--quiet ls", "machine --quiet=true ls --"},
		{"ls --quiet", "machine ls --quiet=true --"}, // the command's own comes first
		{"ls -q", "machine ls --quiet=true --"},
		{"ls --q", "machine ls --quiet=true --"},
		{"ls --filter a=b --filter=c=d -filter e", "machine ls --filter=a=b --filter=c=d --filter=e --"},
		{"ls --format -x", "machine ls --format=-x --"},
		{"ls --format=", "machine ls --format= --"},
		{"rm a -f b", "machine rm --force=true -- a b"},
		{"rm a  --f", "machine rm --force=true -- a"},
		{"rm --force=false a", "machine rm --force=false -- a"},
		{"rm -fy a", "machine rm --force=true --y=true -- a"},
		{"rm a -- -f", "machine rm -- a -f"},
		{"rm -- -- a", "machine rm -- -- a"},
		{"rm -", "machine rm -- -"},
		{"rm --raw a --text -y", "machine rm --raw=true --text=-y -- a"},
		{"ssh m ls -la --debug", "machine ssh -- m ls -la --debug"},
		{"ssh m -- x", "machine ssh -- m -- x"},
		{"ssh --debug m -D", "machine --debug=true ssh -- m -D"},
		{"ssh -- x -y", "machine ssh -- x -y"},
		{"swarm ls", "machine swarm ls --"},
		{"swarm token rotate s", "machine swarm token rotate -- s"},
		{"--debug swarm --debug token rotate", "machine --debug=true --debug=true swarm token rotate --"},
	} {
		inv, err := testParser().parse(strings.Fields(tt.line))
		if err != nil {
			t.Errorf("%q: %v", tt.line, err)
			continue
		}
		if got := strings.TrimRight(strings.Join(inv.line("machine"), " "), " "); got != tt.want {
			t.Errorf("%q\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func TestParseDashes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{"rm a b": -1, "rm a -- b": 1, "rm -- b": 0, "rm a b --": 2, "ssh m -- b": -1, "ssh -- b": 0} {
		inv, err := testParser().parse(strings.Fields(line))
		if err != nil || inv.rest != want {
			t.Errorf("%q: words after -- begin at %d (%v), want %d", line, inv.rest, err, want)
		}
	}
}

func TestParseHelp(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"": false, "-h": true, "--help": true, "ls -h": true, "ls --help --bogus": true, "ssh -help": true,
		"ssh m --help": false, "rm -- --help": false, "swarm token --help": true,
	} {
		inv, _ := testParser().parse(strings.Fields(line))
		if inv.help != want {
			t.Errorf("%q: help is %v, want %v", line, inv.help, want)
		}
	}
}

func TestParseRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want, hint string }{
		{"lsl", "machine: 'lsl' is not a machine command. See 'machine --help'.", "did you mean machine ls?"},
		{"zzz", "machine: 'zzz' is not a machine command. See 'machine --help'.", ""},
		{"swarm lss", "machine: 'lss' is not a machine swarm command. See 'machine swarm --help'.", "did you mean machine swarm ls?"},
		{"-- ls", "machine: 'ls' is not a machine command. See 'machine --help'.", "did you mean machine ls?"},
		{"ls --fitler x", "flag provided but not defined: --fitler", "did you mean --filter? See 'machine ls --help'"},
		{"ls --fitler=secret", "flag provided but not defined: --fitler", "did you mean --filter? See 'machine ls --help'"},
		{"rm -fz", "flag provided but not defined: -fz", "see 'machine rm --help'"},
		{"--filter x ls", "flag provided but not defined: --filter", "see 'machine --help'"},
		{"ls --filter", "flag needs an argument: --filter", "see 'machine ls --help'"},
		{"-s", "flag needs an argument: -s", "see 'machine --help'"},
	} {
		_, err := testParser().parse(strings.Fields(tt.line))
		u, ok := err.(*usageError) //nolint:errorlint // the parser's own
		if !ok {
			t.Errorf("%q: error %v, want a usage error", tt.line, err)
			continue
		}
		if diff := cmp.Diff([]string{tt.want, tt.hint}, []string{u.text, u.advice}); diff != "" {
			t.Errorf("%q: -want +got\n%s", tt.line, diff)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"start", "stop", "status", "restart", "ls", "regenerate-certs"}
	for word, want := range map[string]string{
		"strat": "start", "stpo": "stop", "lls": "ls", "re": "restart", "regenerate": "regenerate-certs", "qqqqqq": "", "": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// FuzzParse: whatever is typed, nothing is lost, invented or reordered, and what the parser
// understood once it understands again in its own form.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"ls -q --filter a=b", "rm a -fy -- -b", "ssh m -- -L 1:2:3 x", "--debug swarm token rotate", "rm --text=--force a", "-- x", "ls --", "rm - --raw=false",
	} {
		f.Add(strings.ReplaceAll(line, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\x00")
		inv, err := testParser().parse(words)
		if err != nil || inv.help {
			return
		}
		for _, arg := range inv.args {
			if !slices.Contains(words, arg) {
				t.Fatalf("%q: argument %q was not typed", words, arg)
			}
		}
		again, err := testParser().parse(inv.line("machine")[1:])
		if err != nil {
			t.Fatalf("%q became %q: %v", words, inv.line("machine"), err)
		}
		if diff := cmp.Diff(inv.line("machine"), again.line("machine")); diff != "" && inv.command() != nil && inv.command().Name != "ssh" {
			t.Fatalf("%q is not stable: -once +twice\n%s", words, diff)
		}
	})
}
