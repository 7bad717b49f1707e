package ec2sim

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"time"
)

// m is a structure of an answer, by the description's member names. Nil values are left out.
type m map[string]any

const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// render writes an answer as the description has it.
func (a *api) render(action, requestID string, answer m) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%sResponse xmlns=%q><requestId>%s</requestId>", action, namespace, requestID)
	if out := a.Actions[action][1]; out == "" {
		b.WriteString("<return>true</return>")
	} else if err := a.members(&b, out, answer); err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	fmt.Fprintf(&b, "</%sResponse>", action)
	return b.Bytes(), nil
}

func (a *api) members(b *bytes.Buffer, ref string, fields m) error {
	s := a.Shapes[ref]
	if s == nil || s.members == nil {
		return fmt.Errorf("%s is no structure", ref)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] == nil {
			continue
		}
		described, ok := s.members[name]
		if !ok {
			return fmt.Errorf("%s has no %s", ref, name)
		}
		if err := a.element(b, described.xml, described.ref, fields[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (a *api) element(b *bytes.Buffer, tag, ref string, value any) error {
	fmt.Fprintf(b, "<%s>", tag)
	if err := a.content(b, ref, value); err != nil {
		return err
	}
	fmt.Fprintf(b, "</%s>", tag)
	return nil
}

func (a *api) content(b *bytes.Buffer, ref string, value any) error {
	items := func(n int, at func(int) any) error {
		s := a.Shapes[ref]
		if s == nil || s.List == "" {
			return fmt.Errorf("%s is no list", ref)
		}
		for i := range n {
			if err := a.element(b, s.Item, s.List, at(i)); err != nil {
				return err
			}
		}
		return nil
	}
	switch v := value.(type) {
	case m:
		return a.members(b, ref, v)
	case []m:
		return items(len(v), func(i int) any { return v[i] })
	case []string:
		return items(len(v), func(i int) any { return v[i] })
	case []int:
		return items(len(v), func(i int) any { return v[i] })
	}
	if s := a.Shapes[ref]; s != nil && s.Enum == nil {
		return fmt.Errorf("%s is no plain value", ref)
	}
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case bool, int:
		text = fmt.Sprint(v)
	case time.Time:
		text = v.UTC().Format("2006-01-02T15:04:05.000Z")
	case []byte:
		text = base64.StdEncoding.EncodeToString(v)
	default:
		return fmt.Errorf("a %T cannot be written", value)
	}
	return xml.EscapeText(b, []byte(text))
}

// orNil is a text, or nothing if it is empty.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
