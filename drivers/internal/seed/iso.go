package seed

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// writeISO makes an ISO 9660 image with Rock Ridge names of the files.
func writeISO(path, label string, files map[string][]byte) (err error) {
	work := path + ".work"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("write seed: %w", err)
	}
	defer func() { err = cmp.Or(err, os.RemoveAll(work)) }()
	tree, disk := filepath.Join(work, "tree"), filepath.Join(work, "disk")
	for name, data := range files {
		to := filepath.Join(tree, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("write seed: %w", err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return fmt.Errorf("write seed: %w", err)
		}
	}
	if err := makeISO(disk, tree, label); err != nil {
		return fmt.Errorf("write seed: %w", err)
	}
	return os.Rename(disk, path)
}

func makeISO(disk, tree, label string) error {
	out, err := os.OpenFile(disk, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	iso, err := iso9660.Create(file.New(out, false), 0, 0, 2048, tree)
	if err != nil {
		return err
	}
	if err := iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: label}); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}
