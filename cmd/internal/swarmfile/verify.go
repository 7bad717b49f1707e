package swarmfile

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Verify reads a backup to its end: every byte is as it was written, and in the folder is what a manager starts with.
func Verify(r io.Reader, with Identities) (*Backup, error) {
	b, err := Open(r, with)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	seen := make(chan error, 1)
	go func() {
		err := verifyFolder(pr)
		_, _ = io.Copy(io.Discard, pr) // the reader of the file goes on to its end
		seen <- err
	}()
	err = b.Folder(pw)
	_ = pw.CloseWithError(err) // always nil
	if inner := <-seen; err == nil {
		err = inner
	}
	return b, err
}

// verifyFolder looks for what a manager needs in the archive of its folder.
func verifyFolder(r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	missing := map[string]bool{"swarm/certificates/swarm-node.key": true, "swarm/certificates/swarm-node.crt": true, "swarm/raft/wal-v3-encrypted/": true}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for want := range missing {
			if h.Name == want || strings.HasSuffix(want, "/") && strings.HasPrefix(h.Name, want) {
				delete(missing, want)
			}
		}
	}
	for name := range missing {
		return fmt.Errorf("%w: %s is missing", ErrDamaged, name)
	}
	return nil
}
