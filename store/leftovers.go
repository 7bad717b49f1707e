package store

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftAge is how old what a killed command left must be before others remove it.
const leftAge = time.Minute

// sweepLeft removes what killed commands left of machines that are not there, whose names may never be used
// again: locks, and folders that were not finished. What another command holds stays.
func (f *Folder) sweepLeft() {
	machines, err := entryNames(f.path(machinesDir))
	if err != nil {
		return
	}
	locks, err := entryNames(f.path("locks"))
	if err != nil {
		return
	}
	there := map[string]bool{}
	left := map[string]string{} // the name as the lock has it, to the name as it was given
	for _, file := range machines {
		if name, ok := tempOf(file); ok && old(filepath.Join(f.path(machinesDir), file)) {
			left[fold(name)] = name
		} else if !ok {
			there[fold(file)] = true
		}
	}
	for _, file := range locks {
		name, ok := strings.CutPrefix(file, "machine-")
		name, isLock := strings.CutSuffix(name, ".lock")
		if ok && isLock && !there[name] && left[name] == "" && old(filepath.Join(f.path("locks"), file)) {
			left[name] = name
		}
	}
	for key, name := range left {
		f.sweepOne("machine-"+key, name)
	}
}

// sweepOne removes what is left of one machine, unless somebody holds its lock.
func (f *Folder) sweepOne(key, name string) {
	file, err := tryLock(filepath.Join(f.path("locks"), key+".lock"))
	if err != nil || file == nil {
		return
	}
	l := &lock{file: file, holder: filepath.Join(f.path("locks"), key+".json")}
	sweep(f.path(machinesDir), name)
	machines, err := entryNames(f.path(machinesDir))
	gone := err == nil
	for _, there := range machines {
		gone = gone && fold(there) != fold(name)
	}
	l.release(gone)
}

// tempOf returns whose unfinished folder this is.
func tempOf(file string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(file, tmpPrefix)
	if !ok {
		return "", false
	}
	at := strings.LastIndex(rest, "-")
	return rest[:max(at, 0)], at > 0
}

func old(path string) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) > leftAge
}
