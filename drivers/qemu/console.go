package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hostsmith/machine/drivers"
)

// consoleLimit is how much of the console is of interest.
const consoleLimit = 64 << 10

// Console implements drivers.ConsoleReader.
func (d *driver) Console(ctx context.Context) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	data, err := tail(d.path(consoleFile), consoleLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the machine has not run yet", drivers.ErrUnsupported)
	}
	if err != nil && len(data) == 0 {
		return nil, nil // it said nothing yet
	}
	return data, nil
}

// tail returns the end of a file.
func tail(path string, n int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(n, info.Size()))
	read, err := file.ReadAt(data, info.Size()-int64(len(data)))
	if read > 0 {
		err = nil
	}
	return data[:read], err
}
