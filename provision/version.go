package provision

import (
	"regexp"
	"strconv"
	"strings"
)

// versionWanted is what a version or a prefix of one may look like. Nothing in it
// means anything to a shell, a glob or a regular expression but the dot.
var versionWanted = regexp.MustCompile(`^[0-9][0-9A-Za-z.+:~-]*$`)

// upstream returns the engine's own version within a package's or a build's:
// 5:28.5.2-1~debian.12~bookworm is 28.5.2, 20.10.24+dfsg1 is 20.10.24.
func upstream(version string) string {
	version = strings.TrimPrefix(version, "v")
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after
	}
	if i := strings.IndexAny(version, "-+~"); i >= 0 {
		version = version[:i]
	}
	return version
}

// satisfies tells whether an installed version is what is asked for, exactly or by prefix.
func satisfies(installed, want string) bool {
	return installed == want || strings.HasPrefix(upstream(installed)+".", upstream(want)+".")
}

// Satisfies tells whether an engine's version is what is asked for, exactly or by prefix.
func Satisfies(installed, want string) bool { return satisfies(installed, want) }

// exact tells whether a wanted version names one release.
func exact(want string) bool { return strings.Count(upstream(want), ".") >= 2 }

// compareVersions compares as many numbers of two versions as the shorter one has.
func compareVersions(a, b string) int {
	as, bs := strings.Split(upstream(a), "."), strings.Split(upstream(b), ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.ParseUint(as[i], 10, 32)
		y, errY := strconv.ParseUint(bs[i], 10, 32)
		switch {
		case errX != nil || errY != nil:
			if c := strings.Compare(as[i], bs[i]); c != 0 {
				return c
			}
		case x < y:
			return -1
		case x > y:
			return 1
		}
	}
	return 0
}
