package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Control sequences that every terminal of today knows.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
)

// maxColumn is where the clocks stand on a wide terminal: far enough for the
// names of steps, near enough for the eye.
const maxColumn = 78

// tree draws a block for each machine and redraws all of it in place. When the
// terminal is too low for everything, finished steps are folded first, then each
// machine to one line. The last drawing is complete and stays.
type tree struct {
	out    io.Writer
	now    func() time.Time
	size   func() (int, int)
	marks  marks
	groups []*group
	drawn  []int // widths of the lines on the screen, in columns
	turn   int   // of the spinner
	hidden bool  // the cursor
}

// group is what is known of one machine, or of no machine in particular.
type group struct {
	machine string
	items   []item
}

// item is a step or, if step is nil, a note.
type item struct {
	step *step
	note string
}

// row is one line before it is fitted to the terminal.
type row struct {
	indent int
	mark   string
	text   string
	clock  string

	markPaint, textPaint paint
}

type marks struct {
	ok, bad, note, more string
	spin                []string
	color               bool
}

func newTree(c Config) *tree {
	m := marks{ok: "✓", bad: "✗", note: "·", more: "…", spin: strings.Split("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", ""), color: c.Color}
	if c.ASCII {
		m.ok, m.bad, m.note, m.more, m.spin = "+", "x", "-", "...", []string{"|", "/", "-", `\`}
	}
	return &tree{out: c.Out, now: c.Now, size: c.Size, marks: m}
}

func (t *tree) start(s *step) {
	g := t.group(s.machine)
	at := len(g.items)
	if s.parent != nil {
		// Parts stand below their whole, after the parts begun before.
		if i := slices.IndexFunc(g.items, func(it item) bool { return it.step == s.parent }); i >= 0 {
			for at = i + 1; at < len(g.items) && g.items[at].depth() > s.parent.depth; at++ {
			}
		}
	}
	g.items = slices.Insert(g.items, at, item{step: s})
	t.draw()
}

func (t *tree) finish(*step) { t.draw() }

func (t *tree) progress(*step) {} // the next redraw shows it

func (t *tree) note(machine, text string) {
	g := t.group(machine)
	g.items = append(g.items, item{note: text})
	t.draw()
}

func (t *tree) text(p []byte) {
	t.print(t.up() + clearBelow + string(p))
	t.drawn = nil
	t.draw()
}

func (t *tree) redraw() {
	t.turn++
	t.draw()
}

// close leaves the whole tree on the screen.
func (t *tree) close() {
	if len(t.groups) == 0 {
		return
	}
	width, _ := t.size()
	t.put(t.full(), width)
	t.print(showCursor)
}

func (t *tree) group(machine string) *group {
	for _, g := range t.groups {
		if g.machine == machine {
			return g
		}
	}
	g := &group{machine: machine}
	t.groups = append(t.groups, g)
	return g
}

// draw shows as much as fits.
func (t *tree) draw() {
	width, height := t.size()
	rows := t.full()
	if len(rows) >= height {
		rows = t.folded()
	}
	if len(rows) >= height {
		rows = t.briefest(max(height-1, 1))
	}
	t.put(rows, width)
}

// full is everything; the parts of a step that succeeded are not worth a line.
func (t *tree) full() []row {
	var rows []row
	for _, g := range t.groups {
		rows = append(rows, t.block(g, g.items)...)
	}
	return rows
}

// folded leaves out what has ended well.
func (t *tree) folded() []row {
	var rows []row
	for _, g := range t.groups {
		var rest []item
		ended := 0
		for _, it := range g.items {
			switch {
			case it.step == nil:
			case it.step.state == done:
				if it.step.depth == 0 {
					ended++
				}
			default:
				rest = append(rest, it)
			}
		}
		block := t.block(g, rest)
		if ended > 0 {
			at := min(len(block), t.offset(g))
			fold := row{indent: t.offset(g), mark: t.marks.ok, markPaint: green, text: fmt.Sprintf("%d done", ended)}
			block = slices.Insert(block, at, fold)
		}
		rows = append(rows, block...)
	}
	return rows
}

// briefest is a line per machine at work, at most limit lines.
func (t *tree) briefest(limit int) []row {
	var busy []row
	for _, g := range t.groups {
		for _, it := range slices.Backward(g.items) {
			if it.step != nil && it.step.state == running {
				text := it.step.name
				if g.machine != "" {
					text = g.machine + "  " + text
				}
				r := t.row(it.step)
				r.indent, r.text = 0, text
				busy = append(busy, r)
				break
			}
		}
	}
	if len(busy) > limit {
		more := len(busy) - limit + 1
		busy = append(busy[:limit-1], row{mark: t.marks.more, text: fmt.Sprintf("and %d more", more)})
	}
	return busy
}

func (t *tree) block(g *group, items []item) []row {
	var rows []row
	if g.machine != "" {
		rows = append(rows, row{text: g.machine, textPaint: bold})
	}
	for _, it := range items {
		if it.step == nil {
			rows = append(rows, row{indent: t.offset(g), mark: t.marks.note, text: it.note})
			continue
		}
		if it.step.within(done) {
			continue
		}
		r := t.row(it.step)
		r.indent += t.offset(g)
		rows = append(rows, r)
	}
	return rows
}

// offset is the indent of a group's items, which is also the number of its heading lines.
func (t *tree) offset(g *group) int {
	if g.machine == "" {
		return 0
	}
	return 1
}

// depth of a note is that of a step of its own.
func (it item) depth() int {
	if it.step == nil {
		return 0
	}
	return it.step.depth
}

// within tells whether s is a part of a step in state st.
func (s *step) within(st state) bool {
	for p := s.parent; p != nil; p = p.parent {
		if p.state == st {
			return true
		}
	}
	return false
}

func (t *tree) row(s *step) row {
	r := row{indent: s.depth, text: s.name, clock: Elapsed(s.took)}
	switch s.state {
	case done:
		r.mark, r.markPaint = t.marks.ok, green
	case failed:
		r.mark, r.markPaint = t.marks.bad, red
	default:
		r.mark, r.markPaint = t.marks.spin[t.turn%len(t.marks.spin)], cyan
		r.clock = Elapsed(t.now().Sub(s.began))
		if of := s.of.String(); of != "" {
			r.clock = of + " " + r.clock
		}
	}
	return r
}

// put replaces what is on the screen by rows in a single write.
func (t *tree) put(rows []row, width int) {
	var b strings.Builder
	if !t.hidden {
		b.WriteString(hideCursor)
		t.hidden = true
	}
	b.WriteString(t.up())
	t.drawn = t.drawn[:0]
	for _, r := range rows {
		line, taken := t.fit(r, width)
		b.WriteString(line + clearLine + "\n")
		t.drawn = append(t.drawn, taken)
	}
	b.WriteString(clearBelow)
	t.print(b.String())
}

// up moves to the first line on the screen. The terminal may have been made
// narrower since: then it has wrapped the lines.
func (t *tree) up() string {
	width, _ := t.size()
	lines := 0
	for _, columns := range t.drawn {
		lines += 1 + max(columns-1, 0)/max(width, 1)
	}
	if lines == 0 {
		return "\r"
	}
	return fmt.Sprintf("\x1b[%dA\r", lines)
}

func (t *tree) print(s string) { _, _ = io.WriteString(t.out, s) }

// fit lays a row out for a terminal of width columns; the last one stays empty because some
// terminals wrap there. It returns the line and the number of columns it takes.
func (t *tree) fit(r row, width int) (string, int) {
	limit := max(width-1, 1)
	head := strings.Repeat("  ", r.indent)
	text, clock := oneLine(r.text), r.clock
	fixed := columns(head)
	if r.mark != "" {
		fixed += columns(r.mark) + 1
	}
	if fixed+columns(clock)+1 >= limit {
		clock = "" // a very narrow terminal
	}
	room := max(limit-fixed, 0)
	if clock != "" {
		room -= columns(clock) + 1
	}
	if columns(text) > room {
		text = cut(text, max(room-columns(t.marks.more), 0)) + cut(t.marks.more, room)
	}
	taken := fixed + columns(text)
	line := head
	if r.mark != "" {
		line += t.paint(r.mark, r.markPaint) + " "
	}
	line += t.paint(text, r.textPaint)
	if clock != "" {
		gap := max(min(limit, maxColumn)-taken-columns(clock), 1)
		line += strings.Repeat(" ", gap) + t.paint(clock, dim)
		taken += gap + columns(clock)
	}
	return line, taken
}

// cut returns the first limit characters of s.
func cut(s string, limit int) string {
	for i := range s {
		if limit == 0 {
			return s[:i]
		}
		limit--
	}
	return s
}

// oneLine keeps a text from breaking the drawing: control characters become blanks.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// columns is the width of s on the screen. Names here are not in wide scripts.
func columns(s string) int { return utf8.RuneCountInString(s) }

// paint is the code of a colour or a weight.
type paint string

const (
	bold  paint = "1"
	dim   paint = "2"
	red   paint = "31"
	green paint = "32"
	cyan  paint = "36"
)

func (t *tree) paint(s string, p paint) string {
	if !t.marks.color || s == "" || p == "" {
		return s
	}
	return "\x1b[" + string(p) + "m" + s + "\x1b[0m"
}
