package drivers

import (
	"slices"
	"strings"
)

// nearest returns the candidate that was most likely meant by word; empty if
// none is close.
func nearest(word string, candidates []string) string {
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

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
