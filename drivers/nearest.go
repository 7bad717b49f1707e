package drivers

import (
	"slices"
	"strings"
)

// Nearest returns the candidate that was most likely meant by word; empty if
// none is close.
func Nearest(word string, candidates []string) string {
	candidates = slices.Clone(candidates)
	slices.Sort(candidates) // the same advice for the same mistake
	best, least := "", max(2, len(word)/5)+1
	for _, c := range candidates {
		if longer := len(word) - len(c); longer >= least || -longer >= least {
			continue // at least so many letters apart
		}
		if d := distance(word, c); d < least && d < len(c) {
			best, least = c, d
		}
	}
	if best != "" || word == "" {
		return best
	}
	for _, c := range candidates { // the driver's prefix was left out
		if strings.HasSuffix(c, "-"+word) {
			return c
		}
	}
	return ""
}

// distance is the number of insertions, deletions and replacements that turn a
// into b.
func distance(a, b string) int {
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
		}
		last = row
	}
	return last[len(b)]
}
