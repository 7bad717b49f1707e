package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is a node of the file without aliases, merges and variables.
type value struct {
	pos     Pos
	kind    yaml.Kind
	tag     string // of a scalar: !!str, !!int, !!float, !!bool, !!null ...
	text    string // of a scalar
	dynamic bool   // a scalar that had a variable: it is of any type that its text can be
	list    []*value
	fields  []field // in the order of the file
}

type field struct {
	name  string
	pos   Pos
	value *value
}

func (v *value) get(name string) *value {
	if v == nil {
		return nil
	}
	for _, f := range v.fields {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

func (v *value) null() bool { return v.kind == yaml.ScalarNode && v.tag == "!!null" && !v.dynamic }

// What a file may have at most: aliases of aliases make much of little.
const (
	maxFile  = 1 << 20
	maxNodes = 100_000
	maxDepth = 100
)

var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s*)?line (\d+): (.*)$`)

// reading is a file on its way from YAML to values. It goes on after an error, to tell all of them.
type reading struct {
	file  string
	vars  variables
	nodes int
	errs  []error
}

func (r *reading) fail(pos Pos, advice, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.file, Pos: pos, Text: fmt.Sprintf(format, args...), Advice: advice})
}

// document returns the one document of a file; nil after an error.
func (r *reading) document(data []byte) *value {
	if len(data) > maxFile {
		r.fail(Pos{}, "", "the file is larger than %d bytes", maxFile)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		r.fail(Pos{}, "", "the file is empty")
		return nil
	}
	if err == nil {
		if err = dec.Decode(&second); errors.Is(err, io.EOF) {
			return r.value(doc.Content[0], nil)
		} else if err == nil {
			r.fail(at(&second), "", "a second document: a cluster file has one")
			return nil
		}
	}
	pos, text := Pos{}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
		pos.Column, text = 1, m[2]
	}
	r.fail(pos, "", "no YAML: %s", text)
	return nil
}

func at(n *yaml.Node) Pos { return Pos{n.Line, n.Column} }

// value takes a node over. above are the anchors that it stands in.
func (r *reading) value(n *yaml.Node, above []*yaml.Node) *value {
	if r.nodes++; r.nodes > maxNodes || len(above) > maxDepth {
		if r.nodes <= maxNodes+1 || len(above) == maxDepth+1 {
			r.fail(at(n), "", "the file is too large or too deep")
		}
		r.nodes = maxNodes + 1
		return nil
	}
	for _, a := range above {
		if a == n {
			r.fail(at(n), "", "an anchor that contains itself")
			return nil
		}
	}
	inside := append(above[:len(above):len(above)], n)
	v := &value{pos: at(n), kind: n.Kind}
	switch n.Kind {
	case yaml.AliasNode:
		if target := r.value(n.Alias, above); target != nil {
			c := *target
			c.pos = at(n)
			return &c
		}
		return nil
	case yaml.ScalarNode:
		return r.scalar(v, n)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if e := r.value(c, inside); e != nil {
				v.list = append(v.list, e)
			}
		}
	case yaml.MappingNode:
		r.mapping(v, n, inside)
	}
	return v
}

func (r *reading) scalar(v *value, n *yaml.Node) *value {
	v.tag, v.text = n.ShortTag(), n.Value
	if strings.HasPrefix(v.tag, "!") && !strings.HasPrefix(v.tag, "!!") || v.tag == "!!binary" {
		r.fail(v.pos, "", "the tag %s is not known here", v.tag)
		return nil
	}
	if v.tag != "!!str" || !strings.Contains(n.Value, "$") {
		return v
	}
	expanded, err := r.vars.expand(n.Value)
	if err != nil {
		r.fail(v.pos, "", "%v", err)
		return nil
	}
	// What has only $$ is no more than a text with a dollar sign.
	v.dynamic = len(Variables(n.Value)) > 0
	v.text = expanded
	return v
}

// mapping takes a mapping over. What is merged gives way to what stands in the mapping itself.
func (r *reading) mapping(v *value, n *yaml.Node, above []*yaml.Node) {
	var merged []*value
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Value == "<<" && (k.Tag == "" || k.ShortTag() == "!!merge") {
			merged = append(merged, r.merge(c, above)...)
			continue
		}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			r.fail(at(k), "", "a key is a text")
			continue
		}
		if v.get(k.Value) != nil {
			r.fail(at(k), "", "key %q stands here twice", k.Value)
			continue
		}
		if e := r.value(c, above); e != nil {
			v.fields = append(v.fields, field{k.Value, at(n.Content[i]), e})
		}
	}
	for _, m := range merged {
		for _, f := range m.fields {
			if v.get(f.name) == nil {
				v.fields = append(v.fields, f)
			}
		}
	}
}

// merge returns the mappings that << takes in.
func (r *reading) merge(n *yaml.Node, above []*yaml.Node) []*value {
	v := r.value(n, above)
	if v == nil {
		return nil
	}
	all := []*value{v}
	if v.kind == yaml.SequenceNode {
		all = v.list
	}
	for _, m := range all {
		if m.kind != yaml.MappingNode {
			r.fail(at(n), "", "<< takes in a mapping, or a list of them")
			return nil
		}
	}
	return all
}
