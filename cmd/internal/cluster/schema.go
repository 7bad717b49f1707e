package cluster

import (
	"bytes"
	"encoding/json"
	"strings"
)

// SchemaID is where the schema says it is.
const SchemaID = "https://github.com/hostsmith/machine/blob/main/docs/cluster.schema.json"

// Schema is the JSON Schema (draft 2020-12) of cluster files, as editors use it. A text may have variables wherever a
// single value stands; what these become, and what several keys say together, is checked by Parse alone.
func Schema() ([]byte, error) {
	s := root().schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = SchemaID
	s["title"] = "machine cluster file"
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(s)
	return buf.Bytes(), err
}

type schema = map[string]any

// hasVariable is a text whose value is known only when it is read.
func hasVariable() schema { return schema{"type": "string", "pattern": `\$`} }

func either(s ...any) schema { return schema{"anyOf": s} }

func (t *typ) schema() schema {
	switch t.kind {
	case anObject:
		return t.objectSchema()
	case aMap:
		return schema{
			"type":                 []string{"object", "null"},
			"patternProperties":    schema{"^x-": schema{}},
			"propertyNames":        either(schema{"pattern": t.names}, schema{"pattern": "^x-"}),
			"additionalProperties": t.elem.schema(),
		}
	case aList:
		return schema{"type": []string{"array", "null"}, "items": (&typ{kind: aString, pattern: t.pattern}).schema()}
	case pairs:
		return schema{
			"type":          []string{"object", "array", "null"},
			"propertyNames": schema{"pattern": "^[^=]+$"}, "additionalProperties": scalar().schema(),
			"items": either(schema{"type": "string", "pattern": "^[^=]+="}, hasVariable()),
		}
	case anOption:
		return either(scalar().schema(), schema{"type": "array", "items": scalar().schema()}, fileType().schema())
	case aScalar:
		return schema{"type": []string{"string", "number", "boolean"}}
	case anInteger:
		return either(schema{"type": "integer", "minimum": t.min, "maximum": t.max}, hasVariable())
	case aBoolean:
		return either(schema{"type": "boolean"}, hasVariable())
	}
	switch {
	case len(t.oneOf) > 0:
		return either(schema{"enum": t.oneOf}, hasVariable())
	case t.pattern != "":
		return either(schema{"type": "string", "pattern": t.pattern}, hasVariable())
	}
	return schema{"type": "string"}
}

func (t *typ) objectSchema() schema {
	s := schema{
		"type":                 []string{"object", "null"},
		"additionalProperties": false,
		"patternProperties":    schema{"^x-": schema{}},
	}
	properties := schema{}
	var required []string
	for _, k := range t.keys {
		p := k.typ.schema()
		p["description"] = strings.ReplaceAll(k.doc, "`", "")
		properties[k.name] = p
		if k.required {
			required = append(required, k.name)
		}
	}
	s["properties"] = properties
	if required != nil {
		s["required"] = required
		s["type"] = "object"
	}
	if t.apart != nil {
		s["not"] = schema{"type": "object", "required": t.apart}
	}
	return s
}

// Key is a key of a cluster file as its documentation has it.
type Key struct {
	Path     string // such as machines.GROUP.engine.version
	Type     string
	Doc      string
	Required bool
}

// Keys are all keys in the order of documentation. Those of a group stand for defaults too.
func Keys() []Key {
	var keys []Key
	var walk func(path string, t *typ)
	walk = func(path string, t *typ) {
		for _, k := range t.keys {
			p := strings.TrimPrefix(path+"."+k.name, ".")
			keys = append(keys, Key{p, k.typ.word(), k.doc, k.required})
			switch {
			case k.name == "defaults": // as a group
			case k.typ.kind == aMap && k.typ.elem.kind == anObject:
				walk(p+"."+map[string]string{"machines": "GROUP", "stacks": "STACK"}[k.name], k.typ.elem)
			default:
				walk(p, k.typ)
			}
		}
	}
	walk("", root())
	return keys
}

// word is a type in documentation.
func (t *typ) word() string {
	switch t.kind {
	case anObject, aMap:
		return "mapping"
	case aList:
		return "list"
	case pairs:
		return "mapping or list of NAME=VALUE"
	case anInteger:
		return "integer"
	case aBoolean:
		return "boolean"
	}
	return "text"
}

// KeysTable is the table of keys of the documentation, in Markdown.
func KeysTable() string {
	var b strings.Builder
	b.WriteString("| Key | Value | Meaning |\n|---|---|---|\n")
	for _, k := range Keys() {
		doc := k.Doc
		if k.Required {
			doc += " (required)"
		}
		b.WriteString("| `" + k.Path + "` | " + k.Type + " | " + doc + " |\n")
	}
	return b.String()
}
