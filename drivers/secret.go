package drivers

import (
	"fmt"
	"io"
	"log/slog"
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
