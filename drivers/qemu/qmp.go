package qemu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// maxLine bounds what one message may have: none that we ask for comes near it.
const maxLine = 1 << 20

// message is one of QEMU's: its greeting, an answer, an error or an event.
// https://www.qemu.org/docs/master/interop/qmp-spec.html
type message struct {
	QMP    *json.RawMessage `json:"QMP"`
	Return *json.RawMessage `json:"return"`
	Error  *qmpError        `json:"error"`
	Event  string           `json:"event"`
	ID     json.RawMessage  `json:"id"`
}

// qmpError is QEMU's refusal of a command.
type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *qmpError) Error() string { return e.Desc + " (" + e.Class + ")" }

// errProtocol says that something else than QEMU answers, or a QEMU in disorder.
var errProtocol = errors.New("not what QEMU says")

// parseMessage reads one line.
func parseMessage(line []byte) (message, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("%w: %.80q", errProtocol, line)
	}
	kinds := 0
	for _, is := range []bool{m.QMP != nil, m.Return != nil, m.Error != nil, m.Event != ""} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return message{}, fmt.Errorf("%w: %.80q", errProtocol, line)
	}
	return m, nil
}

// monitor is a conversation with QEMU. QEMU has one at a time, so it is kept short.
//
// It is no library's: the one that others use, github.com/digitalocean/go-qemu, has no release and
// no change since 2023, waits for ever for a QEMU that hangs, which status, stop and rm must not, and
// cannot be told to give up without a data race while it connects.
type monitor struct {
	conn  net.Conn
	lines *bufio.Scanner
	stop  func() bool // ends the watch over ctx
	ids   int
}

// converse begins a conversation over conn, which ends with ctx.
func converse(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, lines: bufio.NewScanner(conn)}
	m.lines.Buffer(make([]byte, 0, 4096), maxLine)
	m.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	greeting, err := m.read()
	if err == nil && greeting.QMP == nil {
		err = fmt.Errorf("%w: no greeting", errProtocol)
	}
	if err == nil {
		err = m.do(ctx, "qmp_capabilities", nil, nil)
	}
	if err != nil {
		m.close()
		return nil, ended(ctx, err)
	}
	return m, nil
}

func (m *monitor) close() {
	m.stop()
	_ = m.conn.Close()
}

// read returns the next message.
func (m *monitor) read() (message, error) {
	for m.lines.Scan() {
		if line := bytes.TrimSpace(m.lines.Bytes()); len(line) > 0 {
			return parseMessage(line)
		}
	}
	if err := m.lines.Err(); err != nil {
		return message{}, err
	}
	return message{}, io.ErrUnexpectedEOF
}

// do has QEMU execute a command. result, which may be nil, takes what it returns.
// Events in between are left aside.
func (m *monitor) do(ctx context.Context, command string, arguments map[string]any, result any) error {
	m.ids++
	id := strconv.Itoa(m.ids)
	request := map[string]any{"execute": command, "id": id}
	if arguments != nil {
		request["arguments"] = arguments
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := m.conn.Write(append(line, '\n')); err != nil {
		return ended(ctx, fmt.Errorf("QMP %s: %w", command, err))
	}
	for {
		answer, err := m.read()
		if err != nil {
			return ended(ctx, fmt.Errorf("QMP %s: %w", command, err))
		}
		if unread := answer.Error != nil && len(answer.ID) == 0; !unread && string(answer.ID) != `"`+id+`"` {
			continue
		}
		if answer.Error != nil {
			return fmt.Errorf("QMP %s: %w", command, answer.Error)
		}
		if answer.Return == nil || result == nil {
			return nil
		}
		if err := json.Unmarshal(*answer.Return, result); err != nil {
			return fmt.Errorf("QMP %s: %w: %.80q", command, errProtocol, *answer.Return)
		}
		return nil
	}
}

// ended is ctx's cause if it ended, else err.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
