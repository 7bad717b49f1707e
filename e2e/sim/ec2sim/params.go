package ec2sim

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params is a request's parameters, or a part of them. A nil *params is an
// absent one. What is not read by its handler is found by unread.
type params struct {
	path   string
	given  string
	scalar bool
	used   bool
	fields map[string]*params // by member name
	items  []*params
}

// read checks a form against the description of an action.
func (a *api) read(action string, form url.Values) (*params, error) {
	root := &params{fields: map[string]*params{}}
	lists := map[*params]map[int]*params{}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "Action" || name == "Version" {
			continue
		}
		if len(form[name]) != 1 {
			return nil, fault("InvalidParameterValue", "The parameter %s may only be specified once", name)
		}
		if err := a.place(root, a.Actions[action][0], name, form[name][0], lists); err != nil {
			return nil, err
		}
	}
	for list, items := range lists {
		numbers := make([]int, 0, len(items))
		for n := range items {
			numbers = append(numbers, n)
		}
		slices.Sort(numbers)
		for _, n := range numbers {
			list.items = append(list.items, items[n])
		}
	}
	return root, a.complete(root, a.Actions[action][0])
}

// place puts a parameter such as Filter.1.Value.2 into the tree.
func (a *api) place(at *params, ref, name, given string, lists map[*params]map[int]*params) error {
	unknown := fault("UnknownParameter", "The parameter %s is not recognized", name)
	for i, part := range strings.Split(name, ".") {
		s := a.Shapes[ref]
		var next *params
		switch {
		case s == nil || s.Enum != nil:
			return unknown
		case s.List != "":
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return unknown
			}
			if lists[at] == nil {
				lists[at] = map[int]*params{}
			}
			if next = lists[at][n]; next == nil {
				next = &params{path: at.path + "." + part}
				lists[at][n] = next
			}
			ref = s.List
		default:
			field, ok := s.queries[part]
			if !ok {
				return unknown
			}
			if at.fields == nil {
				at.fields = map[string]*params{}
			}
			if next = at.fields[field]; next == nil {
				path := part
				if i > 0 {
					path = at.path + "." + part
				}
				next = &params{path: path}
				at.fields[field] = next
			}
			ref = s.members[field].ref
		}
		at = next
	}
	if s := a.Shapes[ref]; s != nil && s.Enum == nil {
		if given == "" {
			return nil // an empty list or structure
		}
		return unknown
	}
	at.given, at.scalar = given, true
	return a.checkScalar(at, ref)
}

func (a *api) checkScalar(p *params, ref string) error {
	bad := fault("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", p.given, p.path)
	var err error
	switch ref {
	case "integer":
		_, err = strconv.ParseInt(p.given, 10, 32)
	case "long":
		_, err = strconv.ParseInt(p.given, 10, 64)
	case "float", "double":
		_, err = strconv.ParseFloat(p.given, 64)
	case "boolean":
		if p.given != "true" && p.given != "false" {
			return bad
		}
	case "timestamp":
		_, err = time.Parse(time.RFC3339, p.given)
	case "blob":
		_, err = base64.StdEncoding.DecodeString(p.given)
	case "string":
	default:
		if !slices.Contains(a.Shapes[ref].Enum, p.given) {
			return bad
		}
	}
	if err != nil {
		return bad
	}
	return nil
}

// complete finds required parameters that are missing.
func (a *api) complete(p *params, ref string) error {
	s := a.Shapes[ref]
	if s == nil {
		return nil
	}
	for _, item := range p.items {
		if err := a.complete(item, s.List); err != nil {
			return err
		}
	}
	for name, m := range s.members {
		below := p.fields[name]
		if below == nil {
			if m.required {
				return fault("MissingParameter", "The request must contain the parameter %s", strings.TrimPrefix(p.path+"."+m.query, "."))
			}
			continue
		}
		if err := a.complete(below, m.ref); err != nil {
			return err
		}
	}
	return nil
}

// unread returns the first parameter that nobody read.
func (p *params) unread() string {
	if p.scalar && !p.used {
		return p.path
	}
	var found []string
	for _, below := range p.fields {
		found = append(found, below.unread())
	}
	for _, item := range p.items {
		found = append(found, item.unread())
	}
	found = slices.DeleteFunc(found, func(s string) bool { return s == "" })
	if len(found) == 0 {
		return ""
	}
	return slices.Min(found)
}

func (p *params) at(name string) *params {
	if p == nil {
		return nil
	}
	return p.fields[name]
}

func (p *params) has(name string) bool { return p.at(name) != nil }

func (p *params) text() string {
	if p == nil {
		return ""
	}
	p.used = true
	return p.given
}

func (p *params) str(name string) string { return p.at(name).text() }

func (p *params) num(name string, otherwise int) int {
	s := p.str(name)
	if s == "" {
		return otherwise
	}
	n, _ := strconv.Atoi(s) // checked when read
	return n
}

func (p *params) flag(name string, otherwise bool) bool {
	s := p.str(name)
	if s == "" {
		return otherwise
	}
	return s == "true"
}

func (p *params) list(name string) []*params {
	if l := p.at(name); l != nil {
		return l.items
	}
	return nil
}

func (p *params) strs(name string) []string {
	var all []string
	for _, item := range p.list(name) {
		all = append(all, item.text())
	}
	return all
}
