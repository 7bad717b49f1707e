package cli

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

// tool is what commands work with.
type tool struct {
	*lifecycle.Manager
	progress *ui.Renderer
	log      *logFile // nil: the command keeps none
}

// manager returns the tool of a command that only looks.
func (a *app) manager(c *cli.Context) *tool { return a.open(c, false) }

// worker returns the tool of a command that changes something: it keeps a log.
func (a *app) worker(c *cli.Context) *tool { return a.open(c, true) }

func (a *app) open(c *cli.Context, works bool) *tool {
	if a.tool != nil {
		return a.tool
	}
	if a.globals.mode == ui.Auto && a.wantsJSON() {
		a.globals.mode = ui.JSON // one who reads the result by program reads stderr so too
	}
	terminal := ui.NewTerminal(a.Stderr, a.Getenv)
	t := &tool{progress: ui.New(terminal.Config(ui.Config{
		Out: a.Stderr, Mode: a.globals.mode, Now: a.Now, Machine: lifecycle.MachineOf,
	}))}
	var handlers []slog.Handler
	if a.globals.debug {
		all := &slog.HandlerOptions{Level: slog.LevelDebug}
		if a.globals.mode == ui.JSON {
			handlers = append(handlers, slog.NewJSONHandler(t.progress, all))
		} else {
			handlers = append(handlers, slog.NewTextHandler(t.progress, all))
		}
	}
	name := strings.TrimPrefix(c.Command.FullName(), a.name+" ")
	if works {
		t.log = newLogFile(a.globals.root, name, a.Now)
		handlers = append(handlers, slog.NewTextHandler(t.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	log := slog.New(fanOut(handlers))
	t.Manager = &lifecycle.Manager{
		Store:   a.store(),
		Drivers: a.catalog(),
		Step:    t.logged(log),
		Note: func(ctx context.Context, text string) {
			log.InfoContext(ctx, "note", "machine", lifecycle.MachineOf(ctx), "text", text)
			t.progress.Note(ctx, text)
		},
		Progress: t.progress.Progress,
		Log:      log,
		Getenv:   a.Getenv,
		Now:      a.Now,
		Version:  a.Version,
		Command:  name,
		TLS:      a.globals.tls,
		Limit:    c.Int("parallel"), // 0 of commands without the option
	}
	if w := a.globals.wait; w > 0 {
		t.Wait = lifecycle.Deadlines{SSH: w, Engine: w, Swarm: w, Drain: w, Lock: w}
	}
	log.Debug("command", "name", name, "version", a.Version, "options", a.inv.names())
	t.noteWithoutEffect(a.inv, a.Getenv)
	a.tool = t
	if works {
		context.AfterFunc(c.Context, func() {
			if a.Caught != nil && a.Caught() { // neither the end of the command nor the loss of a lock, which its error says
				t.progress.Note(c.Context, "interrupted: ending in good order; a second signal ends at once")
			}
		})
	}
	for _, w := range t.Warnings() {
		t.warn(c.Context, w)
	}
	return t
}

// warn tells a person something that is not an error.
func (t *tool) warn(ctx context.Context, text string) { t.Note(ctx, "warning: "+text) }

// names are the options that were given, without their values: one may be a secret.
func (v *invocation) names() string {
	var names []string
	for _, f := range append(append([]string{}, v.globals...), v.flags...) {
		name, _, _ := strings.Cut(f, "=")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// logged shows steps and records them.
func (t *tool) logged(log *slog.Logger) lifecycle.StepFunc {
	return func(ctx context.Context, name string, fn func(context.Context) error) error {
		if t.log != nil {
			t.log.begin()
		}
		log := log.With("machine", lifecycle.MachineOf(ctx), "step", name)
		log.InfoContext(ctx, "start")
		err := t.progress.Step(ctx, name, fn)
		if err != nil {
			log.InfoContext(ctx, "failed", "err", err)
		} else {
			log.InfoContext(ctx, "done")
		}
		return err
	}
}

// closeLog ends the log and returns its path if err makes it worth reading.
func (t *tool) closeLog(err error) string {
	if t.log == nil {
		return ""
	}
	if err != nil {
		t.Log.Error("ended", "err", err, "reason", reasonOf(err).ID)
		if raw := rawOf(err); raw != "" {
			t.Log.Error("cause", "raw", raw)
		}
	} else {
		t.Log.Info("ended")
	}
	path := t.log.close()
	if err == nil {
		return ""
	}
	return path
}

// fan is a slog handler that hands records to several.
type fan []slog.Handler

func fanOut(handlers []slog.Handler) slog.Handler {
	if len(handlers) == 0 {
		return slog.DiscardHandler
	}
	if len(handlers) == 1 {
		return handlers[0]
	}
	return fan(handlers)
}

func (f fan) Enabled(ctx context.Context, level slog.Level) bool {
	for _, h := range f {
		if h.Enabled(ctx, level) {
			return true
		}
	}
	return false
}

func (f fan) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	for _, h := range f {
		if h.Enabled(ctx, r.Level) {
			errs = append(errs, h.Handle(ctx, r.Clone()))
		}
	}
	return errors.Join(errs...)
}

func (f fan) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make(fan, len(f))
	for i, h := range f {
		out[i] = h.WithAttrs(attrs)
	}
	return out
}

func (f fan) WithGroup(name string) slog.Handler {
	out := make(fan, len(f))
	for i, h := range f {
		out[i] = h.WithGroup(name)
	}
	return out
}
