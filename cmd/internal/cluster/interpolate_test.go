package cluster

import (
	"strings"
	"testing"
)

func TestInterpolate(t *testing.T) {
	t.Parallel()
	v := variables{lookup: lookup("A", "1", "B", "two", "E", "")}
	for in, want := range map[string]string{
		"": "", "plain": "plain", "$A": "1", "${A}": "1", "x${A}y$B.z": "x1ytwo.z", "$A_": "", "$$A": "$A", "$$$A": "$1", "a$$": "a$",
		"${N}": "", "${N-d}": "d", "${N:-d}": "d", "${E-d}": "", "${E:-d}": "d", "${A:-d}": "1",
		"${A+r}": "r", "${N+r}": "", "${E+r}": "r", "${E:+r}": "", "${A?e}": "1", "${E?e}": "", "${A:?}": "1",
		"${N:-${B}}": "two", "${N:-a${M:-${A}}c}": "a1c", "${N:-}": "", "${N:-$$}": "$", "${A:-${N:?never}}": "1", "{$A}": "{1}", "${N:-a}}": "a}",
	} {
		if got, err := v.expand(in); err != nil || got != want {
			t.Errorf("%q: Got %q, %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"${N:?set it}": "variable N: set it", "${N?}": "variable N: must be set", "${E:?e}": "variable E: e", "${N:?$B}": "variable N: two",
		"${A": "without its }", "${}": "names no variable", "${1}": "names no variable", "$": "begins no variable", "a$ b": "begins no variable",
		"${A:x}": "is no form of a variable", "${A/x/y}": "is no form", "${A:}": "is no form", "${N:-${A}": "without its }",
	} {
		if got, err := v.expand(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: Got %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := v.expand(strings.Repeat("${N:-", 100) + strings.Repeat("}", 100)); err == nil {
		t.Error("variables may be in each other without end")
	}
	if got := strings.Join(Variables("$A ${B:-x} $$C ${D $A $1"), " "); got != "A B D" {
		t.Errorf("Got %q", got)
	}
}

func FuzzInterpolate(f *testing.F) {
	for _, s := range []string{"$A", "${A:-${B}}", "$$", "${A:?x}", "${", "a}b{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := variables{lookup: lookup("A", "1", "B", "")}
		got, err := v.expand(s)
		if err == nil && !strings.Contains(s, "$") && got != s {
			t.Errorf("%q became %q", s, got)
		}
		if got, err := v.expand(escaped(s)); err != nil || got != s {
			t.Errorf("escaped %q became %q, %v", s, got, err)
		}
	})
}
