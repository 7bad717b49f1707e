package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// Exit codes besides lifecycle's.
const (
	exitOK = 0
)

// remoteExit is a remote command that ended with a code of its own. Nothing is printed for it:
// the command has said what there was to say.
type remoteExit struct {
	code int
}

func (e *remoteExit) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// textError gives an error the words that scripts wait for.
type textError struct {
	text string
	err  error
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.err }

// interruption is what a command says that was ended by a signal.
type interruption struct{ err error }

func (e *interruption) Error() string { return e.err.Error() }
func (e *interruption) Unwrap() error { return context.Canceled }

// end prints what went wrong, closes the display and the log, and returns the exit code.
func (a *app) end(ctx context.Context, err error) int {
	if a.tool != nil {
		a.tool.Close(ctx)
		a.tool.progress.Close()
	}
	log := ""
	if a.tool != nil {
		log = a.tool.closeLog(err)
	}
	code := a.exitCode(ctx, err)
	var remote *remoteExit
	if err != nil && !(errors.As(err, &remote) && len(flatten(err)) == 1) {
		a.report(ctx, err, code, log)
	}
	return code
}

// exitCode is the one place that decides: 0 ok, 1 failure, 2 usage, 3 pre-create check failed,
// 4 locked, 130 interrupted; ssh and exec return the remote code. Called as docker-machine, 1 stands for 2 and 4 too.
func (a *app) exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if a.legacy {
		code := a.code(ctx, err)
		if code == lifecycle.ExitCheck && errors.Is(err, drivers.ErrOption) {
			return lifecycle.ExitFailure // it took the options before it checked
		}
		return legacyCode(code)
	}
	return a.code(ctx, err)
}

func (a *app) code(ctx context.Context, err error) int {
	if a.interrupted(ctx, err) {
		return lifecycle.ExitInterrupted
	}
	var remote *remoteExit
	if errors.As(err, &remote) {
		return remote.code
	}
	code := exitOK
	for _, e := range flatten(err) {
		c := reasonOf(e).Exit
		if code != exitOK && c != code {
			return lifecycle.ExitFailure // several machines failed, each in its own way
		}
		code = c
	}
	if code == lifecycle.ExitUsage && a.checking() {
		return lifecycle.ExitFailure
	}
	return code
}

// interrupted tells whether err is there because a signal ended ctx.
func (a *app) interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && a.Caught != nil && a.Caught() || errors.Is(err, context.Canceled) && !errors.Is(err, store.ErrLockLost)
}

// reasonOf knows the errors of this package too.
func reasonOf(err error) lifecycle.Reason {
	var usage *usageError
	if errors.As(err, &usage) {
		return lifecycle.ReasonOf(lifecycle.ErrUsage)
	}
	return lifecycle.ReasonOf(err)
}

// flatten takes joined errors apart. What an error wraps besides is no error of its own.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // a join itself, not one that is wrapped
	if !ok {
		return []error{err}
	}
	var out []error
	var lines []string
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
		lines = append(lines, e.Error())
	}
	if err.Error() != strings.Join(lines, "\n") {
		return []error{err}
	}
	return out
}

// problem is an error as --output json and --progress json print it.
type problem struct {
	Error   string   `json:"error"`
	Reason  string   `json:"reason"`
	Hint    string   `json:"hint,omitempty"`
	Code    int      `json:"code"`
	Machine string   `json:"machine,omitempty"`
	Details []string `json:"details,omitempty"`
	Log     string   `json:"log,omitempty"`
}

// report prints an error to stderr: the message, the evidence, one thing to do next, the
// stable reason and the log.
func (a *app) report(ctx context.Context, err error, code int, log string) {
	errs := flatten(err)
	if a.interrupted(ctx, err) {
		// Everything under way ended for this one cause, whatever it calls it.
		errs = []error{&interruption{errs[0]}}
	}
	if a.wantsJSON() {
		for _, e := range errs {
			p := a.problem(e, false)
			p.Code, p.Log = code, log
			line, merr := json.Marshal(p)
			if merr == nil {
				_, _ = fmt.Fprintf(a.Stderr, "%s\n", line)
			}
		}
		return
	}
	var b strings.Builder
	said := map[string]bool{}
	for _, e := range errs {
		var remote *remoteExit
		if errors.As(e, &remote) {
			continue
		}
		p := a.problem(e, len(errs) > 1)
		text := p.Error
		if !a.legacy && !strings.HasPrefix(text, "Error") {
			text = "Error: " + text
		}
		b.WriteString(text + "\n")
		for _, line := range p.Details {
			b.WriteString("  " + line + "\n")
		}
		if p.Hint != "" && !said[p.Hint] {
			b.WriteString("Hint: " + p.Hint + "\n")
			said[p.Hint] = true
		}
		if p.Reason != "USAGE" {
			b.WriteString("Reason: " + p.Reason + "\n")
		}
	}
	if log != "" {
		b.WriteString("Log: " + log + "\n")
	}
	_, _ = fmt.Fprint(a.Stderr, b.String())
}

// wantsJSON tells whether errors are for a program to read.
func (a *app) wantsJSON() bool {
	if a.globals.mode == "json" {
		return true
	}
	if a.inv == nil {
		return false
	}
	v := a.inv.values(a.inv.flags, "output")
	return len(v) > 0 && v[len(v)-1] == "json"
}

// rawOf is what a library said that the error has plain words for; empty: the error is as it came.
func rawOf(err error) string {
	var e interface{ Raw() string }
	if !errors.As(err, &e) {
		return ""
	}
	return e.Raw()
}

// problem is what is said of an error; several tells whether there are others.
func (a *app) problem(err error, several bool) problem {
	p := problem{Error: a.text(err), Reason: reasonOf(err).ID, Details: lifecycle.DetailsOf(err)}
	if raw := rawOf(err); raw != "" && a.globals.debug {
		p.Details = append(slices.Clip(p.Details), raw)
	}
	var named *lifecycle.MachineError
	if errors.As(err, &named) {
		p.Machine = named.Machine
	}
	var usage *usageError
	if errors.As(err, &usage) {
		p.Hint = usage.advice
	} else {
		p.Hint = a.advice(lifecycle.HintOf(err), err, several)
	}
	return p
}

var (
	notExist = regexp.MustCompile(regexp.QuoteMeta(store.ErrNotExist.Error()) + `: ("[^"]*")`)
	unknown  = regexp.MustCompile(`^` + regexp.QuoteMeta(drivers.ErrUnknown.Error()) + ` ("[^"]*")`)
	badName  = regexp.MustCompile(regexp.QuoteMeta(store.ErrName.Error()) + `.*$`)
	exists   = regexp.MustCompile(`create ("[^"]*"): ` + regexp.QuoteMeta(store.ErrExist.Error()) + `$`)
)

// text is the message of err, in docker-machine's words where scripts match them.
func (a *app) text(err error) string {
	if a.legacy {
		return a.legacyText(err)
	}
	return a.plainText(err)
}

func (a *app) plainText(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, store.ErrNotExist):
		return notExist.ReplaceAllString(text, a.notThere("$1"))
	case errors.Is(err, store.ErrExist):
		return exists.ReplaceAllString(text, `Docker machine $1 already exists`)
	case errors.Is(err, drivers.ErrUnknown):
		return unknown.ReplaceAllString(text, `Driver $1 not found`)
	case errors.Is(err, store.ErrName):
		return badName.ReplaceAllString(text, "Invalid hostname specified. Allowed hostname chars are: 0-9a-zA-Z . - ($0)")
	case errors.Is(err, lifecycle.ErrCheck):
		before, cause, ok := strings.Cut(text, lifecycle.ErrCheck.Error()+": ")
		if ok {
			return before + fmt.Sprintf("Error with pre-create check: %q", cause)
		}
	}
	return text
}
