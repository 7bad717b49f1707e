package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// daemonJSON is the engine's own configuration file.
const daemonJSON = "/etc/docker/daemon.json"

// setting is one key of daemon.json that is ours to have.
type setting struct {
	key   string
	flag  string   // the dockerd flag of the same meaning
	value any      // of a scalar or an object
	list  []string // of a list: elements that must be in it
}

// record is what of the host's daemon.json is ours, so that it can be changed
// and taken away without touching what is not. It is kept in /etc/docker/machine.json.
type record struct {
	Created  bool                       `json:"created"`  // there was no daemon.json
	Settings map[string]json.RawMessage `json:"settings"` // values that we set; of lists the elements that we added
}

// parseRecord reads a record; one that cannot be read counts as none, for then
// everything in daemon.json is the user's.
func parseRecord(data []byte) record {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}
	}
	return r
}

func (r record) encode() []byte {
	b, err := marshal(r)
	if err != nil {
		panic(err) // strings and raw JSON that was parsed
	}
	return append(b, '\n')
}

// member is a key of a JSON object with its value as it was written.
type member struct {
	key   string
	value json.RawMessage
}

// object is a JSON object that keeps order and spelling.
type object []member

func (o object) get(key string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.key == key {
			return m.value, true
		}
	}
	return nil, false
}

func (o object) set(key string, value json.RawMessage) object {
	for i := range o {
		if o[i].key == key {
			o[i].value = value
			return o
		}
	}
	return append(o, member{key, value})
}

func (o object) without(key string) object {
	return slices.DeleteFunc(o, func(m member) bool { return m.key == key })
}

// render writes o with one key a line; values stay as they were written.
func (o object) render() []byte {
	if len(o) == 0 {
		return []byte("{}\n")
	}
	var b bytes.Buffer
	for i, m := range o {
		sep := ",\n"
		if i == 0 {
			sep = "{\n"
		}
		key, err := marshal(m.key)
		if err != nil {
			panic(err) // a string
		}
		fmt.Fprintf(&b, "%s  %s: %s", sep, key, m.value)
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}

// parseObject reads daemon.json; an empty file is an empty object, as it is to dockerd.
func parseObject(data []byte) (object, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if !json.Valid(data) {
		var any json.RawMessage
		err := json.Unmarshal(data, &any)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s: %w", position(data, syntax.Offset), err)
		}
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("line 1, column 1: not a JSON object")
	}
	var o object
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string)
		if _, twice := o.get(key); twice {
			return nil, fmt.Errorf("%s: key %q stands there twice", position(data, d.InputOffset()), key)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		o = append(o, member{key, value})
	}
	return o, nil
}

func position(data []byte, offset int64) string {
	before := data[:min(int(offset), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n')-1)
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// sameJSON tells whether two values mean the same, however they are written.
func sameJSON(a, b json.RawMessage) bool {
	decode := func(data json.RawMessage) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber() // 1 and 1.0 are written by different hands
		err = d.Decode(&v)
		return v, err
	}
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// unmerge takes away what r says is ours, unless someone has changed it since.
func unmerge(o object, r record) object {
	for _, key := range slices.Sorted(maps.Keys(r.Settings)) {
		ours := r.Settings[key]
		theirs, ok := o.get(key)
		if !ok {
			continue
		}
		var ourList, list []string
		if json.Unmarshal(ours, &ourList) == nil && json.Unmarshal(theirs, &list) == nil {
			list = slices.DeleteFunc(list, func(s string) bool { return slices.Contains(ourList, s) })
			if len(list) == 0 {
				o = o.without(key)
				continue
			}
			if value, err := marshal(list); err == nil {
				o = o.set(key, value)
			}
		} else if sameJSON(ours, theirs) {
			o = o.without(key)
		}
	}
	return o
}

// merge adds settings to o and returns what it added. A setting that the user has made
// otherwise is a conflict.
func merge(o object, settings []setting) (object, map[string]json.RawMessage, error) {
	added := map[string]json.RawMessage{}
	for _, s := range settings {
		theirs, ok := o.get(s.key)
		if s.list == nil {
			value, err := marshal(s.value)
			if err != nil {
				return nil, nil, err
			}
			if !ok {
				o = o.set(s.key, value)
				added[s.key] = value
			} else if !sameJSON(theirs, value) {
				return nil, nil, fmt.Errorf("%q is %s, and must be %s", s.key, clip(string(theirs), 100), value)
			}
			continue
		}
		var list []string
		if ok {
			if err := json.Unmarshal(theirs, &list); err != nil {
				return nil, nil, fmt.Errorf("%q is not a list of strings", s.key)
			}
		}
		if err := labelConflict(s, list); err != nil {
			return nil, nil, err
		}
		var mine []string
		for _, v := range s.list {
			if !slices.Contains(list, v) {
				list, mine = append(list, v), append(mine, v)
			}
		}
		if len(mine) == 0 {
			continue
		}
		whole, err := marshal(list)
		if err != nil {
			return nil, nil, err
		}
		if added[s.key], err = marshal(mine); err != nil {
			return nil, nil, err
		}
		o = o.set(s.key, whole)
	}
	return o, added, nil
}

// labelConflict: the engine refuses two values for one label.
func labelConflict(s setting, theirs []string) error {
	if s.key != "labels" {
		return nil
	}
	for _, ours := range s.list {
		key, _, _ := strings.Cut(ours, "=")
		for _, other := range append(slices.Clone(theirs), s.list...) {
			if k, _, _ := strings.Cut(other, "="); k == key && other != ours {
				return fmt.Errorf("label %q is also asked for as %q", other, ours)
			}
		}
	}
	return nil
}

// sameSettings tells whether two objects mean the same: neither the order of keys nor
// that of a list's elements means anything in what we set.
func sameSettings(a, b object) bool {
	if len(a) != len(b) {
		return false
	}
	for _, m := range a {
		other, ok := b.get(m.key)
		if !ok {
			return false
		}
		var x, y []string
		if json.Unmarshal(m.value, &x) == nil && json.Unmarshal(other, &y) == nil && x != nil && y != nil {
			slices.Sort(x)
			slices.Sort(y)
			if !slices.Equal(x, y) {
				return false
			}
		} else if !sameJSON(m.value, other) {
			return false
		}
	}
	return true
}

// mergeDaemonJSON returns the host's daemon.json and the record of what is ours in it as they
// should be; changed tells whether that is news.
func mergeDaemonJSON(current, rec []byte, settings []setting) (file, newRec []byte, changed bool, err error) {
	o, err := parseObject(current)
	if err != nil {
		return nil, nil, false, err
	}
	before := slices.Clone(o)
	old := parseRecord(rec)
	merged, added, err := merge(unmerge(o, old), settings)
	if err != nil {
		return nil, nil, false, err
	}
	r := record{Created: current == nil || old.Created, Settings: added}
	newRec = r.encode()
	if len(merged) == 0 && current == nil {
		return nil, nil, false, nil
	}
	if sameSettings(before, merged) && sameRecord(old, r) {
		return current, newRec, false, nil
	}
	return merged.render(), newRec, true, nil
}

func sameRecord(a, b record) bool {
	return a.Created == b.Created && maps.EqualFunc(a.Settings, b.Settings, func(x, y json.RawMessage) bool { return sameJSON(x, y) })
}
