package provision

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// shellQuote makes s one word of a POSIX shell.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shellWords joins words so that a POSIX shell splits them again.
func shellWords(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellQuote(w)
	}
	return strings.Join(quoted, " ")
}

// unitQuote makes s one word of a setting of a systemd unit. Specifiers (%) are
// expanded in every setting, variables ($) only in command lines.
func unitQuote(s string, commandLine bool) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if commandLine {
		s = strings.ReplaceAll(s, "$", "$$")
	}
	if s != "" && !strings.ContainsAny(s, " \t\"'\\;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printable tells whether s can stand in a configuration file: control characters
// (a line break above all) and broken UTF-8 have no place in any value.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
