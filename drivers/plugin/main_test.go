package plugin_test

import (
	"os"
	"testing"
)

// TestMain makes the test binary a plugin when it is told so.
func TestMain(m *testing.M) {
	switch arg := os.Getenv("PLUGIN_TEST_CALLER"); {
	case arg != "":
		callPlugin(arg)
	case os.Getenv("PLUGIN_TEST_PEBBLE") != "":
		servePebble()
	}
	if os.Getenv("PLUGIN_TEST_SERVE") != "" {
		os.Exit(serveFake())
	}
	os.Exit(run(m))
}

// programsDir names the folder in which tests build what they start.
const programsDir = "PLUGIN_TEST_PROGRAMS"

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "plugin")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Setenv(programsDir, dir)
	}
	if err != nil {
		panic(err)
	}
	return m.Run()
}
