package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/hostsmith/machine/drivers"
)

// Finder makes drivers of the programs on PATH.
type Finder struct {
	ctx     context.Context //nolint:containedctx // that of the command, which the plugins end with
	getenv  func(string) string
	environ []string
	limits  Limits

	mu    sync.Mutex
	found map[string]*factory
}

// NewFinder returns a Finder for a command whose context is ctx. Plugins get environ as
// their environment, and are looked for in the PATH that getenv knows.
func NewFinder(ctx context.Context, getenv func(string) string, environ []string, limits Limits) *Finder {
	return &Finder{ctx: ctx, getenv: getenv, environ: environ, limits: limits.complete(), found: map[string]*factory{}}
}

var pluginName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Find returns the driver called name, whose program is docker-machine-driver-NAME on PATH; a name with a slash in it is
// the path of one. The error wraps drivers.ErrUnknown if there is none. No plugin is started.
func (f *Finder) Find(name string) (drivers.Factory, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found := f.found[name]; found != nil {
		return found, nil
	}
	program, err := f.program(name)
	if err != nil {
		return nil, err
	}
	found := newFactory(f, name, program)
	f.found[name] = found
	return found, nil
}

// program looks for the program of a driver.
func (f *Finder) program(name string) (string, error) {
	file := ProgramPrefix + name
	unknown := func(err error) error {
		// docker-machine's words, which scripts look for
		text := fmt.Errorf("%w %q. Do you have the plugin binary %q accessible in your PATH?", drivers.ErrUnknown, name, file)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			return text
		}
		return &drivers.HintError{Err: text, Advice: err.Error()}
	}
	if strings.ContainsAny(name, `/\`) {
		file = filepath.Base(name)
		path, err := filepath.Abs(name)
		if err == nil {
			path, err = exec.LookPath(path)
		}
		if err != nil {
			return "", unknown(err)
		}
		return path, nil
	}
	if !pluginName.MatchString(name) {
		return "", unknown(nil)
	}
	var why error
	for _, dir := range filepath.SplitList(f.getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // whoever writes to the working folder is not to choose what is run
		}
		path, err := exec.LookPath(filepath.Join(dir, file))
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, exec.ErrNotFound) && why == nil {
			why = err
		}
	}
	return "", unknown(why)
}
