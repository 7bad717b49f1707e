package provision

import (
	"context"
	"errors"
	"io"
	"testing"
)

type saying struct {
	text string
	err  error
}

func (s saying) Run(_ context.Context, _ string, _ io.Reader, stdout io.Writer) error {
	_, _ = io.WriteString(stdout, s.text)
	return s.err
}

func TestStateOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]EngineState{
		"ActiveState=active\nSubState=running\nNRestarts=5\nSystem=degraded\n":                               EngineRunning,
		"ActiveState=activating\nSubState=start\nNRestarts=0\nSystem=starting\n":                             EngineStarting,
		"ActiveState=activating\nSubState=auto-restart\nNRestarts=1\nSystem=running\n":                       EngineStarting,
		"ActiveState=activating\nSubState=auto-restart\nNRestarts=3\nSystem=running\n":                       EngineStopped,
		"ActiveState=failed\nSubState=failed\nNRestarts=3\nSystem=degraded\n":                                EngineFailed,
		"ActiveState=inactive\nSubState=dead\nNRestarts=0\nJob=57\nUnitFileState=enabled\nSystem=starting\n": EngineStarting,
		"ActiveState=inactive\nSubState=dead\nUnitFileState=enabled\nSystem=initializing\n":                  EngineStarting,
		"ActiveState=inactive\nSubState=dead\nUnitFileState=disabled\nSystem=starting\n":                     EngineStopped,
		"ActiveState=inactive\nSubState=dead\nJob=0\nUnitFileState=enabled\nSystem=running\n":                EngineStopped,
		"sh: 1: systemctl: not found\nSystem=\n":                                                             EngineUnknown,
		"":                                                                                                   EngineUnknown,
	} {
		if got := StateOf(t.Context(), saying{text: text}); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := StateOf(t.Context(), saying{text: "ActiveState=failed\n", err: errors.New("lost")}); got != EngineUnknown {
		t.Errorf("a host that is not reached: %s", got)
	}
}
