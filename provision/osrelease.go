package provision

import "strings"

// parseOSRelease reads an os-release file: KEY=value lines with a shell's quotes. What is
// not such a line is skipped.
func parseOSRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		values[key] = unquoteAssignment(value)
	}
	return values
}

// unquoteAssignment undoes the quotes of the right side of a shell assignment.
func unquoteAssignment(s string) string {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			if quote == '"' && !strings.ContainsRune("$`\"\\", rune(s[i])) {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String() // the assignment ends at a blank
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
