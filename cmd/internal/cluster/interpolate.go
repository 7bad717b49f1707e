package cluster

import (
	"errors"
	"fmt"
	"strings"
)

// variables puts values of the environment in the place of their names, by compose's rules:
//
//	$NAME ${NAME}         the value; empty if it is not set
//	${NAME:-text}         text if it is not set or empty; ${NAME-text} if it is not set
//	${NAME:?text}         an error if it is not set or empty; ${NAME?text} if it is not set
//	${NAME:+text}         text if it is set and not empty; ${NAME+text} if it is set
//	$$                    a dollar sign
//
// text may itself have variables.
type variables struct {
	lookup func(name string) (string, bool)
	unset  func(name string) // is told of what is neither set nor has a default; may be nil
	depth  int
}

const deepest = 20 // defaults within defaults

var errUnclosed = errors.New("${ without its }")

// expand returns s with its variables replaced. Errors name variables, never values.
func (v variables) expand(s string) (string, error) {
	if v.depth > deepest {
		return "", errors.New("too many variables within each other")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			end := closing(rest)
			if end < 0 {
				return "", errUnclosed
			}
			text, err := v.braced(rest[1:end])
			if err != nil {
				return "", err
			}
			b.WriteString(text)
			s = rest[end+1:]
		default:
			name := leadingName(rest)
			if name == "" {
				return "", errors.New("a dollar sign that begins no variable: write $$ for a dollar sign")
			}
			b.WriteString(v.value(name))
			s = rest[len(name):]
		}
	}
}

// closing is where the brace that s begins with is closed; -1: nowhere.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '{' && (i == 0 || s[i-1] == '$'):
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// braced is the value of what stands between ${ and }.
func (v variables) braced(s string) (string, error) {
	name := leadingName(s)
	if name == "" {
		return "", fmt.Errorf("${%s} names no variable", s)
	}
	op := s[len(name):]
	if op == "" {
		return v.value(name), nil
	}
	value, set := v.lookup(name)
	if strings.HasPrefix(op, ":") {
		op, set = op[1:], set && value != ""
	}
	if op == "" || !strings.Contains("-?+", op[:1]) {
		return "", fmt.Errorf("${%s} is no form of a variable: want ${%s}, ${%s:-default} or ${%s:?error}", s, name, name, name)
	}
	inner := v
	inner.depth++
	switch {
	case op[0] == '+' && set, op[0] == '-' && !set:
		return inner.expand(op[1:])
	case op[0] == '+':
		return "", nil
	case set:
		return value, nil
	}
	why, err := inner.expand(op[1:])
	if err != nil {
		return "", err
	}
	if why == "" {
		why = "must be set"
	}
	return "", fmt.Errorf("variable %s: %s", name, why)
}

func (v variables) value(name string) string {
	value, set := v.lookup(name)
	if !set && v.unset != nil {
		v.unset(name)
	}
	return value
}

// leadingName is the variable's name that s begins with.
func leadingName(s string) string {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return s[:i]
		}
	}
	return s
}

// Variables returns the names of the variables that a text uses, each once, in order; what is no variable is
// left aside.
func Variables(text string) []string {
	var names []string
	seen := map[string]bool{}
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '$' {
			continue
		}
		if text[i+1] == '$' {
			i++
			continue
		}
		if name := leadingName(strings.TrimPrefix(text[i+1:], "{")); name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
