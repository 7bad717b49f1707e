package cluster

import (
	"slices"
	"strings"
)

// What a value holds; nothing of one that is absent. They were checked before.

func (v *value) at() Pos {
	if v == nil {
		return Pos{}
	}
	return v.pos
}

func (v *value) fieldsOf() []field {
	if v == nil {
		return nil
	}
	return v.fields
}

func (v *value) string() string {
	if v == nil {
		return ""
	}
	return v.text
}

func (v *value) int() int {
	if v == nil {
		return 0
	}
	n, _ := v.number()
	return n
}

func (v *value) bool() bool {
	if v == nil {
		return false
	}
	b, _ := v.truth()
	return b
}

func (v *value) strings() []string {
	if v == nil {
		return nil
	}
	var out []string
	for _, e := range v.list {
		out = append(out, e.text)
	}
	return out
}

// pairs are in the order of names if they are a mapping, and as they stand if they are a list.
func (v *value) pairs() []Pair {
	if v == nil {
		return nil
	}
	var out []Pair
	for _, f := range v.fields {
		if !extension(f.name) {
			out = append(out, Pair{f.name, f.value.text})
		}
	}
	slices.SortFunc(out, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	for _, e := range v.list {
		k, val, _ := strings.Cut(e.text, "=")
		out = append(out, Pair{k, val})
	}
	return out
}
