package azuresim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// decode reads a request's body into our model. The models of the SDK tell what
// Azure knows, ours what the simulator acts upon.
func decode(body []byte, vocabulary, into any) *armError {
	var said any
	if err := json.Unmarshal(body, &said); err != nil {
		return refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	if err := known(body, said, vocabulary); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
			return notSimulated("the property %s", field)
		}
		return refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	return nil
}

// known refuses properties that are lost on the way through the SDK's model.
func known(body []byte, said, vocabulary any) *armError {
	if err := json.Unmarshal(body, vocabulary); err != nil {
		return refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	text, err := json.Marshal(vocabulary)
	if err != nil {
		return refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	var heard any
	if err := json.Unmarshal(text, &heard); err != nil {
		return refuse(500, "InternalServerError", "%s", err)
	}
	if path, name := lost(said, heard, ""); name != "" {
		return refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: 'Could not find member '%s' on object of type '%s'. Path '%s'.'.",
			name, reflect.TypeOf(vocabulary).Elem().Name(), path)
	}
	return nil
}

// lost returns the first property that is in a and not in b.
func lost(a, b any, path string) (string, string) {
	switch a := a.(type) {
	case map[string]any:
		heard, _ := b.(map[string]any)
		for name, value := range a {
			at := strings.TrimPrefix(path+"."+name, ".")
			if value == nil {
				continue
			}
			other, ok := heard[name]
			if !ok {
				return at, name
			}
			if path, name := lost(value, other, at); name != "" {
				return path, name
			}
		}
	case []any:
		heard, _ := b.([]any)
		for i := range a {
			if a[i] == nil {
				return fmt.Sprintf("%s[%d]", path, i), "null"
			}
			if i >= len(heard) {
				return path, fmt.Sprint(i)
			}
			if path, name := lost(a[i], heard[i], fmt.Sprintf("%s[%d]", path, i)); name != "" {
				return path, name
			}
		}
	}
	return "", ""
}

// copyOf returns a copy that shares nothing.
func copyOf[T any](from T) T {
	text, err := json.Marshal(from)
	if err != nil {
		panic(err) // our own models always marshal
	}
	to := reflect.New(reflect.TypeOf(from).Elem())
	if err := json.Unmarshal(text, to.Interface()); err != nil {
		panic(err)
	}
	return to.Interface().(T)
}
