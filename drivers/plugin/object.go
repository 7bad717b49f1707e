package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What a record has in its driver's object besides the configuration of the plugin, which leaves it aside.
const (
	optionsKey = "machine:options" // what create was given, secrets apart
	secretsKey = "machine:secrets" // by field, the name that its value has among the machine's secrets
	createKey  = "machine:create"  // how far a create came that has not ended
)

// How far a create came.
const (
	begun   = "begun"   // the plugin was told, and has recorded nothing since
	partial = "partial" // it has recorded something
)

// object is a plugin's configuration: the JSON that GetConfigRaw answers.
type object map[string]any

// readObject reads an object; nil if there is none. Numbers stay as they are written.
func readObject(raw []byte) (object, error) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var o object
	if err := dec.Decode(&o); err != nil {
		return nil, errors.New("not a JSON object") // what it is may be a secret
	}
	return o, nil
}

// write returns o as JSON that is the same for the same object.
func (o object) write() []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if o == nil {
		o = object{}
	}
	if err := enc.Encode(map[string]any(o)); err != nil {
		return []byte("{}") // of what was read as JSON there is no error
	}
	return bytes.TrimSpace(buf.Bytes())
}

// own returns what o has of this package's, and o without it.
func (o object) own() (own, rest object) {
	own, rest = object{}, maps.Clone(o)
	for _, key := range []string{optionsKey, secretsKey, createKey} {
		if v, ok := rest[key]; ok {
			own[key] = v
			delete(rest, key)
		}
	}
	return own, rest
}

// stored is o, whose secrets are fields, as a record has it of a machine whose create came to stage.
func (o object) stored(fields map[string]string, stage string) []byte {
	state := maps.Clone(o)
	if state == nil {
		state = object{}
	}
	if len(fields) > 0 {
		state[secretsKey] = fields
	}
	if stage != "" {
		state[createKey] = stage
	}
	return state.write()
}

// texts calls fn with the path of each text in o, those within objects and lists included, and puts what it returns in its place.
func (o object) texts(fn func(path, text string) string) object {
	var walk func(at string, v any) any
	fields := func(prefix string, in map[string]any) map[string]any {
		out := make(map[string]any, len(in))
		for key, v := range in {
			out[key] = walk(prefix+key, v)
		}
		return out
	}
	walk = func(at string, v any) any {
		switch v := v.(type) {
		case string:
			return fn(at, v)
		case map[string]any:
			return fields(at+".", v)
		case []any:
			out := make([]any, len(v))
			for i, v := range v {
				out[i] = walk(at+"."+strconv.Itoa(i), v)
			}
			return out
		}
		return v
	}
	return fields("", o)
}

// fieldOf returns the name of the field that a path leads to; that of a list, if it leads into one.
func fieldOf(at string) string {
	for {
		i := strings.LastIndexByte(at, '.')
		name := at[i+1:]
		if _, err := strconv.Atoi(name); err != nil || i < 0 {
			return name
		}
		at = at[:i]
	}
}

// hide takes the secrets out of o. names are the fields that hold one and what it is called, known what it is; new ones
// are found by their value, which an option gave, or, if learn says so, by the name of the field.
func (o object) hide(names, known map[string]string, learn bool) (object, map[string]string, map[string]string) {
	fields, secrets := map[string]string{}, maps.Clone(known)
	if secrets == nil {
		secrets = map[string]string{}
	}
	hidden := o.texts(func(at, text string) string {
		if text == "" {
			return text
		}
		name := names[at]
		if name == "" || secrets[name] != text && shares(names, at) {
			name = secretFor(text, known)
		}
		if name == "" && (names[at] != "" || looksSecret(fieldOf(at))) && learn {
			name = at // by its name, or because it was one that shared its value with others
		}
		if name == "" {
			return text
		}
		fields[at], secrets[name] = name, text
		return ""
	})
	return hidden, fields, secrets
}

// shares tells whether the secret of a field is another field's too.
func shares(names map[string]string, at string) bool {
	for other, name := range names {
		if other != at && name == names[at] {
			return true
		}
	}
	return false
}

// secretFor is what the text of a field is called as a secret; empty: it is none.
func secretFor(text string, known map[string]string) string {
	if len(text) > 3 { // a shorter one is anywhere
		for _, name := range slices.Sorted(maps.Keys(known)) {
			if known[name] == text {
				return name
			}
		}
	}
	return ""
}

// reveal puts the secrets into o.
func (o object) reveal(names, secrets map[string]string) object {
	return o.texts(func(at, text string) string {
		if name, ok := names[at]; ok && secrets[name] != "" {
			return secrets[name]
		}
		return text
	})
}

// place makes o the configuration of a machine in the store where it is now: stores are moved, and copied.
func (o object) place(machine, dir string) object {
	out := maps.Clone(o)
	if out == nil {
		out = object{}
	}
	out["MachineName"] = machine
	out["StorePath"] = filepath.Dir(filepath.Dir(dir))
	if key, ok := out["SSHKeyPath"].(string); ok {
		if file := fileOf(key, machine); file != "" {
			out["SSHKeyPath"] = filepath.Join(dir, file)
		}
	}
	return out
}

// fileOf returns the name of a file in the machine's folder of a store, wherever that was; empty: it is elsewhere.
func fileOf(name, machine string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	folder := path.Dir(name)
	if path.Base(folder) != machine || path.Base(path.Dir(folder)) != "machines" {
		return ""
	}
	return path.Base(name)
}

// stringMap reads an object of texts.
func stringMap(v any) map[string]string {
	out := map[string]string{}
	if all, ok := v.(map[string]any); ok {
		for key, v := range all {
			if text, ok := v.(string); ok {
				out[key] = text
			}
		}
	}
	return out
}
