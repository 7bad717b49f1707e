package localvm

import (
	"net/url"
	"strings"
)

// The marks of a virtual machine, in whatever text a hypervisor keeps of one.
const (
	MarkStore   = "machine-store"
	MarkName    = "machine-name"
	MarkCreator = "machine-creator"
	MarkIP      = "machine-ip" // its static address
)

// Marks writes pairs of key and value. Those without a value are left out.
func Marks(pairs ...string) string {
	var words []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			words = append(words, pairs[i]+"="+url.QueryEscape(pairs[i+1]))
		}
	}
	return strings.Join(words, " ")
}

// ParseMarks finds marks in a text that may have other things in it.
func ParseMarks(text string) map[string]string {
	all := map[string]string{}
	for _, word := range strings.Fields(text) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || !strings.HasPrefix(key, "machine-") {
			continue
		}
		if text, err := url.QueryUnescape(value); err == nil {
			all[key] = text
		}
	}
	return all
}
