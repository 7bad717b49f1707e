package cli

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// shell is the language that env's output is written in. Values are in double
// quotes, as docker-machine wrote them, and what the shell would take for its own in them is
// made harmless. A value that a shell cannot hold is an error, not a guess.
type shell struct {
	set     func(name, value string) (string, error)
	unset   func(name string) string
	comment string
	how     func(command string) string // evaluates env's output
	word    func(string) string         // quotes a word of that command
	joined  bool                        // the command that is advised makes one line of all
}

// shellOf returns the shell called name, which may be a path. What is not known
// is taken for a Bourne shell.
func shellOf(name string) shell {
	name = strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	switch strings.TrimSuffix(name, ".exe") {
	case "fish":
		return shell{
			set: func(n, v string) (string, error) {
				return fmt.Sprintf(`set -gx %s "%s";`, n, escapeBackslashed(v, `"$`)), nil
			},
			unset:   func(n string) string { return "set -e " + n + ";" },
			comment: "# ", word: posixWord,
			how: func(c string) string { return "eval (" + c + ")" },
		}
	case "cmd":
		return shell{
			set: cmdSet, unset: func(n string) string { return "SET " + n + "=" },
			comment: "REM ", word: cmdWord,
			how: func(c string) string { return "\t@FOR /f \"tokens=*\" %i IN ('" + c + "') DO @%i" },
		}
	case "powershell", "pwsh":
		return shell{
			set: func(n, v string) (string, error) {
				return fmt.Sprintf(`$Env:%s = "%s"`, n, escapePowerShell(v)), nil
			},
			unset:   func(n string) string { return `Remove-Item Env:\\` + n },
			comment: "# ", word: powershellWord,
			how: func(c string) string { return "& " + c + " | Invoke-Expression" },
		}
	case "tcsh", "csh":
		return shell{
			set: tcshSet, unset: func(n string) string { return "unsetenv " + n + ";" },
			comment: ": ", word: posixWord,
			how: func(c string) string { return "eval `" + c + "`" },
		}
	case "emacs":
		return shell{
			set: func(n, v string) (string, error) {
				return fmt.Sprintf(`(setenv "%s" "%s")`, n, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)), nil
			},
			unset:   func(n string) string { return fmt.Sprintf(`(setenv "%s" nil)`, n) },
			comment: ";; ", word: posixWord,
			how: func(c string) string {
				return "(with-temp-buffer (shell-command " + strconv.Quote(c) + " (current-buffer)) (eval-buffer))"
			},
		}
	}
	return shell{
		set: func(n, v string) (string, error) {
			return fmt.Sprintf(`export %s="%s"`, n, escapeBourne(v)), nil
		},
		unset:   func(n string) string { return "unset " + n },
		comment: "# ", word: posixWord, joined: true,
		how: func(c string) string { return "eval $(" + c + ")" },
	}
}

// script is the output of env: settings, and how to evaluate the command argv.
func (s shell) script(settings []setting, argv []string) (string, error) {
	var b strings.Builder
	end := "\n"
	if s.joined && mixed(settings) {
		end = ";\n"
	}
	for _, v := range settings {
		line := s.unset(v.name)
		if !v.unset {
			var err error
			if line, err = s.set(v.name, v.value); err != nil {
				return "", err
			}
		}
		b.WriteString(line + end)
	}
	words := make([]string, len(argv))
	for i, w := range argv {
		// A line break would end the comment that the command stands in.
		words[i] = s.word(strings.Map(noControl, w))
		if i == 0 && words[i] == w && strings.ContainsAny(w, ` \`) {
			words[i] = `"` + w + `"`
		}
	}
	fmt.Fprintf(&b, "%sRun this command to configure your shell: \n", s.comment)
	fmt.Fprintf(&b, "%s%s\n", s.comment, s.how(strings.Join(words, " ")))
	return b.String(), nil
}

// mixed tells whether some are set and some unset.
func mixed(settings []setting) bool {
	unset := slices.IndexFunc(settings, func(s setting) bool { return s.unset })
	return unset >= 0 && slices.ContainsFunc(settings, func(s setting) bool { return !s.unset })
}

func noControl(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0x85 || r == '\u2028' || r == '\u2029' {
		return '?'
	}
	return r
}

// escapeBourne makes v fit between double quotes of sh, bash and zsh. The output of env is often
// evaluated without quotes around $(...): the shell then splits it into words and takes them for
// patterns of file names, so what is special there travels as an octal number.
func escapeBourne(v string) string {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if c := v[i]; strings.IndexByte("*?[\t", c) >= 0 || c == ' ' && i > 0 && v[i-1] == ' ' {
			fmt.Fprintf(&b, `$(printf '\%03o')`, c)
			continue
		}
		b.WriteString(escapedAt(v, i, "\"$`", "*?[\t"))
	}
	return b.String()
}

// escapeBackslashed puts a backslash before each special character, and before a backslash only
// where the shell would else take it for one of ours.
func escapeBackslashed(v, special string) string {
	var b strings.Builder
	for i := range len(v) {
		b.WriteString(escapedAt(v, i, special, ""))
	}
	return b.String()
}

// escapedAt is the byte v[i] as it stands between double quotes. replaced are characters for which
// something special will stand.
func escapedAt(v string, i int, special, replaced string) string {
	c := v[i]
	if strings.IndexByte(special, c) >= 0 ||
		c == '\\' && (i+1 == len(v) || strings.IndexByte("\\\n"+special+replaced, v[i+1]) >= 0) {
		return `\` + string([]byte{c})
	}
	return string([]byte{c})
}

// escapePowerShell makes v fit between double quotes. PowerShell takes typographic double quotes for plain
// ones, and reads its input line by line.
func escapePowerShell(v string) string {
	var b strings.Builder
	for _, r := range v {
		switch r {
		case '`', '$', '"', '\u201c', '\u201d', '\u201e':
			b.WriteString("`" + string(r))
		case '\n':
			b.WriteString("`n")
		case '\r':
			b.WriteString("`r")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// tcshSet closes the quotes around what has a meaning within them and escapes that outside.
func tcshSet(name, v string) (string, error) {
	if strings.ContainsAny(v, "\n\r") {
		return "", fmt.Errorf("%s: tcsh cannot take a value with a line break", name)
	}
	var b strings.Builder
	for _, r := range v {
		if strings.ContainsRune("\"$`!\\*?[]{}", r) {
			b.WriteString(`"\` + string(r) + `"`)
			continue
		}
		b.WriteRune(r)
	}
	return fmt.Sprintf(`setenv %s "%s";`, name, b.String()), nil
}

// cmdSet quotes the whole assignment if the value has a meaning for cmd.
func cmdSet(name, v string) (string, error) {
	switch {
	case strings.ContainsAny(v, "\n\r\""):
		return "", fmt.Errorf("%s: cmd cannot take a value with a quote or a line break", name)
	case strings.ContainsAny(v, "%!"):
		return "", fmt.Errorf("%s: cmd would expand %% and ! in the value %q", name, v)
	case strings.ContainsAny(v, "&|<>^()"):
		return fmt.Sprintf(`SET "%s=%s"`, name, v), nil
	}
	return "SET " + name + "=" + v, nil
}

// harmless tells whether no shell sees more than letters in a word.
func harmless(w string) bool {
	return w != "" && strings.IndexFunc(w, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`_@%+=:,./-\`, r))
	}) < 0
}

func posixWord(w string) string {
	if harmless(w) && !strings.Contains(w, `\`) {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

func powershellWord(w string) string {
	if harmless(w) && !strings.Contains(w, ",") {
		return w
	}
	return `"` + escapePowerShell(w) + `"`
}

func cmdWord(w string) string {
	if harmless(w) && !strings.ContainsAny(w, ",%") {
		return w
	}
	return `"` + strings.Map(func(r rune) rune {
		if strings.ContainsRune("\"%'", r) {
			return '?'
		}
		return r
	}, w) + `"`
}
