package store

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "A1", "0", "m-1.example", "com10", "console", "con1", "lpt", strings.Repeat("a", 63), "a-"} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, why := range map[string]string{
		"": "empty", ".": "begin", "..": "begin", "-a": "begin", ".a": "begin", "_a": "begin", "ä": "begin",
		"a b": `' '`, "a_b": `'_'`, "a/b": `'/'`, `a\b`: `'\\'`, "a:b": `':'`, "a\x00": `'\x00'`, "aä": `'ä'`, "a\n": `'\n'`,
		"a.": "dot", "a..b": "dots", "a.-b": "hyphen",
		"con": "Windows", "NUL": "Windows", "Aux.txt": "Windows", "com1": "Windows", "LPT9.a.b": "Windows", "prn": "Windows", "com0": "Windows",
		strings.Repeat("a", 64): "64 characters", strings.Repeat("a", 300): "300 characters",
	} {
		err := ValidName(name)
		if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want %q", name, err, why)
		}
	}
}

func FuzzValidName(f *testing.F) {
	for _, s := range []string{"a", "a.b-c", "..", "con", "a.", "a\x00", "\xff", "a/b", "COM1.x", "a..b"} {
		f.Add(s)
	}
	pattern := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*$`)
	f.Fuzz(func(t *testing.T, name string) {
		err := ValidName(name)
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Fatalf("Got %v", err)
			}
			return
		}
		if !pattern.MatchString(name) || len(name) > 63 {
			t.Fatalf("Let %q pass", name)
		}
		s := Open("/store")
		if dir := s.MachineDir(name); filepath.Dir(dir) != s.machinesDir() || filepath.Base(dir) != name {
			t.Fatalf("%q leads to %s", name, dir)
		}
		if !filepath.IsLocal(name) {
			t.Fatalf("%q is not local", name)
		}
	})
}
