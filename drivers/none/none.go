// Package none is the driver of machines that are only a URL: an engine that
// somebody else runs. Nothing is made, provisioned or removed.
package none

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Field names are those of docker-machine's records.
type config struct {
	URL string `option:"=url" required:"true" help:"URL of an engine that runs already, such as tcp://192.0.2.7:2376"`
}

// Validate accepts what a docker client accepts as a host.
func (c config) Validate() error {
	if _, err := parse(c.URL); err != nil {
		return &drivers.OptionError{Option: "url", Err: err, Advice: "give it as tcp://HOST:PORT"}
	}
	return nil
}

// lenient is config as docker-machine had it: a name that is no URL was accepted, for machines that are only
// listed.
type lenient config

// Validate accepts words without a scheme besides.
func (c lenient) Validate() error {
	if c.URL != "" && !strings.Contains(c.URL, "://") {
		return nil
	}
	return config(c).Validate()
}

func parse(text string) (*url.URL, error) {
	schemes := []string{"tcp", "https", "http", "ssh", "unix", "npipe"}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL") // the parser's error would repeat a password
	case !slices.Contains(schemes, u.Scheme) || !strings.HasPrefix(text, u.Scheme+"://"): // docker wants lower case
		return nil, fmt.Errorf("does not begin with one of %s://", strings.Join(schemes, "://, "))
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, fmt.Errorf("%s URL has a query or a fragment", u.Scheme)
	case u.Scheme != "ssh" && u.User != nil:
		return nil, fmt.Errorf("%s URL has a user", u.Scheme)
	case u.User != nil && hasPassword(u):
		return nil, errors.New("holds a password, which would be stored and shown")
	}
	if u.Scheme == "unix" || u.Scheme == "npipe" {
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("%q is not the path of a socket", text)
		}
		return u, nil
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("%q has no host", text)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("%s is not a port", port)
		}
	}
	return u, nil
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

// New returns the driver.
func New() drivers.Factory {
	return drivers.Define("none", "an engine that runs already, by its URL", func() config { return config{} },
		func(c config, _ *drivers.Durable[struct{}], _ drivers.Env) (drivers.Driver, error) {
			return driver{c.URL}, nil
		})
}

// Lenient returns the driver for those who call docker-machine. Its machines are New's.
func Lenient() drivers.Factory {
	return drivers.Define("none", "an engine that runs already, by its URL", func() lenient { return lenient{} },
		func(c lenient, _ *drivers.Durable[struct{}], _ drivers.Env) (drivers.Driver, error) {
			return driver{c.URL}, nil
		})
}

type driver struct{ url string }

// EngineURL returns the URL as it was given.
func (d driver) EngineURL() string { return d.url }

// Classic implements drivers.Classic.
func (d driver) Classic() any { return config{d.url} }

func (driver) Check(ctx context.Context) error                           { return context.Cause(ctx) }
func (driver) Create(ctx context.Context, _ drivers.CreateRequest) error { return context.Cause(ctx) }
func (driver) Remove(ctx context.Context) error                          { return context.Cause(ctx) }

// Status says that the engine runs: nobody can tell but the engine itself.
func (d driver) Status(ctx context.Context) (drivers.Status, error) {
	s := drivers.Status{State: drivers.Running}
	if u, err := parse(d.url); err == nil {
		s.Host = u.Hostname()
		s.EnginePort, _ = strconv.Atoi(u.Port()) // none is 0
	}
	return s, context.Cause(ctx)
}

func (driver) Start(ctx context.Context) error   { return cannot(ctx, "started") }
func (driver) Stop(ctx context.Context) error    { return cannot(ctx, "stopped") }
func (driver) Kill(ctx context.Context) error    { return cannot(ctx, "killed") }
func (driver) Restart(ctx context.Context) error { return cannot(ctx, "restarted") }

func cannot(ctx context.Context, be string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &unsupportedError{"hosts without a driver cannot be " + be}
}

// unsupportedError speaks docker-machine's words.
type unsupportedError struct{ text string }

func (e *unsupportedError) Error() string { return e.text }
func (e *unsupportedError) Unwrap() error { return drivers.ErrUnsupported }
