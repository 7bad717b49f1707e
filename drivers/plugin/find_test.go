package plugin_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
)

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"docker-machine-driver-good": 0o700, "docker-machine-driver-not-executable": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	f := plugin.NewFinder(t.Context(), func(string) string { return ":" + "relative" + ":" + dir }, os.Environ(), plugin.Limits{})
	for _, name := range []string{"good", filepath.Join(dir, "docker-machine-driver-good")} {
		found, err := f.Find(name)
		if err != nil || found.Name() != name {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if again, _ := f.Find(name); again != found {
			t.Errorf("%s is another one the second time", name)
		}
		if err := found.(drivers.Loader).Load(); !errors.Is(err, plugin.ErrCrashed) {
			t.Errorf("%s: %v", name, err)
		}
		if o := found.Options(); o != nil {
			t.Errorf("%s: options %v", name, o)
		}
	}
	for _, name := range []string{"bad", "not-executable", "", "a b", "..", filepath.Join(dir, "none")} {
		_, err := f.Find(name)
		if !errors.Is(err, drivers.ErrUnknown) || !strings.Contains(err.Error(), "Do you have the plugin binary \"docker-machine-driver-") && !strings.Contains(name, "/") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
