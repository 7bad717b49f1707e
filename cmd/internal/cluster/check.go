package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hostsmith/machine/drivers"
)

// check tells all that is not as the table wants it.
func (r *reading) check(v *value, t *typ, what string) {
	if v == nil {
		return // was told before
	}
	switch t.kind {
	case anObject, aMap:
		if v.kind != yaml.MappingNode && !v.null() {
			r.fail(v.pos, "", "%s: want a mapping of keys to values, not %s", what, v.is())
			return
		}
		if t.kind == anObject {
			r.checkObject(v, t, what)
			return
		}
		names := regexp.MustCompile(t.names)
		for _, f := range v.fields {
			if extension(f.name) {
				continue
			}
			if !names.MatchString(f.name) {
				r.fail(f.pos, "", "%s: %q cannot be a name here", what, f.name)
			}
			r.check(f.value, t.elem, f.name)
		}
	case aList:
		if v.kind != yaml.SequenceNode && !v.null() {
			r.fail(v.pos, "", "%s: want a list, not %s", what, v.is())
			return
		}
		for _, e := range v.list {
			r.check(e, &typ{kind: aString, pattern: t.pattern}, what)
		}
	case pairs:
		r.checkPairs(v, what)
	case anOption:
		r.checkOption(v, what)
	default:
		r.checkScalar(v, t, what)
	}
}

func extension(key string) bool { return strings.HasPrefix(key, "x-") }

func (r *reading) checkObject(v *value, t *typ, what string) {
	var names, given []string
	for _, k := range t.keys {
		names = append(names, k.name)
		e := v.get(k.name)
		if e != nil && slices.Contains(t.apart, k.name) {
			given = append(given, k.name)
		}
		if e == nil && k.required {
			r.fail(v.pos, "", "%s: key %q is missing", what, k.name)
		}
	}
	if len(given) > 1 {
		r.fail(v.pos, "", "%s: %s do not go together", what, strings.Join(given, " and "))
	}
	for _, f := range v.fields {
		i := slices.Index(names, f.name)
		switch {
		case i >= 0:
			r.check(f.value, t.keys[i].typ, f.name)
		case extension(f.name):
		default:
			advice := ""
			if near := drivers.Nearest(f.name, names); near != "" {
				advice = fmt.Sprintf("did you mean %s?", near)
			}
			known := slices.Sorted(slices.Values(names))
			r.fail(f.pos, advice, "%s: unknown key %q: there are %s", what, f.name, strings.Join(known, ", "))
		}
	}
}

func (r *reading) checkPairs(v *value, what string) {
	switch {
	case v.null():
	case v.kind == yaml.MappingNode:
		for _, f := range v.fields {
			if f.name == "" || strings.Contains(f.name, "=") {
				r.fail(f.pos, "", "%s: %q cannot be a name here", what, f.name)
			}
			r.check(f.value, scalar(), what)
		}
	case v.kind == yaml.SequenceNode:
		for _, e := range v.list {
			r.check(e, text(), what)
			if k, _, ok := strings.Cut(e.text, "="); e.kind == yaml.ScalarNode && (!ok || k == "") {
				r.fail(e.pos, "", "%s: want NAME=VALUE", what)
			}
		}
	default:
		r.fail(v.pos, "", "%s: want names to values, or a list of NAME=VALUE, not %s", what, v.is())
	}
}

func (r *reading) checkOption(v *value, what string) {
	switch v.kind {
	case yaml.MappingNode:
		r.check(v, fileType(), what)
	case yaml.SequenceNode:
		for _, e := range v.list {
			r.check(e, scalar(), what)
		}
	default:
		r.check(v, scalar(), what)
	}
}

// fileType is the value of an option that is in a file.
func fileType() *typ {
	return object(key{name: "file", doc: "path of a file that has the value", typ: text(), required: true})
}

func (r *reading) checkScalar(v *value, t *typ, what string) {
	if v.kind != yaml.ScalarNode || v.null() {
		r.fail(v.pos, "", "%s: want %s, not %s", what, t.is(), v.is())
		return
	}
	switch t.kind {
	case aString:
		switch {
		case v.tag != "!!str" && v.tag != "!!timestamp":
			r.fail(v.pos, "put it into quotes", "%s: want %s, not %s", what, t.is(), v.is())
		case len(t.oneOf) > 0 && !slices.Contains(t.oneOf, v.text):
			advice := ""
			if near := drivers.Nearest(v.text, t.oneOf); near != "" {
				advice = fmt.Sprintf("did you mean %s?", near)
			}
			r.fail(v.pos, advice, "%s: %s is none of %s", what, v.shown(), strings.Join(t.oneOf, ", "))
		case t.pattern != "" && !regexp.MustCompile(t.pattern).MatchString(v.text):
			r.fail(v.pos, "", "%s: %s cannot be a name here", what, v.shown())
		}
	case anInteger:
		n, ok := v.number()
		switch {
		case !ok:
			r.fail(v.pos, "", "%s: want a whole number, not %s", what, v.is())
		case n < t.min || n > t.max:
			r.fail(v.pos, "", "%s: %s is not from %d to %d", what, v.shown(), t.min, t.max)
		}
	case aBoolean:
		if _, ok := v.truth(); !ok {
			r.fail(v.pos, "", "%s: want true or false, not %s", what, v.is())
		}
	}
}

// number is a whole number; ok is false for everything else. A text is one only if a variable made it.
func (v *value) number() (n int, ok bool) {
	if v.tag != "!!int" && v.tag != "!!float" && !v.dynamic {
		return 0, false
	}
	if n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 32); err == nil {
		return int(n), true
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || f != float64(int32(f)) {
		return 0, false
	}
	return int(f), true
}

func (v *value) truth() (b, ok bool) {
	if v.tag != "!!bool" && !v.dynamic {
		return false, false
	}
	switch strings.ToLower(v.text) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// is says what a value is, for errors. What it holds is not said: it may be a secret.
func (v *value) is() string {
	switch {
	case v.null():
		return "nothing"
	case v.kind == yaml.MappingNode:
		return "a mapping"
	case v.kind == yaml.SequenceNode:
		return "a list"
	case v.dynamic:
		return "what the variables make of it"
	}
	switch v.tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "a text"
}

// shown is a text as errors show it; what variables put into it is not shown.
func (v *value) shown() string {
	switch {
	case v.dynamic:
		return v.is()
	case v.tag == "!!str":
		return strconv.Quote(v.text)
	}
	return v.text
}

func (t *typ) is() string {
	if t.kind == aString {
		return "a text"
	}
	return "a single value"
}
