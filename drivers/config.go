package drivers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// marshalConfig returns the configuration as a JSON object in the order of its
// fields. Secrets are not in it.
func marshalConfig(c reflect.Value, fields []field) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range fields {
		if f.Secret {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, &OptionError{Option: f.Name, Err: err}
		}
		v := c.Field(f.index).Interface()
		switch x := v.(type) {
		case time.Duration:
			v = x.String() // a number would not say of what
		case []string:
			if x == nil {
				v = []string{}
			}
		}
		value, err := json.Marshal(v)
		if err != nil {
			return nil, &OptionError{Option: f.Name, Err: err}
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// unmarshalConfig sets the fields of c that config has. Others keep their
// value, and what config has besides is left aside.
func unmarshalConfig(c reflect.Value, fields []field, config json.RawMessage) error {
	if absent(config) {
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(config, &object); err != nil {
		return err
	}
	for _, f := range fields {
		raw, ok := object[f.key]
		if !ok || f.Secret || absent(raw) {
			continue
		}
		v := c.Field(f.index)
		if f.Kind == Duration && strings.HasPrefix(string(raw), `"`) {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return fmt.Errorf("option --%s: %w", f.Name, err)
			}
			if err := parse(v, f.Kind, text); err != nil {
				return fmt.Errorf("option --%s: %w", f.Name, err)
			}
			continue
		}
		if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
			return fmt.Errorf("option --%s: %w", f.Name, err)
		}
	}
	return nil
}

// marshalSecrets returns the secrets that are not empty as a JSON object by
// option name; nil if there are none.
func marshalSecrets(c reflect.Value, fields []field) (json.RawMessage, error) {
	secrets := map[string]string{}
	for _, f := range fields {
		if s := c.Field(f.index); f.Secret && !s.IsZero() {
			secrets[f.Name] = s.Interface().(Secret).Reveal()
		}
	}
	if len(secrets) == 0 {
		return nil, nil
	}
	return json.Marshal(secrets)
}

// unmarshalSecrets sets the secrets of c. Its error never holds one.
func unmarshalSecrets(c reflect.Value, fields []field, secrets json.RawMessage) error {
	if absent(secrets) {
		return nil
	}
	var object map[string]string
	if err := json.Unmarshal(secrets, &object); err != nil {
		return fmt.Errorf("not a JSON object of strings (%T)", err)
	}
	for _, f := range fields {
		if s, ok := object[f.Name]; ok && f.Secret {
			c.Field(f.index).SetString(s)
		}
	}
	return nil
}
