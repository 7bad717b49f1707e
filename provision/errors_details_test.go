package provision

import (
	"strings"
	"testing"
)

func TestStepErrorShowsItsLastLines(t *testing.T) {
	t.Parallel()
	if got := (&StepError{}).Details(); got != nil {
		t.Errorf("no output, got %q", got)
	}
	output := strings.Repeat("early\n", 30) + "the cause\n"
	got := (&StepError{Output: output}).Details()
	if len(got) != detailLines || got[len(got)-1] != "the cause" {
		t.Errorf("got %d lines, the last %q", len(got), got[len(got)-1])
	}
}
