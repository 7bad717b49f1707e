package drivers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Diff returns how configuration b differs from a, a line per option in the
// order of the options:
//
//	--generic-ip-address: 192.0.2.1 → 192.0.2.2
//
// Nil means that they are the same. Secrets are no part of a configuration, so
// they are not compared. A configuration that cannot be read differs from
// every other.
func Diff(f Factory, a, b json.RawMessage) []string {
	d, ok := f.(Describer)
	if !ok {
		return diffRaw(a, b)
	}
	before, errA := d.Describe(a)
	after, errB := d.Describe(b)
	if errA != nil || errB != nil {
		return diffRaw(a, b)
	}
	var lines []string
	for _, o := range f.Options() {
		if from, to := before[o.Name], after[o.Name]; !slices.Equal(from, to) {
			lines = append(lines, fmt.Sprintf("--%s: %s → %s", o.Name, show(from), show(to)))
		}
	}
	return lines
}

// diffRaw tells only whether two configurations are the same JSON.
func diffRaw(a, b json.RawMessage) []string {
	if slices.Equal(compact(a), compact(b)) {
		return nil
	}
	return []string{"the stored configuration is another one or cannot be read"}
}

// compact returns equal bytes for equal JSON; what is no JSON comes back as it is.
func compact(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

// show returns values so that an empty one, or one with blanks, can be seen.
func show(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	shown := make([]string, len(values))
	for i, s := range values {
		shown[i] = s
		odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == ',' }
		if s == "" || strings.ContainsFunc(s, odd) {
			shown[i] = strconv.Quote(s)
		}
	}
	return strings.Join(shown, ",")
}
