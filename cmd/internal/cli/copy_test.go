package cli

import (
	"runtime"
	"testing"
)

func TestParsePlace(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]place{
		"a":                {path: "a"},
		"/a/b":             {path: "/a/b"},
		"./a:b":            {path: "./a:b"},
		":a":               {path: ":a"},
		"m1:":              {machine: "m1"},
		"m1:/a:b":          {machine: "m1", path: "/a:b"},
		"joe@m1:a":         {machine: "m1", user: "joe", path: "a"},
		"localhost:a":      {path: "a"},
		"joe@localhost:/a": {path: "/a"},
	} {
		if got := parsePlace(arg); got != want {
			t.Errorf("parsePlace(%q) = %+v, want %+v", arg, got, want)
		}
	}
	if runtime.GOOS == "windows" {
		if got := parsePlace(`C:\a`); got != (place{path: `C:\a`}) {
			t.Errorf(`C:\a is taken for %+v`, got)
		}
	}
}

func TestNativeCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		words []string
		want  string
		tty   ttyWish
	}{
		{nil, "", ttyAuto},
		{[]string{"ls", "-l"}, "ls -l", ttyAuto},
		{[]string{"-t", "top"}, "top", ttyForced},
		{[]string{"-T"}, "", ttyNever},
		{[]string{"--", "-x"}, "-x", ttyAuto},
	} {
		got, tty, err := nativeCommand(tt.words)
		if err != nil || got != tt.want || tty != tt.tty {
			t.Errorf("%q: %q, %v, %v", tt.words, got, tty, err)
		}
	}
	if _, _, err := nativeCommand([]string{"-L", "1:a:2"}); err == nil {
		t.Error("an option that is not understood is taken")
	}
}
