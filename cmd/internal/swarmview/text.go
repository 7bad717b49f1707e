// Package swarmview shows a swarm to people who would rather look than read: as a
// tree in the terminal, as a picture, and as a page that follows it. What it shows
// is a lifecycle.SwarmView; it asks nobody itself.
package swarmview

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// Style is what a terminal can do.
type Style struct {
	Color bool
	ASCII bool // nothing beyond
}

// The moods that things are shown in.
const (
	well = "well"
	busy = "busy"
	bad  = "bad"
	idle = "idle"
)

// moodOf tells how a node is.
func moodOf(n lifecycle.SwarmNode) string {
	switch {
	case n.State == "down" || n.Reachability == "unreachable" || n.State == "no answer" || n.State == "error" || n.State == "locked":
		return bad
	case n.Problem != "" || n.Silent != "" || n.Failing > 0:
		return busy
	case n.Availability == "drain" || n.Availability == "pause":
		return idle
	}
	return well
}

// moodOfTask tells how a task is.
func moodOfTask(t lifecycle.SwarmTask) string {
	switch t.State {
	case "running", "complete":
		return well
	case "failed", "rejected", "orphaned":
		return bad
	case "shutdown", "remove":
		return idle
	}
	return busy
}

// words says of a node what a card or a line has room for.
func words(n lifecycle.SwarmNode) string {
	role := n.Role
	if n.Leader {
		role += ", leader"
	}
	out := []string{role}
	for _, s := range []string{n.State, n.Availability, n.Reachability} {
		if s != "" && s != "active" && s != "reachable" {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

// tasksOn are the tasks of a node; an empty id: of none.
func tasksOn(v lifecycle.SwarmView, id string) (found []lifecycle.SwarmTask) {
	for _, t := range v.TaskList {
		if t.NodeID == id {
			found = append(found, t)
		}
	}
	return found
}

// branch is a line of the tree and what hangs below it.
type branch struct {
	mood string
	text string
	sub  []branch
}

// Text draws the swarm as a tree.
func Text(v lifecycle.SwarmView, s Style) string {
	var b strings.Builder
	b.WriteString(v.Headline() + "\n\n" + v.Name + "\n")
	var top []branch
	for _, n := range v.Nodes {
		line := n.Name() + "  " + words(n)
		for _, extra := range []string{n.Addr, n.Engine} {
			if extra != "" {
				line += "  " + extra
			}
		}
		if n.Problem != "" {
			line += "  (" + n.Problem + ")"
		}
		node := branch{mood: moodOf(n), text: line}
		if n.ID != "" {
			node.sub = leaves(tasksOn(v, n.ID))
		}
		top = append(top, node)
	}
	if waiting := leaves(tasksOn(v, "")); len(waiting) > 0 {
		top = append(top, branch{mood: busy, text: "no node", sub: waiting})
	}
	s.draw(&b, top, "")
	if len(v.Services) > 0 {
		b.WriteString("\nServices\n")
		var rows []branch
		for _, x := range v.Services {
			rows = append(rows, branch{mood: moodOfService(x), text: fmt.Sprintf("%s  %s  %d/%d  %s", x.Name, cmp.Or(x.Mode, "service"), x.Running, x.Wanted, x.ShortImage())})
		}
		s.draw(&b, rows, "")
	}
	return b.String()
}

func moodOfService(x lifecycle.SwarmService) string {
	switch {
	case x.Failing > 0:
		return bad
	case x.Running < x.Wanted:
		return busy
	}
	return well
}

func leaves(tasks []lifecycle.SwarmTask) (out []branch) {
	for _, t := range tasks {
		text := t.Name + "  " + t.State
		if t.Error != "" {
			text += ": " + t.Error
		}
		out = append(out, branch{mood: moodOfTask(t), text: text})
	}
	return out
}

func (s Style) draw(b *strings.Builder, list []branch, indent string) {
	fork, end, pass := "├─ ", "└─ ", "│  "
	if s.ASCII {
		fork, end, pass = "|- ", "`- ", "|  "
	}
	for i, x := range list {
		arm, below := fork, pass
		if i == len(list)-1 {
			arm, below = end, "   "
		}
		b.WriteString(indent + arm + s.mark(x.mood) + " " + x.text + "\n")
		s.draw(b, x.sub, indent+below)
	}
}

// mark is a sign for a mood, which is told without its colour too.
func (s Style) mark(mood string) string {
	signs := map[string]string{well: "●", busy: "◐", bad: "✗", idle: "○"}
	if s.ASCII {
		signs = map[string]string{well: "*", busy: "~", bad: "x", idle: "o"}
	}
	if !s.Color {
		return signs[mood]
	}
	color := map[string]string{well: "32", busy: "33", bad: "31", idle: "2"}
	return "\x1b[" + color[mood] + "m" + signs[mood] + "\x1b[0m"
}
