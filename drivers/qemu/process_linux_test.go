package qemu

import "testing"

func TestParseStat(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		state   string
		threads int
	}{
		"9262 (qemu-system-x86) S 1 9262 9262 0 -1 4194560 5 0 0 0 9 2 0 0 20 0 4 0 86 1": {"S", 4},
		"7 (a ) Z (b) Z 1 7 7 0 -1 4194560 5 0 0 0 9 2 0 0 20 0 1 0 86 1":                 {"Z", 1},
		"7 (x) Z 1": {"", 0},
		"":          {"", 0},
	} {
		if state, threads := parseStat(in); state != want.state || threads != want.threads {
			t.Errorf("%q: got %s, %d, want %v", in, state, threads, want)
		}
	}
}
