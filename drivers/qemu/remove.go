package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if d.state.Value.UUID == "" {
		return nil
	}
	if err := d.end(ctx); err != nil {
		return err
	}
	if err := d.release(ctx); err != nil {
		return err
	}
	for _, name := range files() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := os.RemoveAll(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	d.state.Value = State{}
	return d.state.Save()
}
