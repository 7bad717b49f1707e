package start

import (
	"runtime/debug"
	"testing"
)

func TestOver(t *testing.T) {
	if got := debug.SetGCPercent(-1); got != -1 {
		t.Errorf("the program begins with %d, want no collections", got)
	}
	for gogc, want := range map[string]int{"": usual, "300": 300, "nonsense": usual, "off": -1} {
		debug.SetGCPercent(-1)
		Over(gogc)
		if got := debug.SetGCPercent(usual); got != want {
			t.Errorf("GOGC=%q: got %d, want %d", gogc, got, want)
		}
	}
}
