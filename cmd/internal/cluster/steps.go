package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a step does.
type Kind string

// The kinds of steps, in the order in which they are done.
const (
	Adopt        Kind = "adopt"        // an existing machine is recorded as the project's
	Create       Kind = "create"       //
	Start        Kind = "start"        //
	Init         Kind = "init"         // a new swarm on a machine
	Join         Kind = "join"         // the swarm
	Promote      Kind = "promote"      //
	Demote       Kind = "demote"       //
	Label        Kind = "label"        // node labels
	Availability Kind = "availability" //
	Leave        Kind = "leave"        // the swarm
	Change       Kind = "change"       // the engine's options
	Upgrade      Kind = "upgrade"      // the engine
	Replace      Kind = "replace"      // remove and create again
	Deploy       Kind = "deploy"       // a stack
	RemoveStack  Kind = "remove-stack" //
	Remove       Kind = "remove"       // a machine that the file no longer has
)

func order() []Kind {
	return []Kind{Adopt, Create, Start, Init, Join, Promote, Label, Availability, Demote, Leave, Change, Upgrade, Replace, Deploy, RemoveStack, Remove}
}

// The flags that steps which destroy something wait for.
const (
	AllowReplace = "--allow-replace"
	Prune        = "--prune"
)

// Step is one thing to do with one machine or stack.
type Step struct {
	Kind  Kind     `json:"kind"`
	Name  string   `json:"name"` // of the machine or stack
	Group string   `json:"group,omitempty"`
	Role  string   `json:"role,omitempty"` // in the swarm, of Init, Join, Promote, Demote and Replace
	Why   []string `json:"why,omitempty"`  // what differs
	Needs string   `json:"needs,omitempty"`
	Held  bool     `json:"held,omitempty"` // what it needs is not given: it is not done
}

// Steps is a plan.
type Steps struct {
	Project string   `json:"project"`
	Steps   []Step   `json:"steps"`
	Notes   []string `json:"notes,omitempty"`
}

// Of returns the steps of some kinds that are to be done.
func (s Steps) Of(kinds ...Kind) []Step {
	var out []Step
	for _, step := range s.Steps {
		if !step.Held && slices.Contains(kinds, step.Kind) {
			out = append(out, step)
		}
	}
	return out
}

// Drift tells whether anything differs from the file. That a machine is not yet recorded as the project's is no difference.
func (s Steps) Drift() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Kind != Adopt })
}

// Idle tells whether there is nothing that would be done.
func (s Steps) Idle() bool {
	return !slices.ContainsFunc(s.Steps, func(step Step) bool { return !step.Held })
}

// HeldBy returns the names of what waits for a flag.
func (s Steps) HeldBy(flag string) []string {
	var names []string
	for _, step := range s.Steps {
		if step.Held && step.Needs == flag {
			names = append(names, step.Name)
		}
	}
	return names
}

func (s Step) String() string {
	sign := map[Kind]string{
		Create: "+", Init: "+", Join: "+", Deploy: "+", Replace: "-/+", Remove: "-", RemoveStack: "-", Leave: "-",
	}[s.Kind]
	if sign == "" {
		sign = "~"
	}
	line := fmt.Sprintf("%-3s %-12s %s", sign, s.Kind, s.Name)
	if len(s.Why) > 0 {
		line += ": " + strings.Join(s.Why, ", ")
	}
	if s.Held {
		line += " (not without " + s.Needs + ")"
	}
	return line
}

// String is the plan as a person reads it.
func (s Steps) String() string {
	var b strings.Builder
	if len(s.Steps) == 0 {
		fmt.Fprintf(&b, "%s: nothing to do\n", s.Project)
	} else {
		fmt.Fprintf(&b, "%s:\n", s.Project)
	}
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "  %s\n", step)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	return b.String()
}
