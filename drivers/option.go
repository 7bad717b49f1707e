package drivers

// Kind is the type of an option's value.
type Kind int

// The kinds of options, by the Go type of the field.
const (
	String   Kind = iota // string
	Int                  // int
	Float                // float64
	Bool                 // bool
	Strings              // []string, may be given several times
	Duration             // time.Duration
)

// Option is one option of a driver: flag, environment variable, default,
// validation and reference documentation all come from it.
//
// A configuration field becomes an option by its tags:
//
//	Memory int `option:"memory" env:"DOCKER_MEMORY" help:"memory limit in MiB" min:"128"`
//
//	option    name after "<driver>-"; with a leading "=" the whole name
//	env       environment variables, comma-separated, first one wins
//	help      one line, lower case, no period
//	required  "true": must be given
//	oneof     allowed values, comma-separated
//	min, max  bounds of a number
//	alias     further whole names, comma-separated
//
// A field of type Secret is a secret: stored apart and never printed.
// The default is the field's value in the struct that def returns.
type Option struct {
	Name     string
	Aliases  []string
	Env      []string
	Kind     Kind
	Default  string // as a user would type it; for Strings comma-separated; empty for none
	Help     string
	Required bool
	Secret   bool
	OneOf    []string
}

// Secret is a string that prints, formats, logs and marshals as "REDACTED".
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
