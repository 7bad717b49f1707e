package provision

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// eventKind is what a line of the script on the host says.
type eventKind string

const (
	eventBegin  eventKind = "begin"
	eventStart  eventKind = "start" // of step n
	eventEnd    eventKind = "end"   // of step n with a code
	eventWait   eventKind = "wait"  // for something that is not ours
	eventWaited eventKind = "waited"
	eventNote   eventKind = "note"
	eventDone   eventKind = "done" // of the script
)

// event is one mark in the script's output.
type event struct {
	kind eventKind
	step int
	code int
	text string // of a wait or a note; of an end: the tail of the step's output
}

// tailSize is how much of a step's output is kept.
const tailSize = 8 << 10

// eventWriter takes a script's stdout apart: lines that begin with the mark are events, all
// others output of the step that runs. Only the output's tail is kept.
type eventWriter struct {
	mark string
	emit func(event)

	line   []byte // unfinished
	output []byte
}

// Write never fails. It calls emit for each event, in order.
func (w *eventWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.line = append(w.line, p...)
			if len(w.line) > tailSize { // no event is that long
				w.keep(w.line)
				w.line = w.line[:0]
			}
			return n, nil
		}
		w.take(append(w.line, p[:i+1]...))
		w.line = w.line[:0]
		p = p[i+1:]
	}
}

func (w *eventWriter) take(line []byte) {
	rest, ok := strings.CutPrefix(string(line), w.mark+" ")
	if !ok {
		w.keep(line)
		return
	}
	kind, rest, _ := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
	e := event{kind: eventKind(kind), text: rest}
	switch e.kind {
	case eventStart, eventEnd:
		words := strings.Fields(rest)
		if len(words) > 0 {
			e.step, _ = strconv.Atoi(words[0])
		}
		e.code = -1
		if len(words) > 1 {
			if code, err := strconv.Atoi(words[1]); err == nil {
				e.code = code
			}
		}
		e.text = readable(w.output)
		w.output = w.output[:0]
	case eventBegin, eventWait, eventWaited, eventNote, eventDone:
	default:
		return // a beat
	}
	w.emit(e)
}

func (w *eventWriter) keep(b []byte) {
	if len(bytes.TrimSpace(b)) == 0 {
		return // the line breaks before marks
	}
	w.output = append(w.output, b...)
	if over := len(w.output) - tailSize; over > 0 {
		w.output = append(w.output[:0], w.output[over:]...)
	}
}

// tail returns the end of the output since the last step.
func (w *eventWriter) tail() string {
	return readable(append(slices.Clone(w.output), w.line...))
}

func readable(output []byte) string {
	return strings.TrimSpace(strings.ToValidUTF8(string(output), "?"))
}
