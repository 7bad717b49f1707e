package swarmboot

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Streamer is what an Engine may be besides: it reads answers that go on.
type Streamer interface {
	// Stream asks and returns the body of the answer as it comes, which the caller closes; it ends with ctx. An answer
	// of 400 or above is an error as that of Engine.Do.
	Stream(ctx context.Context, method, path string) (io.ReadCloser, error)
}

// LogsWish says which lines of logs are wanted.
type LogsWish struct {
	Of         string // a service or a task: its name, such as web or web.1, or its id
	Follow     bool
	Tail       int   // lines of each task; negative: all
	Since      int64 // seconds since 1970; 0: from the start
	Timestamps bool
}

// LogLine is a line that a task wrote.
type LogLine struct {
	Task   string `json:"task"` // such as web.1
	Node   string `json:"node"` // hostname
	Stream string `json:"stream"`
	Text   string `json:"text"` // without the end of the line
}

// Logs hands over the lines that the tasks of a service, or one task, wrote. note is told of each task whose logs cannot be had, such as those on
// a node that is down. It returns when the logs end, and with Follow when ctx does, or emit fails.
func Logs(ctx context.Context, manager Engine, w LogsWish, emit func(LogLine) error, note func(string)) error {
	s, ok := manager.(Streamer)
	if !ok {
		return errors.New("read logs: the engine cannot be read from as it writes")
	}
	r := logReader{manager: manager, emit: emit, note: note, tasks: make(map[string]LogLine), nodes: make(map[string]nodeObject)}
	path, err := r.find(ctx, w.Of)
	if err != nil {
		return fmt.Errorf("read logs of %s: %w", w.Of, err)
	}
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}, "details": {"1"}, "tail": {"all"}}
	if w.Tail >= 0 {
		q.Set("tail", strconv.Itoa(w.Tail))
	}
	if w.Since > 0 {
		q.Set("since", strconv.FormatInt(w.Since, 10))
	}
	if w.Follow {
		q.Set("follow", "1")
	}
	if w.Timestamps {
		r.stamped = true
		q.Set("timestamps", "1")
	}
	body, err := s.Stream(ctx, http.MethodGet, path+"/logs?"+q.Encode())
	if err != nil {
		return fmt.Errorf("read logs of %s: %w", w.Of, err)
	}
	defer body.Close()
	if err = r.read(ctx, body); err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("read logs of %s: %w", w.Of, err)
	}
	return nil
}

// logReader is one Logs at work.
type logReader struct {
	manager Engine
	emit    func(LogLine) error
	note    func(string)
	raw     bool               // the tasks have terminals: the streams are one
	stamped bool               // lines begin with a time
	service string             // name
	tasks   map[string]LogLine // what is the same of all lines of a task
	nodes   map[string]nodeObject
}

type serviceObject struct {
	ID   string
	Spec struct {
		Name         string
		TaskTemplate struct{ ContainerSpec *struct{ TTY bool } }
	}
}

// find returns where the logs of a service or of a task are, and notes what of them cannot be had.
func (r *logReader) find(ctx context.Context, of string) (path string, err error) {
	if s, err := r.ask(ctx, of); err == nil {
		tasks, err := r.tasksOf(ctx, s)
		for _, t := range tasks {
			if !t.ended() {
				r.lost(ctx, t)
			}
		}
		return "/services/" + url.PathEscape(s.ID), err
	} else if !gone(err) {
		return "", err
	}
	var t taskObject
	err = call(ctx, r.manager, http.MethodGet, "/tasks/"+url.PathEscape(of), nil, &t)
	if gone(err) {
		t, err = r.inSlot(ctx, of)
	}
	if err != nil {
		return "", leaderless(err)
	}
	if _, err := r.ask(ctx, t.ServiceID); err != nil {
		return "", err
	}
	r.lost(ctx, t)
	return "/tasks/" + url.PathEscape(t.ID), nil
}

// ask takes over what a service says of itself.
func (r *logReader) ask(ctx context.Context, of string) (s serviceObject, err error) {
	if err := call(ctx, r.manager, http.MethodGet, "/services/"+url.PathEscape(of), nil, &s); err != nil {
		return s, leaderless(err)
	}
	r.service = s.Spec.Name
	r.raw = s.Spec.TaskTemplate.ContainerSpec != nil && s.Spec.TaskTemplate.ContainerSpec.TTY
	return s, nil
}

func (r *logReader) tasksOf(ctx context.Context, s serviceObject) ([]taskObject, error) {
	var all, tasks []taskObject
	err := call(ctx, r.manager, http.MethodGet, "/tasks?filters="+url.QueryEscape(`{"service":{"`+s.ID+`":true}}`), nil, &all)
	for _, t := range all {
		if t.ServiceID == s.ID {
			tasks = append(tasks, t)
		}
	}
	return tasks, leaderless(err)
}

// inSlot finds the task that is, or was the last to be, what a name such as web.1 says.
func (r *logReader) inSlot(ctx context.Context, name string) (found taskObject, err error) {
	none := fmt.Errorf("%w: %s", ErrNoService, name)
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return found, none
	}
	s, err := r.ask(ctx, name[:dot])
	if gone(err) {
		return found, none
	}
	if err != nil {
		return found, err
	}
	tasks, err := r.tasksOf(ctx, s)
	for _, t := range tasks {
		if strconv.Itoa(t.Slot) == name[dot+1:] && t.Version.Index >= found.Version.Index {
			found = t
		}
	}
	if err == nil && found.ID == "" {
		err = none
	}
	return found, err
}

// lost notes that the logs of a task cannot be had.
func (r *logReader) lost(ctx context.Context, t taskObject) {
	line := r.keep(ctx, t)
	if t.NodeID == "" {
		r.note(fmt.Sprintf("%s runs nowhere: %s", line.Task, orElse(redact(t.Status.Err), t.Status.State)))
	} else if state := r.node(ctx, t.NodeID).Status.State; state != "ready" {
		r.note(fmt.Sprintf("the logs of %s cannot be had: its node %s is %s", line.Task, line.Node, orElse(state, "not listed")))
	}
}

func (r *logReader) keep(ctx context.Context, t taskObject) LogLine {
	n := r.node(ctx, t.NodeID)
	slot := orElse(n.Description.Hostname, t.ID)
	if t.Slot > 0 {
		slot = strconv.Itoa(t.Slot)
	}
	line := LogLine{Task: orElse(r.service, t.ServiceID) + "." + slot, Node: orElse(n.Description.Hostname, t.NodeID)}
	r.tasks[t.ID] = line
	return line
}

// node is for names and states: one that is not known has none.
func (r *logReader) node(ctx context.Context, id string) nodeObject {
	n, ok := r.nodes[id]
	if !ok && id != "" {
		n, _ = node(ctx, r.manager, id)
		r.nodes[id] = n
	}
	return n
}

// read takes the stream apart: frames with a head of eight bytes, the first of which says what the frame is of.
func (r *logReader) read(ctx context.Context, body io.Reader) error {
	in := bufio.NewReader(body)
	if r.raw {
		return r.lines(ctx, in)
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return ended(err)
		}
		size := binary.BigEndian.Uint32(head[4:])
		if head[0] > 3 || size > mostOfAFrame {
			return errors.New("the engine sends something else than logs")
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(in, text); err != nil {
			return ended(err)
		}
		if head[0] == 3 { // what the engine has to say itself
			r.complain(string(text))
			continue
		}
		if err := r.line(ctx, map[byte]string{2: "stderr"}[head[0]], string(text)); err != nil {
			return err
		}
	}
}

// mostOfAFrame bounds what is read at once; engines split lines at 16 KiB.
const mostOfAFrame = 4 << 20

// ended: a stream that breaks off has ended, as that of a container that is removed does.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func (r *logReader) lines(ctx context.Context, in *bufio.Reader) error {
	for {
		text, err := in.ReadString('\n')
		if text != "" {
			if err := r.line(ctx, "", text); err != nil {
				return err
			}
		}
		if err != nil {
			return ended(err)
		}
	}
}

// line hands over a line; its details, which say whose it is, stand before the text.
func (r *logReader) line(ctx context.Context, stream, text string) error {
	text = strings.TrimRight(text, "\r\n")
	stamp := ""
	if r.stamped {
		stamp, text, _ = strings.Cut(text, " ")
		stamp += " "
	}
	details, rest, ok := strings.Cut(text, " ")
	var id string
	for pair := range strings.SplitSeq(details, ",") {
		if v, is := strings.CutPrefix(pair, "com.docker.swarm.task.id="); is {
			id = v
		}
	}
	if id == "" && (!ok || !strings.Contains(details, "com.docker.swarm.")) {
		rest = text
	}
	line, known := r.tasks[id]
	if !known && id != "" {
		var t taskObject
		if err := call(ctx, r.manager, http.MethodGet, "/tasks/"+url.PathEscape(id), nil, &t); err != nil {
			t = taskObject{ID: id}
		}
		line = r.keep(ctx, t)
	}
	line.Stream, line.Text = orElse(stream, "stdout"), stamp+rest
	return r.emit(line)
}

// complain notes what the engine says in a stream, with names in place of ids.
func (r *logReader) complain(text string) {
	text = strings.TrimSpace(redact(grpcPrefix.ReplaceAllString(text, "")))
	for id, n := range r.nodes {
		if n.Description.Hostname != "" {
			text = strings.ReplaceAll(text, id, n.Description.Hostname)
		}
	}
	for id, line := range r.tasks {
		text = strings.ReplaceAll(text, id, line.Task)
	}
	r.note(text)
}
