package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"alpha", "beta"} {
		if r := inProcess(t, root, "create", "-d", "none", "--url", "tcp://127.0.0.1:1", name); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	for _, tt := range []struct{ line, want string }{ // a final blank begins a new word
		{"st", "start status stop store"},
		{"swarm ini", "init"},
		{"swarm exec l", "leader"},
		{"swarm token ", "rotate"},
		{"swarm status ", "alpha beta"},
		{"swarm token rotate --role ", "manager worker"},
		{"help sta", "start status"},
		{"completion ", "bash zsh fish powershell"},
		{"ip ", "alpha beta"},
		{"ip b", "beta"},
		{"ip beta ", "alpha"},
		{"env --swarm ", "alpha beta"},
		{"scp a", "alpha:"},
		{"create ", ""},
		{"create -d ", "none fake pretend"},
		{"create --driver f", "fake"},
		{"gc ", ""},
		{"gc -d p", "pretend"},
		{"create -d none --u", "--url --userdata"},
		{"create -d fake --fake-si", "--fake-size"},
		{"create -d fake --fake-size ", "small large"},
		{"create -d fake --fake-size s", "small"},
		{"create -d fake --fake-address ", ""},
		{"create --fake-", ""},
		{"create --swarm-a", "--swarm-advertise-addr --swarm-availability"},
		{"create --swarm-availability ", "active drain"},
		{"--debug --storage-path /x ls --fil", "--filter"},
		{"ls --filter s", "state= swarm="},
		{"ls --filter r", ""},
		{"swarm drain --filter r", "role=manager role=worker"},
		{"ls --filter d", "driver=none driver=fake driver=pretend driver="},
		{"ls --output ", "text json"},
		{"--progress p", "plain"},
		{"env --shell f", "fish"},
		{"ssh a", "alpha"},
		{"ssh alpha l", ""},
		{"import ", ""},
		{"adopt ", ""},
		{"adopt --tls ", "on off"},
		{"adopt --engine i", "install"},
		{"export --re", "--recipient --recipients-file --reference"},
		{"migrate ", "alpha beta"},
		{"store copy ", ""},
		{"store recipients rm ", ""},
		{"plugin list ", ""},
		{"plugin link ", ""},
		{"plugin link dir f", "fake"},
		{"bogus ", ""},
	} {
		words := strings.Split(tt.line, " ")
		r := inProcess(t, root, append([]string{"__complete", "--"}, words...)...)
		got := strings.Fields(r.stdout)
		if r.code != 0 || !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%q: %v (exit code %d %s), want %s", tt.line, got, r.code, r.stderr, tt.want)
		}
	}
}
