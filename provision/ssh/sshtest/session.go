package sshtest

import (
	"context"
	"io"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// Exec is one command that a client runs.
type Exec struct {
	Command string // empty: a login shell
	TTY     bool   // the client asked for a terminal; the test's handler gets none
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan string // names such as TERM; closed when the client is gone
}

// Handler runs a command and returns its exit code, a signal's name if it died of one, or
// Silent. ctx ends when the client closes the session.
type Handler func(ctx context.Context, x Exec) (code int, signal string)

// Silent is the exit code of a session that ends without telling one.
const Silent = -1

func (s *Server) session(ctx context.Context, ch gossh.Channel, reqs <-chan *gossh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan string, 16)
	defer close(signals)
	var commands sync.WaitGroup
	defer commands.Wait()
	defer cancel()
	started, terminal := false, false
	for r := range reqs {
		ok := true
		switch r.Type {
		case "pty-req":
			var p struct {
				Term                string
				Width, Height, W, H uint32
				Modes               string
			}
			ok = gossh.Unmarshal(r.Payload, &p) == nil
			terminal = ok
			s.resized(int(p.Width), int(p.Height))
		case "window-change":
			var p struct{ Width, Height, W, H uint32 }
			ok = gossh.Unmarshal(r.Payload, &p) == nil
			s.resized(int(p.Width), int(p.Height))
		case "signal":
			var p struct{ Name string }
			ok = gossh.Unmarshal(r.Payload, &p) == nil
			s.mu.Lock()
			s.signals = append(s.signals, p.Name)
			s.mu.Unlock()
			select {
			case signals <- p.Name:
			default:
			}
		case "exec", "shell":
			var p struct{ Command string }
			if ok = !started && (r.Type == "shell" || gossh.Unmarshal(r.Payload, &p) == nil); !ok {
				break
			}
			started = true
			s.mu.Lock()
			s.commands = append(s.commands, p.Command)
			s.mu.Unlock()
			if r.WantReply { // before the command can end the session
				_ = r.Reply(true, nil)
			}
			x := Exec{Command: p.Command, TTY: terminal, Stdin: ch, Stdout: ch, Stderr: ch.Stderr(), Signals: signals}
			commands.Go(func() { s.run(ctx, ch, x) })
			continue
		default:
			ok = false
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
}

func (s *Server) run(ctx context.Context, ch gossh.Channel, x Exec) {
	defer ch.Close() //nolint:errcheck // nothing is to be done about it
	code, signal := s.opts.Handler(ctx, x)
	switch {
	case signal != "":
		_, _ = ch.SendRequest("exit-signal", false, gossh.Marshal(struct {
			Signal string
			Core   bool
			Error  string
			Lang   string
		}{Signal: signal}))
	case code != Silent:
		_, _ = ch.SendRequest("exit-status", false, gossh.Marshal(struct{ Code uint32 }{uint32(code)}))
	}
}

func (s *Server) resized(width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, Size{width, height})
}
