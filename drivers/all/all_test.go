package all_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers/all"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := all.Table()
	var names []string
	for _, f := range table {
		names = append(names, f.Name())
		if found, err := table.Lookup(f.Name()); err != nil || found != f {
			t.Errorf("lookup %s: got %v, %v", f.Name(), found, err)
		}
		if s := f.Summary(); s == "" || strings.ContainsAny(s, ".\n") {
			t.Errorf("%s: summary %q is not one line without a period", f.Name(), s)
		}
	}
	if want := []string{"docker", "generic", "none", "virtualbox", "hyperv", "qemu", "amazonec2", "azure", "vmwarevsphere"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// TestOptionsOfAllDrivers demands that one command line can hold the options of
// all drivers, and that a variable is not read by two that mean different things.
func TestOptionsOfAllDrivers(t *testing.T) {
	t.Parallel()
	option, variable := map[string]string{}, map[string]string{}
	for _, f := range all.Table() {
		for _, o := range f.Options() {
			for _, name := range append([]string{o.Name}, o.Aliases...) {
				if other, ok := option[name]; ok {
					t.Errorf("drivers %s and %s both have option %s", other, f.Name(), name)
				}
				option[name] = f.Name()
			}
			for _, name := range o.Env {
				if other, ok := variable[name]; ok {
					t.Errorf("options %s and %s both read %s", other, o.Name, name)
				}
				variable[name] = o.Name
			}
		}
	}
	if option["url"] != "none" || option["generic-ip-address"] != "generic" {
		t.Error("options of docker-machine are missing")
	}
}
