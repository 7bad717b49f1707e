package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// What becomes of a file when a store is copied.
const (
	CopyNew  = "copy" // it is missing there
	CopySame = "same" // it is there already
	CopyStay = "stay" // it is of use on this computer alone
)

// CopyItem is a file of a store that is copied.
type CopyItem struct {
	Path   string `json:"path"` // machines/m1/config.json
	Size   int    `json:"size"`
	Action string `json:"action"`
}

// CopyRequest says how to copy.
type CopyRequest struct {
	Command   string // told to others that meet a lock
	SkipLocal bool   // leave machines where they are that keep more than records in their folder
	DryRun    bool
	Done      func(CopyItem) // called after each machine, swarm and other file; may be nil

	// Computer tells which computer a machine lives on whose record does not say it, as Record.Computer
	// does: the copy records it. Empty: none that matters. nil: records are copied as they are.
	Computer func(Record) string
}

// settled is what a file becomes in the copy.
func (req CopyRequest) settled(p string, data []byte) ([]byte, error) {
	name := machineOf(p)
	if req.Computer == nil || name == "" || path.Base(p) != recordFile {
		return data, nil
	}
	if version, err := versionOf(data); err != nil || version != Version {
		return data, nil // as it is: who changes the machine migrates it
	}
	r, err := decode(name, data, func(string) bool { return false })
	if err != nil || r.Computer != "" {
		return data, nil
	}
	if r.Computer = req.Computer(r); r.Computer == "" {
		return data, nil
	}
	return encode(r)
}

// copied is the tree of the store that is copied, as the copy is to have it.
func (s *Store) copied(ctx context.Context, req CopyRequest) (tree, error) {
	t, err := s.tree(ctx)
	for p, data := range t.files {
		if err == nil {
			t.files[p], err = req.settled(p, data)
		}
	}
	return t, err
}

// tree is what a store has: files by path, and machines that have more than that.
type tree struct {
	files map[string][]byte
	local map[string]string // machine to what it has besides
}

// Copy makes the store to have what the store from has: certificates, machines, swarms and the id,
// as they are. Done again it goes on where it ended, and what is there already must be the same, or
// nothing is changed and the error wraps ErrDiffers. At the end both are read again and compared.
func Copy(ctx context.Context, from, to *Store, req CopyRequest) ([]CopyItem, error) {
	if from.root == to.root {
		return nil, fmt.Errorf("copy: %w: both are %s", ErrDiffers, to.root)
	}
	source, err := from.copied(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("read the store to copy from: %w", err)
	}
	target, err := to.tree(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store to copy to: %w", err)
	}
	if err := to.CanSeal(); err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	items, err := planCopy(source, target, req.SkipLocal)
	if err != nil || req.DryRun {
		return items, err
	}
	for _, unit := range units(items) {
		if err := context.Cause(ctx); err != nil {
			return items, err
		}
		if err := copyUnit(ctx, from, to, unit, req); err != nil {
			return items, fmt.Errorf("copy %s: %w", unit[0].Path, err)
		}
		if req.Done != nil {
			req.Done(unit[0])
		}
	}
	return items, verifyCopy(ctx, from, to, req)
}

// tree reads all that a store has.
func (s *Store) tree(ctx context.Context) (tree, error) {
	t := tree{files: map[string][]byte{}, local: map[string]string{}}
	for _, scope := range []string{machinesDir, clustersDir} {
		if err := s.backend.Refresh(scope, 0); err != nil {
			return t, err
		}
	}
	for _, dir := range []string{certsDir, clustersDir} {
		if err := t.add(s.root, dir, ""); err != nil {
			return t, err
		}
	}
	if data, err := readBounded(filepath.Join(s.root, idFile)); err == nil {
		t.files[idFile] = data
	} else if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	machines, err := os.ReadDir(s.machinesDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	for _, m := range machines {
		if err := context.Cause(ctx); err != nil {
			return t, err
		}
		if !m.IsDir() || usableName(m.Name()) != nil {
			continue
		}
		if err := t.add(s.root, machinePath(m.Name()), m.Name()); err != nil {
			return t, err
		}
	}
	return t, nil
}

// add reads the files of a folder. What of a machine is no file of the size of a record is local.
func (t tree) add(root, dir, machine string) error {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir), e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		p := path.Join(dir, e.Name())
		if !info.Mode().IsRegular() || info.Size() > maxRecord || fileName(e.Name()) != nil {
			if machine != "" {
				t.local[machine] = e.Name()
			}
			continue
		}
		if t.files[p], err = os.ReadFile(filepath.Join(root, filepath.FromSlash(p))); err != nil {
			return err
		}
	}
	return nil
}

// planCopy compares.
func planCopy(source, target tree, skipLocal bool) ([]CopyItem, error) {
	var (
		items   []CopyItem
		differ  []string
		staying []string
	)
	for _, p := range slices.Sorted(maps.Keys(source.files)) {
		item := CopyItem{Path: p, Size: len(source.files[p]), Action: CopyNew}
		there, ok := target.files[p]
		switch besides := source.local[machineOf(p)]; {
		case besides != "":
			item.Action = CopyStay
			staying = append(staying, machineOf(p)+" ("+besides+")")
		case ok && bytes.Equal(there, source.files[p]):
			item.Action = CopySame
		case ok:
			differ = append(differ, p)
		}
		items = append(items, item)
	}
	for _, p := range slices.Sorted(maps.Keys(target.files)) {
		if _, ok := source.files[p]; !ok {
			differ = append(differ, p)
		}
	}
	staying = slices.Compact(staying)
	switch {
	case len(differ) > 0:
		return items, fmt.Errorf("%w: %s", ErrDiffers, some(differ))
	case len(staying) > 0 && !skipLocal:
		return items, fmt.Errorf("%w: %s", ErrStays, some(staying))
	}
	return items, nil
}

// some names the first of many.
func some(all []string) string {
	const few = 5
	if len(all) <= few {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:few], ", "), len(all)-few)
}

// machineOf returns whose file it is; empty: no machine's.
func machineOf(p string) string {
	if dir := path.Dir(p); path.Dir(dir) == machinesDir {
		return path.Base(dir)
	}
	return ""
}

// units are the files that are copied together: those of a machine, and each other alone. The
// certificates come first, which machines are of no use without, the id last.
func units(items []CopyItem) [][]CopyItem {
	var all [][]CopyItem
	var last [][]CopyItem
	for _, item := range items {
		n := len(all)
		switch name := machineOf(item.Path); {
		case item.Action != CopyNew:
		case item.Path == idFile:
			last = append(last, []CopyItem{item})
		case name != "" && n > 0 && machineOf(all[n-1][0].Path) == name:
			all[n-1] = append(all[n-1], item)
		default:
			all = append(all, []CopyItem{item})
		}
	}
	return append(all, last...)
}

// lockOf is the lock that covers a file.
func lockOf(p string) string {
	name := path.Base(p)
	switch {
	case machineOf(p) != "":
		return "machine-" + fold(machineOf(p))
	case path.Dir(p) == clustersDir:
		return "swarm-" + fold(strings.TrimSuffix(name, clusterExt))
	}
	return "shared"
}

func copyUnit(ctx context.Context, from, to *Store, unit []CopyItem, req CopyRequest) error {
	key := lockOf(unit[0].Path)
	source, err := from.backend.Acquire(ctx, key, req.Command, false)
	if err != nil {
		return err
	}
	defer source.Release(false)
	target, err := to.backend.Acquire(ctx, key, req.Command, false)
	if err != nil {
		return err
	}
	defer target.Release(false)
	scope := path.Dir(unit[0].Path)
	if scope == "." {
		scope = unit[0].Path
	}
	if err := from.backend.Refresh(scope, 0); err != nil {
		return err
	}
	files := map[string][]byte{}
	size := 0
	for _, item := range unit {
		data, err := readBounded(filepath.Join(from.root, filepath.FromSlash(item.Path)))
		if err == nil {
			data, err = req.settled(item.Path, data)
		}
		if err != nil {
			return err
		}
		files[path.Base(item.Path)] = data
		size += len(data)
	}
	dir := path.Dir(unit[0].Path)
	if machineOf(unit[0].Path) != "" && size <= maxRecord && !isDir(filepath.Join(to.root, filepath.FromSlash(dir))) {
		return writeError("write", target.Found(dir, files))
	}
	for _, item := range unit {
		if err := target.Replace(item.Path, files[path.Base(item.Path)]); err != nil {
			return writeError("write", err)
		}
	}
	return nil
}

// verifyCopy reads both again.
func verifyCopy(ctx context.Context, from, to *Store, req CopyRequest) error {
	source, err := from.copied(ctx, req)
	if err != nil {
		return fmt.Errorf("verify: read the store that was copied: %w", err)
	}
	target, err := to.tree(ctx)
	if err != nil {
		return fmt.Errorf("verify: read the copy: %w", err)
	}
	items, err := planCopy(source, target, req.SkipLocal)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	for _, item := range items {
		if item.Action == CopyNew {
			return &HintError{
				Err:    fmt.Errorf("verify: %w: %s is not in the copy", ErrDiffers, item.Path),
				Advice: "another command wrote it meanwhile: run the same command again",
			}
		}
	}
	return nil
}
