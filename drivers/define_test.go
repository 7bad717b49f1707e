package drivers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// define defines a driver with configuration def and returns what it panics with.
func define[C any](name string, def C) (panicked string) {
	defer func() {
		if p := recover(); p != nil {
			panicked = fmt.Sprint(p)
		}
	}()
	drivers.Define(name, "s", func() C { return def }, func(C, *drivers.Durable[state], drivers.Env) (drivers.Driver, error) { return nil, nil })
	return ""
}

func TestDefinePanicsOnBugs(t *testing.T) {
	t.Parallel()
	type ok struct {
		A int `option:"a" help:"h"`
	}
	for _, name := range []string{"", "A", "a_b", "-a", "a-", "a--b", "1a", "a b", "ä"} {
		if got := define(name, ok{}); !strings.Contains(got, "a name is lower-case") {
			t.Errorf("name %q: got panic %q", name, got)
		}
	}
	for _, name := range []string{"a", "amazonec2", "a-b"} {
		if got := define(name, ok{}); got != "" {
			t.Errorf("name %q: got panic %q", name, got)
		}
	}
	for want, got := range map[string]string{
		"drivers: define x: configuration int is not a struct": define("x", 1),
		"drivers: define x: field A: has no option tag": define("x", struct {
			A int `help:"h"`
		}{}),
		"drivers: define x: field a: is not exported": define("x", struct {
			a int `option:"a" help:"h"`
		}{}),
		`drivers: define x: field A: malformed option name "x-A"`: define("x", struct {
			A int `option:"A" help:"h"`
		}{}),
		`drivers: define x: field A: malformed option name "x-"`: define("x", struct {
			A int `option:"" help:"h"`
		}{}),
		`drivers: define x: field A: malformed option name ""`: define("x", struct {
			A int `option:"=" help:"h"`
		}{}),
		`drivers: define x: field A: malformed option name "b "`: define("x", struct {
			A int `option:"a" alias:"b ,c" help:"h"`
		}{}),
		`drivers: define x: field A: malformed environment variable "A-B"`: define("x", struct {
			A int `option:"a" env:"A-B" help:"h"`
		}{}),
		`drivers: define x: field A: help "" is not one line without a period`: define("x", struct {
			A int `option:"a"`
		}{}),
		`drivers: define x: field A: help "h." is not one line without a period`: define("x", struct {
			A int `option:"a" help:"h."`
		}{}),
		"drivers: define x: field A: type uint8 cannot be an option": define("x", struct {
			A uint8 `option:"a" help:"h"`
		}{}),
		"drivers: define x: field A: type *int cannot be an option": define("x", struct {
			A *int `option:"a" help:"h"`
		}{}),
		"drivers: define x: field B: option x-a exists twice": define("x", struct {
			A int `option:"a" help:"h"`
			B int `option:"=x-a" help:"h"`
		}{}),
		"drivers: define x: field B: option b exists twice": define("x", struct {
			A int `option:"a" alias:"b" help:"h"`
			B int `option:"=b" help:"h"`
		}{}),
		"drivers: define x: field B: JSON key A exists twice": define("x", struct {
			A int `option:"a" help:"h"`
			B int `option:"b" json:"A" help:"h"`
		}{}),
		"drivers: define x: field A: a secret has no default": define("x", struct {
			A drivers.Secret `option:"a" help:"h"`
		}{"s"}),
		`drivers: define x: field A: required "yes" is not true or false`: define("x", struct {
			A int `option:"a" required:"yes" help:"h"`
		}{}),
		"drivers: define x: field A: is required and has a default": define("x", struct {
			A int `option:"a" required:"true" help:"h"`
		}{1}),
		"drivers: define x: field A: oneof does not go with int": define("x", struct {
			A int `option:"a" oneof:"1,2" help:"h"`
		}{}),
		`drivers: define x: field A: default "c" is none of a, b`: define("x", struct {
			A []string `option:"a" oneof:"a,b" help:"h"`
		}{[]string{"a", "c"}}),
		"drivers: define x: field A: min does not go with string": define("x", struct {
			A string `option:"a" min:"1" help:"h"`
		}{}),
		`drivers: define x: field A: max: "1x" is not a duration such as 30s or 5m`: define("x", struct {
			A time.Duration `option:"a" max:"1x" help:"h"`
		}{}),
		"drivers: define x: field A: min 2 is more than max 1": define("x", struct {
			A float64 `option:"a" min:"2" max:"1" help:"h"`
		}{}),
	} {
		if got != want {
			t.Errorf("got panic  %q\nwant panic %q", got, want)
		}
	}
}

func TestDuplicateDriversPanic(t *testing.T) {
	t.Parallel()
	defer func() {
		if got, want := fmt.Sprint(recover()), "drivers: table has two drivers called toy"; got != want {
			t.Errorf("got panic %q, want %q", got, want)
		}
	}()
	_, _ = drivers.Table{newToy(), newToy()}.Lookup("other")
}

func TestKindString(t *testing.T) {
	t.Parallel()
	var got []string
	for k := drivers.String; k <= drivers.Duration+1; k++ {
		got = append(got, k.String())
	}
	if got, want := strings.Join(got, " "), "string int float bool strings duration Kind(6)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
