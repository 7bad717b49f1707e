package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
)

// ownPrefix stands before the name of a driver of ours that docker-machine has itself.
const ownPrefix = "machine-"

// builtIn are the drivers for which docker-machine and rancher-machine start themselves, whatever is on PATH.
func builtIn() []string {
	return []string{
		"amazonec2", "azure", "digitalocean", "exoscale", "generic", "google", "hyperv", "none", "noop", "openstack", "pod",
		"rackspace", "softlayer", "virtualbox", "vmwarefusion", "vmwarevcloudair", "vmwarevsphere",
	}
}

// pluginNames are the names that a driver has as a plugin. Machines that are only a URL have no second one: by the
// name alone others know that nothing is to be provisioned there.
func pluginNames(f drivers.Factory) []string {
	name := f.Name()
	if name == "none" || !slices.Contains(builtIn(), name) {
		return []string{name}
	}
	return []string{name, ownPrefix + name}
}

// pluginDriver is the driver that a plugin called name serves.
func pluginDriver(table drivers.Table, name string) (drivers.Factory, error) {
	f, err := table.Lookup(name)
	if other, ok := strings.CutPrefix(name, ownPrefix); err != nil && ok {
		if f, oerr := table.Lookup(other); oerr == nil {
			return f, nil
		}
	}
	return f, err
}

// linkPlan says what links to make.
type linkPlan struct {
	dir, target   string
	force, dryRun bool
}

// linkPlugins makes a link for each name of each driver, and returns those that are there now.
func linkPlugins(table drivers.Table, p linkPlan) ([]link, error) {
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		return nil, fmt.Errorf("link plugins: %w", err)
	}
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%s: there is no such folder", p.dir).hint("mkdir -p %s, and see that it is on the PATH of the program that is to use the drivers", p.dir)
	} else if err != nil {
		return nil, fmt.Errorf("link plugins: %w", err)
	} else if !info.IsDir() {
		return nil, usagef("%s is not a folder", dir)
	}
	links := []link{}
	var errs []error
	for _, f := range table {
		for _, name := range pluginNames(f) {
			l := link{Path: filepath.Join(dir, plugin.ProgramPrefix+name+executableSuffix()), Target: p.target}
			if l.Done, err = p.make(l.Path); err != nil {
				errs = append(errs, err)
				continue
			}
			links = append(links, l)
		}
	}
	return links, errors.Join(errs...)
}

func executableSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// make makes one link and tells what was to be done.
func (p linkPlan) make(path string) (done string, err error) {
	done = "made"
	info, err := os.Lstat(path)
	switch {
	case err == nil && sameFile(path, p.target):
		return "kept", nil
	case err == nil && !p.force && (info.Mode()&fs.ModeSymlink == 0 || !brokenOrOurs(path)):
		return "", usagef("link plugins: %s exists", path).hint("repeat with --force to replace it")
	case err == nil:
		done = "replaced"
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("link plugins: %w", err)
	}
	if p.dryRun {
		return done, nil
	}
	// A link beside the place and then into it: whoever looks for it finds the old one or the new one.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("link plugins: %w", err)
	}
	if err := os.Symlink(p.target, fresh); err != nil {
		return "", &drivers.HintError{Err: fmt.Errorf("link plugins: %w", err), Advice: "where links are not permitted, copy the program to this name"}
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", errors.Join(fmt.Errorf("link plugins: %w", err), os.Remove(fresh))
	}
	return done, nil
}

// sameFile tells whether a link leads to the target.
func sameFile(path, target string) bool {
	a, aerr := os.Stat(path)
	b, berr := os.Stat(target)
	return aerr == nil && berr == nil && os.SameFile(a, b)
}

// brokenOrOurs tells whether a link leads nowhere, or to another copy of this program.
func brokenOrOurs(path string) bool {
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return true
	}
	name := calledAs(to)
	return name == "machine" || name == "docker-machine"
}

// pluginsOnPath are the programs on PATH that are named as plugins, the first of each name.
func (a *app) pluginsOnPath() []pluginRow {
	self, err := os.Executable()
	if err != nil {
		self = ""
	}
	rows := []pluginRow{}
	seen := map[string]bool{}
	for _, dir := range filepath.SplitList(a.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // no plugin is run from there
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			name, ok := strings.CutPrefix(calledAs(e.Name()), plugin.ProgramPrefix)
			path := filepath.Join(dir, e.Name())
			if !ok || name == "" || seen[name] || !executable(path) {
				continue
			}
			seen[name] = true
			rows = append(rows, pluginRow{Driver: name, Plugin: plugin.ProgramPrefix + name, Path: path, Own: self != "" && sameFile(path, self)})
		}
	}
	slices.SortFunc(rows, func(a, b pluginRow) int { return strings.Compare(a.Driver, b.Driver) })
	return rows
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0)
}
