package plugin_test

import (
	"errors"
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

// forChildren is how the race detector goes about it in the processes that tests start: a race ends one at once, which
// fails what it was asked, and none stays for a second after its end, as it would by default.
const forChildren = "atexit_sleep_ms=0 halt_on_error=1"

// programsDir names the folder in which tests build what they start.
const programsDir = "PLUGIN_TEST_PROGRAMS"

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "plugin")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Setenv(programsDir, dir), os.Setenv("GORACE", forChildren))
	}
	if err != nil {
		panic(err)
	}
	return m.Run()
}
