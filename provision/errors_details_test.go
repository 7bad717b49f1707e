package provision

import (
	"errors"
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

func TestFullDiskIsToldInManyWays(t *testing.T) {
	t.Parallel()
	for _, output := range []string{
		"E: You don't have enough free space in /var/cache/apt/archives/.",
		"dpkg: error: cannot copy extracted data: failed to write (No space left on device)",
		"At least 31MB more space needed on the / filesystem.\ninstalling package docker-ce needs 31MB on the / filesystem",
		"error: not enough free disk space",
	} {
		if err := sentinelOf(1, output); !errors.Is(err, ErrDiskFull) {
			t.Errorf("%q: got %v", output, err)
		}
	}
}
