package drivers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
)

// Secret is a string that prints, formats, logs and marshals as "REDACTED",
// also when it is empty.
//
// Package fmt does not call methods of what is held in an unexported field, and
// package json not those of map keys: a Secret is kept in neither where the
// whole may be printed.
type Secret string

const redacted = "REDACTED"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "REDACTED".
func (Secret) String() string { return redacted }

// GoString returns "REDACTED".
func (Secret) GoString() string { return redacted }

// Format writes "REDACTED", whatever the verb and the flags.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON returns "REDACTED" as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "REDACTED", for encoders other than JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "REDACTED".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// OverlaySecrets returns stored secrets with others put over them; an empty one is none, and nil is no secrets. Its
// error holds none.
func OverlaySecrets(secrets, over json.RawMessage) (json.RawMessage, error) {
	all := map[string]string{}
	for _, part := range []json.RawMessage{secrets, over} {
		if !absent(part) && json.Unmarshal(part, &all) != nil {
			return nil, errors.New("not a JSON object of strings")
		}
	}
	maps.DeleteFunc(all, func(_, secret string) bool { return secret == "" })
	if len(all) == 0 {
		return nil, nil
	}
	return json.Marshal(all)
}

// SecretsOf returns what the environment says of the secrets among options; nil: nothing.
func SecretsOf(options []Option, getenv func(string) string) (json.RawMessage, error) {
	found := map[string]string{}
	for _, o := range options {
		for _, env := range o.Env {
			if v := getenv(env); o.Secret && v != "" && found[o.Name] == "" {
				found[o.Name] = v
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	return json.Marshal(found)
}
