package all_test

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/all"
)

//go:embed testdata/docker-machine-options.txt
var dockerMachineOptions string

// TestOptionsOfDockerMachine: each option that a driver had in docker-machine is there, of the same kind and with
// the same environment variable.
func TestOptionsOfDockerMachine(t *testing.T) {
	t.Parallel()
	// Secrets that are read at each command instead, by the driver itself, so that they need not be stored.
	atEachCommand := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "VSPHERE_PASSWORD"}
	kinds := map[string][]drivers.Kind{
		"String": {drivers.String, drivers.Strings}, "StringSlice": {drivers.Strings}, "Bool": {drivers.Bool},
		"Int": {drivers.Int, drivers.Duration},
	}
	seen := 0
	for line := range strings.Lines(dockerMachineOptions) {
		words := strings.Fields(line)
		if words[0] == "#" {
			continue
		}
		seen++
		f, err := all.DockerMachine().Lookup(words[0])
		if err != nil {
			t.Fatal(err)
		}
		options := f.Options()
		i := slices.IndexFunc(options, func(o drivers.Option) bool { return o.Name == words[1] || slices.Contains(o.Aliases, words[1]) })
		if i < 0 {
			t.Errorf("%s has no option --%s", words[0], words[1])
			continue
		}
		if o := options[i]; !slices.Contains(kinds[words[2]], o.Kind) {
			t.Errorf("--%s is a %v, was a %s", words[1], o.Kind, words[2])
		}
		if len(words) > 3 && !slices.Contains(options[i].Env, words[3]) && !slices.Contains(atEachCommand, words[3]) {
			t.Errorf("--%s reads %v, not %s", words[1], options[i].Env, words[3])
		}
	}
	if seen < 100 {
		t.Errorf("%d options are listed", seen)
	}
}
