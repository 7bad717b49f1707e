package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// invocation is a command line taken apart. Options may stand before and after
// the words they are mixed with; here they are sorted, in the form --name=value
// with the option's first name, so that nothing is left to guess for those who read it.
type invocation struct {
	globals []string
	path    []*cli.Command // the command and its subcommand; empty: none given
	flags   []string
	args    []string
	rest    int // index in args of the first word after "--"; -1: there was no "--"
	help    bool
}

// command returns the innermost command; nil: none was given.
func (v *invocation) command() *cli.Command {
	if len(v.path) == 0 {
		return nil
	}
	return v.path[len(v.path)-1]
}

// line is the command line for urfave/cli.
func (v *invocation) line(app string) []string {
	line := append([]string{app}, v.globals...)
	for _, c := range v.path {
		line = append(line, c.Name)
	}
	line = append(append(line, v.flags...), "--")
	return append(line, v.args...)
}

// values returns what was given for an option, in order.
func (v *invocation) values(flags []string, name string) []string {
	var values []string
	for _, f := range flags {
		if value, ok := strings.CutPrefix(f, "--"+name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// usageError is a command line that cannot be understood. Its exit code is 2.
type usageError struct {
	text   string
	advice string
}

func (e *usageError) Error() string { return e.text }
func (e *usageError) Hint() string  { return e.advice }

func usagef(format string, args ...any) *usageError {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

func (e *usageError) hint(format string, args ...any) *usageError {
	e.advice = fmt.Sprintf(format, args...)
	return e
}

// lookup finds an option among flags by any of its names.
func lookup(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// takesValue tells whether an option needs one.
func takesValue(f cli.Flag) bool {
	if g, ok := f.(*cli.GenericFlag); ok {
		if b, ok := g.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			return false
		}
	}
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// parser takes a command line apart.
type parser struct {
	app      string // name for texts
	legacy   bool   // docker-machine's texts
	globals  []cli.Flag
	commands []*cli.Command
	// rawAfter tells whether the words of a command are passed on as they are, options
	// among them, once n of them have been read.
	rawAfter func(c *cli.Command, n int) bool
	inv      invocation
}

// parse returns what it understood, also when it returns an error.
func (p *parser) parse(words []string) (*invocation, error) {
	p.inv.rest = -1
	for len(words) > 0 {
		word := words[0]
		cmd := p.inv.command()
		switch {
		case cmd != nil && p.rawAfter(cmd, len(p.inv.args)):
			p.inv.args = append(p.inv.args, words...)
			return &p.inv, nil
		case word == "--":
			p.inv.rest = len(p.inv.args)
			p.inv.args = append(p.inv.args, words[1:]...)
			words = nil
			continue
		case isOption(word):
			n, err := p.option(words)
			if err != nil {
				return &p.inv, err
			}
			words = words[n:]
			continue
		}
		words = words[1:]
		if cmd == nil || len(cmd.Subcommands) > 0 && len(p.inv.args) == 0 {
			if err := p.enter(word); err != nil {
				return &p.inv, err
			}
			continue
		}
		p.inv.args = append(p.inv.args, word)
	}
	if p.inv.command() == nil && len(p.inv.args) > 0 {
		return &p.inv, p.unknownCommand(p.inv.args[0], p.commands)
	}
	return &p.inv, nil
}

// isOption tells whether a word is an option. A lone dash is not.
func isOption(word string) bool { return len(word) > 1 && word[0] == '-' }

// enter descends into a command.
func (p *parser) enter(name string) error {
	commands := p.commands
	if c := p.inv.command(); c != nil {
		commands = c.Subcommands
	}
	for _, c := range commands {
		if c.HasName(name) {
			p.inv.path = append(p.inv.path, c)
			return nil
		}
	}
	return p.unknownCommand(name, commands)
}

func (p *parser) unknownCommand(name string, commands []*cli.Command) error {
	prefix := p.app
	for _, c := range p.inv.path {
		prefix += " " + c.Name
	}
	err := usagef("%s: '%s' is not a %s command. See '%s --help'.", p.app, name, prefix, prefix)
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	if near := nearest(name, names); near != "" {
		_ = err.hint("did you mean %s %s?", prefix, near)
	}
	return err
}

// option reads the option at words[0] and returns the number of words it takes.
func (p *parser) option(words []string) (int, error) {
	name := strings.TrimPrefix(words[0][1:], "-")
	name, value, given := strings.Cut(name, "=")
	if name == "h" || name == "help" {
		p.inv.help = true
		return 1, nil
	}
	f, into := p.find(name)
	if f == nil {
		if letters := p.letters(words[0]); letters != nil {
			p.inv.flags = append(p.inv.flags, letters...)
			return 1, nil
		}
		return 0, p.unknownOption(words[0], name)
	}
	n := 1
	switch {
	case given:
	case !takesValue(f):
		value = "true"
	case len(words) < 2:
		word := words[0]
		if p.legacy {
			word = "-" + name
		}
		return 0, usagef("flag needs an argument: %s", word).hint("see '%s --help'", p.where())
	default:
		value = words[1]
		n = 2
	}
	*into = append(*into, "--"+f.Names()[0]+"="+value)
	return n, nil
}

// find looks for an option of the command, then of the program.
func (p *parser) find(name string) (cli.Flag, *[]string) {
	if c := p.inv.command(); c != nil {
		if f := lookup(c.Flags, name); f != nil {
			return f, &p.inv.flags
		}
	}
	if f := lookup(p.globals, name); f != nil {
		return f, &p.inv.globals
	}
	return nil, nil
}

// letters takes a group of one-letter switches, such as -fy, apart; nil: it is none.
func (p *parser) letters(word string) []string {
	c := p.inv.command()
	if c == nil || strings.HasPrefix(word, "--") || len(word) < 3 {
		return nil
	}
	var out []string
	for _, letter := range word[1:] {
		f := lookup(c.Flags, string(letter))
		if f == nil || takesValue(f) {
			return nil
		}
		out = append(out, "--"+f.Names()[0]+"=true")
	}
	return out
}

func (p *parser) unknownOption(word, name string) error {
	word, _, _ = strings.Cut(word, "=")
	if p.legacy { // as package flag says it
		word = "-" + name
	}
	err := usagef("flag provided but not defined: %s", word)
	var names []string
	flags := p.globals
	if c := p.inv.command(); c != nil {
		flags = append(slices.Clone(c.Flags), flags...)
	}
	for _, f := range flags {
		for _, n := range f.Names() {
			if len(n) > 1 {
				names = append(names, n)
			}
		}
	}
	if near := nearest(name, names); near != "" {
		return err.hint("did you mean --%s? See '%s --help'", near, p.where())
	}
	return err.hint("see '%s --help'", p.where())
}

// where is the command line so far, for advice.
func (p *parser) where() string {
	words := []string{p.app}
	for _, c := range p.inv.path {
		words = append(words, c.Name)
	}
	if given := p.inv.values(p.inv.flags, "driver"); len(given) > 0 {
		words = append(words, "-d", quoted(given[len(given)-1])) // whose options help is to show
	}
	return strings.Join(words, " ")
}

// nearest returns the name that a person who typed word most likely meant; empty: none is near. How
// far away it may be goes by what they do not begin with alike.
func nearest(word string, names []string) string {
	best, least := "", len(word)+1
	for _, name := range names {
		alike := 0
		for alike < min(len(word), len(name)) && word[alike] == name[alike] {
			alike++
		}
		d := distance(word, name)
		if strings.HasPrefix(name, word) && len(word) > 1 {
			d = min(d, 1)
		}
		if d < least && d < (len(word)-alike)/3+2 {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap to get from a to b.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
