package seed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

const sectorSize = 2048

// writeISO makes an ISO 9660 image with Rock Ridge names of the files.
func writeISO(path, label string, files map[string][]byte) error {
	work := path + ".work"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("write seed: %w", err)
	}
	err := makeISO(work, label, files)
	if err == nil {
		err = os.Rename(filepath.Join(work, "disk"), path)
	}
	if err := errors.Join(err, os.RemoveAll(work)); err != nil {
		return fmt.Errorf("write seed: %w", err)
	}
	return nil
}

// makeISO makes the image as the file disk in the folder work.
func makeISO(work, label string, files map[string][]byte) error {
	tree := filepath.Join(work, "tree")
	for name, data := range files {
		to := filepath.Join(tree, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(filepath.Join(work, "disk"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(finish(out, tree, label), out.Close())
}

func finish(out *os.File, tree, label string) error {
	iso, err := iso9660.Create(file.New(out, false), 0, 0, sectorSize, tree)
	if err != nil {
		return err
	}
	if err := iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: label}); err != nil {
		return err
	}
	if err := timeless(out); err != nil {
		return err
	}
	return out.Sync()
}
