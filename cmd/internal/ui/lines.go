package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// plain prints a line for each start and each end. A write that fails is
// dropped: there is nobody left to tell.
type plain struct {
	out io.Writer
	now func() time.Time
}

func (p *plain) start(s *step) { p.line(s.machine, s.name+" ...") }

func (p *plain) finish(s *step) {
	word := "done"
	if s.state == failed {
		word = "failed"
	}
	p.line(s.machine, fmt.Sprintf("%s %s (%s)", s.name, word, Elapsed(s.took)))
}

func (p *plain) progress(s *step) {
	if s.due(p.now(), 10*time.Second) {
		p.line(s.machine, s.name+" "+s.of.String())
	}
}

func (p *plain) note(machine, text string) { p.line(machine, text) }
func (p *plain) text(b []byte)             { _, _ = p.out.Write(b) }
func (p *plain) redraw()                   {}
func (p *plain) close()                    {}

func (p *plain) line(machine, text string) {
	if machine != "" {
		text = machine + ": " + text
	}
	_, _ = fmt.Fprintln(p.out, text)
}

// quiet shows no progress, only what others have to say.
type quiet struct {
	out io.Writer
}

func (q *quiet) start(*step)         {}
func (q *quiet) finish(*step)        {}
func (q *quiet) progress(*step)      {}
func (q *quiet) note(string, string) {}
func (q *quiet) text(b []byte)       { _, _ = q.out.Write(b) }
func (q *quiet) redraw()             {}
func (q *quiet) close()              {}

// jsonLines prints one object per event.
type jsonLines struct {
	out io.Writer
	now func() time.Time
}

// Event is one line of --progress=json.
type Event struct {
	Time    time.Time `json:"time"`
	Machine string    `json:"machine,omitempty"`
	Step    string    `json:"step,omitempty"`
	Parent  string    `json:"parent,omitempty"` // the step that this one is a part of
	Event   string    `json:"event"`            // start, progress, done, fail or note
	Done    *int64    `json:"done,omitempty"`   // of progress: bytes
	Total   *int64    `json:"total,omitempty"`  // of progress, if it is known: of so many
	TookMs  *int64    `json:"tookMs,omitempty"` // of done and fail
	Text    string    `json:"text,omitempty"`   // of note
	Error   string    `json:"error,omitempty"`  // of fail
}

func (j *jsonLines) start(s *step) {
	j.print(Event{Time: s.began, Machine: s.machine, Step: s.name, Parent: s.parentName(), Event: "start"})
}

func (j *jsonLines) finish(s *step) {
	took := s.took.Milliseconds()
	e := Event{
		Time: s.began.Add(s.took), Machine: s.machine, Step: s.name, Parent: s.parentName(),
		Event: "done", TookMs: &took,
	}
	if s.state == failed {
		e.Event, e.Error = "fail", s.err.Error()
	}
	j.print(e)
}

func (j *jsonLines) progress(s *step) {
	now := j.now()
	if !s.due(now, time.Second) {
		return
	}
	e := Event{Time: now, Machine: s.machine, Step: s.name, Parent: s.parentName(), Event: "progress", Done: &s.of.done}
	if s.of.total >= 0 {
		e.Total = &s.of.total
	}
	j.print(e)
}

func (j *jsonLines) note(machine, text string) {
	j.print(Event{Time: j.now(), Machine: machine, Event: "note", Text: text})
}

func (j *jsonLines) text(b []byte) { _, _ = j.out.Write(b) }
func (j *jsonLines) redraw()       {}
func (j *jsonLines) close()        {}

func (j *jsonLines) print(e Event) {
	e.Time = e.Time.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return // strings, numbers and a time always marshal
	}
	_, _ = j.out.Write(append(line, '\n'))
}

// due tells whether it is time to say how far the step is.
func (s *step) due(now time.Time, every time.Duration) bool {
	last := s.shown
	if last.IsZero() {
		last = s.began
	}
	if now.Sub(last) < every {
		return false
	}
	s.shown = now
	return true
}

func (s *step) parentName() string {
	if s.parent == nil {
		return ""
	}
	return s.parent.name
}
