package hyperv

import (
	"bufio"
	"context"
	_ "embed" // for the script
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// script is the PowerShell side of a session. It is the same for all, and comes
// through standard input: so it has no path that Windows would need to understand,
// no length that a command line would bound, and no policy on script files.
//
//go:embed session.ps1
var script string

// bootstrap is the command line's part: it takes as many lines as the first one says
// for a script and runs that with the rest of the input. It holds nothing that any
// program between here and there would quote or expand, and does not name the input
// by its variable: if a command does, PowerShell reads standard input itself.
const bootstrap = "$r = New-Object System.IO.StreamReader([Console]::OpenStandardInput(), (New-Object System.Text.UTF8Encoding($false))); " +
	"$n = [int]$r.ReadLine(); $t = New-Object System.Text.StringBuilder; " +
	"for ($i = 0; $i -lt $n; $i++) { $null = $t.Append($r.ReadLine()).Append([char]10) }; " +
	"& ([ScriptBlock]::Create($t.ToString())) $r"

// arguments are what PowerShell is started with.
func arguments() []string {
	return []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-Command", bootstrap}
}

const (
	idleLimit  = 10 * time.Minute // that a session without requests is kept
	startDelay = 10 * time.Second // PowerShell's own, added to the limit of the first request
	lineLimit  = 32 << 20
)

// process is a PowerShell that runs.
type process struct {
	in   io.WriteCloser
	out  io.Reader
	kill func()
	wait func() error // says what it printed on standard error, once it has ended; may be called once
}

// session is a conversation with one PowerShell, in which one request at a time is
// answered. The process is started when it is needed, and again after its death.
type session struct {
	start func() (*process, error)

	turn chan struct{} // holds a value while a request is under way
	live *live         // guarded by turn
	last int           // number of the last request; guarded by turn

	mu   sync.Mutex
	idle *time.Timer
}

func newSession(start func() (*process, error)) *session {
	return &session{start: start, turn: make(chan struct{}, 1)}
}

// live is a process and what it answers.
type live struct {
	*process
	answers chan answer
	ended   chan struct{} // closed when there will be no more answers
	err     error         // why; set before ended is closed
}

// over tells whether the process has ended.
func (l *live) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// request is a line to PowerShell.
type request struct {
	ID   int    `json:"id"`
	Op   string `json:"op"`
	Args any    `json:"args"`
}

// call has PowerShell do an operation and puts its value into into, unless that is
// nil. It returns early when ctx ends; then the operation goes on by itself, and the
// next one waits for its end. An operation that takes longer than limit ends with its
// process.
func (s *session) call(ctx context.Context, log *slog.Logger, limit time.Duration, op string, args, into any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.awake()
	begin := time.Now()
	a, err := s.converse(ctx, log, limit, op, args)
	log.DebugContext(ctx, "PowerShell", "op", op, "args", args, "took", time.Since(begin).Round(time.Millisecond),
		"value", string(a.Value), "error", err)
	if err != nil {
		return err
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(a.Value, into); err != nil {
		return fmt.Errorf("read PowerShell's answer to %s: %w", op, err)
	}
	return nil
}

// converse sends a request and waits for its answer. It gives the turn back, if need
// be later.
func (s *session) converse(ctx context.Context, log *slog.Logger, limit time.Duration, op string, args any) (answer, error) {
	s.last++
	id := s.last
	line, err := json.Marshal(request{id, op, args})
	if err != nil {
		s.release()
		return answer{}, fmt.Errorf("ask PowerShell for %s: %w", op, err)
	}
	text := ascii(string(line)) + "\n"
	if s.live == nil || s.live.over() {
		p, err := s.start()
		if err != nil {
			s.release()
			return answer{}, fmt.Errorf("start PowerShell: %w", err)
		}
		s.live = &live{process: p, answers: make(chan answer), ended: make(chan struct{})}
		go s.live.listen(log)
		text = handover(script) + text
		limit += startDelay
	}
	l := s.live
	writing := make(chan error, 1)
	go func() {
		_, err := io.WriteString(l.in, text)
		writing <- err
	}()
	timer := time.NewTimer(limit)
	done := make(chan struct{})
	var a answer
	go func() {
		defer close(done)
		defer timer.Stop()
		a, err = s.await(l, id, op, limit, timer.C, writing)
	}()
	select {
	case <-done:
		s.release()
		return a, err
	case <-ctx.Done():
		go func() {
			<-done
			s.release()
		}()
		return answer{}, context.Cause(ctx)
	}
}

// await waits for an answer, or the end of the process.
func (s *session) await(l *live, id int, op string, limit time.Duration, late <-chan time.Time, writing <-chan error) (answer, error) {
	for {
		select {
		case a := <-l.answers:
			if a.ID != id {
				continue
			}
			if a.Error != nil {
				return answer{}, newCallError(op, *a.Error)
			}
			return a, nil
		case err := <-writing:
			writing = nil
			if err == nil {
				continue
			}
			s.end(l)
			return answer{}, fmt.Errorf("ask PowerShell for %s: %w", op, errors.Join(err, l.err))
		case <-l.ended:
			s.live = nil
			return answer{}, &drivers.HintError{
				Err:    fmt.Errorf("PowerShell ended before it answered %s: %w", op, l.err),
				Advice: "run powershell.exe -NoProfile -Command Get-VM and see what it says",
			}
		case <-late:
			s.end(l)
			return answer{}, &wait.LateError{What: "PowerShell's " + op, Limit: limit}
		}
	}
}

// end kills a process and waits until it is gone.
func (s *session) end(l *live) {
	l.kill()
	for {
		select {
		case <-l.answers:
		case <-l.ended:
			s.live = nil
			return
		}
	}
}

// handover is a script as the bootstrap reads it.
func handover(script string) string {
	script = strings.TrimSuffix(strings.ReplaceAll(script, "\r\n", "\n"), "\n")
	return strconv.Itoa(strings.Count(script, "\n")+1) + "\n" + script + "\n"
}

// listen takes PowerShell's answers until there are no more. What else it prints is
// for the maintainer.
func (l *live) listen(log *slog.Logger) {
	lines := bufio.NewScanner(l.out)
	lines.Buffer(make([]byte, 64<<10), lineLimit)
	for lines.Scan() {
		a, ok := parseAnswer(lines.Bytes())
		if !ok {
			log.Debug("PowerShell", "printed", lines.Text())
			continue
		}
		l.answers <- a
	}
	if lines.Err() != nil {
		l.kill()
	}
	l.err = errors.Join(lines.Err(), l.wait())
	if l.err == nil {
		l.err = errEnded
	}
	close(l.ended)
}

var errEnded = errors.New("it said nothing")

// awake stops the clock of an idle session.
func (s *session) awake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil {
		s.idle.Stop()
	}
}

// release gives the turn back. A session that nobody asks any more ends its process,
// which otherwise ends with this one.
func (s *session) release() {
	s.mu.Lock()
	s.idle = time.AfterFunc(idleLimit, s.close)
	s.mu.Unlock()
	<-s.turn
}

// close ends the process unless it is at work.
func (s *session) close() {
	select {
	case s.turn <- struct{}{}:
	default:
		return
	}
	if l := s.live; l != nil {
		_ = l.in.Close() // the script ends with its input
		s.end(l)
	}
	<-s.turn
}

// ascii writes a JSON text without letters that a code page could change.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
