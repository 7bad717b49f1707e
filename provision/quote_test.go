package provision

import (
	"strings"
	"testing"
)

// oddWords are what people and attackers put into options.
var oddWords = []string{"", "a", "it's", `\`, "$(touch x)", "a\nb", "`x`", "-n", "~", "a b\t", "!x", "*", "\xff", "''", "'", "${HOME}", "#", "a=b", "<", ";", "&&", "ü"}

func TestShellQuote(t *testing.T) {
	eachShell(t, func(t *testing.T, r shell) {
		got, code := r.run(t, "set -- "+shellWords(oddWords...)+"\nprintf '<%s>' \"$@\"; true", "")
		if want := "<" + strings.Join(oddWords, "><") + ">"; got != want || code != 0 {
			t.Errorf("%d:\ngot  %q\nwant %q", code, got, want)
		}
	})
}

func FuzzShellQuote(f *testing.F) {
	for _, s := range oddWords {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Outside single quotes there is nothing but safe characters and quoted single quotes.
		var word strings.Builder
		in := false
		for i, q := 0, shellQuote(s); i < len(q); i++ {
			switch c := q[i]; {
			case c == '\'':
				in = !in
			case in:
				word.WriteByte(c)
			case c == '\\' && i+1 < len(q) && q[i+1] == '\'':
				word.WriteByte('\'')
				i++
			case strings.IndexByte("|&;<>()$`\\\"*?[#~!{} \t\n", c) >= 0:
				t.Fatalf("%q is %q", s, q)
			default:
				word.WriteByte(c)
			}
		}
		if in || word.String() != s {
			t.Errorf("%q becomes %q", s, word.String())
		}
	})
}

// unitWords splits the value of a unit's setting as systemd.service(5) and systemd.exec(5) say.
func unitWords(s string, commandLine bool) (words []string, ok bool) {
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			i++
			if i == len(s) || !strings.ContainsRune(`\"' `, rune(s[i])) {
				return nil, false
			}
			in = true
			word.WriteByte(s[i])
		case c == '%' || c == '$' && commandLine: // a specifier, a variable, or itself if doubled
			i++
			if i == len(s) || s[i] != c {
				return nil, false
			}
			in = true
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\'') && !in:
			quote, in = c, true
		case quote == 0 && (c == '"' || c == '\''):
			return nil, false // systemd takes a quote in the middle of a word for itself, or not: by version
		case quote == 0 && (c == ' ' || c == '\t'):
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
		case quote == 0 && c == ';' && !in && (i+1 == len(s) || s[i+1] == ' '):
			return nil, false // the end of a command
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words, quote == 0
}

func FuzzUnitQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", `\`, "$HOME ${x}", "100%", "%h", "a b", ";", `"`, "--x=;", "ü", "a\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !printable(s) {
			return
		}
		for _, commandLine := range []bool{true, false} {
			line := unitQuote(s, commandLine) + " " + unitQuote("end", commandLine)
			words, ok := unitWords(line, commandLine)
			if !ok || len(words) != 2 || words[0] != s || words[1] != "end" {
				t.Errorf("%q is %q, which systemd reads as %q", s, line, words)
			}
		}
	})
}

// FuzzOptions: whatever an option holds, it is refused or stays one word of one line.
func FuzzOptions(f *testing.F) {
	f.Add("mtu=1400", "a=b", "A=b")
	f.Add("log-opt tag=x\\", "a=\"b", "A=$x%h;")
	f.Add("x=a\nExecStartPre=/bin/x", "a=b\u2028", "A=\r")
	f.Fuzz(func(t *testing.T, option, label, env string) {
		e := Engine{Options: []string{option}, Labels: []string{label}, Env: []string{env}}
		flags, e, err := e.flags()
		if err != nil {
			return
		}
		c, err := configure(Facts{Init: "systemd", ExecStart: "/usr/bin/dockerd -H fd://"}, e, flags, false)
		if err != nil {
			return
		}
		lines := strings.Split(strings.TrimSuffix(string(c.options), "\n"), "\n")
		if len(lines) != 5 {
			t.Fatalf("got\n%s", c.options)
		}
		words, ok := unitWords(strings.TrimPrefix(lines[3], "ExecStart="), true)
		if !ok || len(words) != 5+len(flags) {
			t.Errorf("command line %q", words)
		}
		vars, ok := unitWords(strings.TrimPrefix(lines[4], "Environment="), false)
		if !ok || len(vars) != 1 || vars[0] != env {
			t.Errorf("environment %q", vars)
		}
	})
}
