package provision

import "testing"

func TestUpstream(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"5:28.5.2-1~debian.12~bookworm": "28.5.2",
		"20.10.24+dfsg1-1+deb12u1+b6":   "20.10.24",
		"26.1.5+dfsg1-9+b9":             "26.1.5",
		"3:28.5.2-1.el9":                "28.5.2",
		"28.5.1_ce-150000.1":            "28.5.1_ce",
		"29.0.0-rc.1":                   "29.0.0",
		"v28.5.2":                       "28.5.2",
		"28":                            "28",
		"":                              "",
	} {
		if got := upstream(version); got != want {
			t.Errorf("upstream(%q) = %q, want %q", version, got, want)
		}
	}
}

func TestSatisfies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		installed, want string
		ok              bool
	}{
		{"28.5.2", "28", true},
		{"28.5.2", "28.5", true},
		{"28.5.2", "28.5.2", true},
		{"20.10.24+dfsg1", "20.10.24", true},
		{"28.5.2", "v28", true},
		{"28.5.2", "2", false},
		{"28.5.2", "28.5.22", false},
		{"28.51.2", "28.5", false},
		{"28.5", "28.5.2", false},
	} {
		if got := satisfies(c.installed, c.want); got != c.ok {
			t.Errorf("satisfies(%q, %q) = %v", c.installed, c.want, got)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"5:28.5.2-1~debian.12~bookworm", "28.5.2", 0},
		{"28.5.10", "28.5.9", 1},
		{"20.10.24+dfsg1-1+deb12u1", "26.1.5+dfsg1-9", -1},
		{"28", "28.5.2", 0}, // as far as both go
		{"28", "29.1.0", -1},
		{"29", "28.5.2", 1},
		{"28.x", "28.5", 1},
	} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := compareVersions(c.b, c.a); got != -c.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}
