package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Apply does the steps as root, those that need no answer in between as one script
// that travels on stdin. Each step is reported through step, and below a step what
// it waits for and what it notes. A failed step returns *StepError. Cancelling ctx ends the
// remote script too: within seconds of the connection's end it notices that nobody
// reads, interrupts what it runs and does no further step.
func Apply(ctx context.Context, r Runner, steps []Step, step StepFunc) error {
	if len(steps) == 0 {
		return nil
	}
	mark, err := newMark()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &applying{steps: steps, step: step, events: make(chan event), ended: make(chan struct{})}
	go func() {
		out := &eventWriter{mark: mark, emit: func(e event) {
			select {
			case a.events <- e:
			case <-ctx.Done():
			}
		}}
		a.err = r.Run(ctx, rootShell, strings.NewReader(stepsScript(mark, steps)), out)
		a.rest = out.tail()
		close(a.ended)
	}()
	err = a.all(ctx)
	var failed *StepError
	switch {
	case errors.As(err, &failed) && failed.Code >= 0:
		a.drain(ctx) // the script ends by itself
	case err != nil:
		cancel(err)
	}
	<-a.ended
	if failed != nil && failed.Code < 0 {
		failed.Output = a.rest
	}
	return err
}

// applying is a script at work.
type applying struct {
	steps  []Step
	step   StepFunc
	events chan event
	ended  chan struct{} // closed when the runner has returned; then err and rest are set
	err    error
	rest   string // output that belongs to no step
}

func (a *applying) all(ctx context.Context) error {
	if _, err := a.next(ctx, eventBegin); err != nil {
		return a.notBegun(err)
	}
	for i, s := range a.steps {
		if err := a.step(ctx, s.Name, func(ctx context.Context) error { return a.one(ctx, i, s) }); err != nil {
			return err
		}
	}
	if _, err := a.next(ctx, eventDone); err != nil {
		return err
	}
	<-a.ended
	return nil
}

// one waits for the end of a step.
func (a *applying) one(ctx context.Context, i int, s Step) error {
	if s.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Limit, fmt.Errorf("%w within %s", errStepLimit, s.Limit))
		defer cancel()
	}
	for {
		e, err := a.next(ctx, eventStart, eventEnd, eventWait, eventWaited, eventNote)
		switch {
		case errors.Is(err, errStepLimit):
			return &StepError{Step: s.Name, Code: -1, Advice: s.Hint, Err: err}
		case err != nil:
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		switch e.kind {
		case eventEnd:
			if e.step != i {
				return fmt.Errorf("%s: host answered for another step", s.Name)
			}
			return s.failure(e)
		case eventNote:
			// A note is a piece of work that takes no time.
			if err := a.step(ctx, e.text, func(context.Context) error { return nil }); err != nil {
				return err
			}
		case eventWait:
			var end *event
			err := a.step(ctx, "waiting "+e.text, func(ctx context.Context) error {
				e, err := a.next(ctx, eventWaited, eventEnd)
				if err == nil && e.kind == eventEnd {
					end = &e
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: waiting %s: %w", s.Name, e.text, err)
			}
			if end != nil {
				return s.failure(*end)
			}
		}
	}
}

// failure returns what a step's end means.
func (s Step) failure(e event) error {
	if e.code == 0 {
		return nil
	}
	err := &StepError{Step: s.Name, Code: e.code, Output: e.text, Advice: s.Hint, Err: sentinelOf(e.code, e.text)}
	if err.Advice == "" {
		err.Advice = adviceOn(err.Err)
	}
	return err
}

var (
	errStepLimit = errors.New("step did not end")
	errCutOff    = errors.New("the script on the host ended early")
)

// next returns the next event of one of the kinds; others are skipped. At the end of ctx it
// returns the cause.
func (a *applying) next(ctx context.Context, kinds ...eventKind) (event, error) {
	for {
		select {
		case e := <-a.events:
			for _, k := range kinds {
				if e.kind == k {
					return e, nil
				}
			}
		case <-a.ended:
			if cause := context.Cause(ctx); cause != nil {
				return event{}, cause
			}
			if a.err != nil {
				return event{}, a.err
			}
			return event{}, errCutOff
		case <-ctx.Done():
			return event{}, context.Cause(ctx)
		}
	}
}

// drain lets the script come to its end.
func (a *applying) drain(ctx context.Context) {
	for {
		select {
		case <-a.events:
		case <-a.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// notBegun tells why the script did not come to its first line: the login, sudo, or the connection.
func (a *applying) notBegun(err error) error {
	select {
	case <-a.ended:
	default:
		return err
	}
	said := a.rest
	var s interface{ Stderr() string }
	if errors.As(a.err, &s) {
		said += s.Stderr()
	}
	said = strings.TrimSpace(said)
	for _, sign := range []string{"sudo: ", "sudo:", "not in the sudoers", "password is required"} {
		if strings.Contains(said, sign) {
			return refuse(ErrNoRoot, rootAdvice, "%s", clip(said, 300))
		}
	}
	return err
}

var _ io.Writer = (*eventWriter)(nil)

// limits of steps, in which what they wait for must end.
const (
	limitCloudInit = 15 * time.Minute
	limitPackages  = 20 * time.Minute
	limitLock      = 10 * time.Minute
	limitStart     = 2 * time.Minute
	limitFiles     = time.Minute
)
