package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inOwnMounts lets a process mount, without being root, what nobody else sees.
func inOwnMounts(cmd *exec.Cmd) bool {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return true
}

func mount(root, options string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("%w: mount tmpfs: %w", errSkip, err)
	}
	return nil
}

func playPut(ctx context.Context, s *Store, name string, message int) (err error) {
	txn, err := s.Lock(ctx, name, "machine put")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	r := sample(name)
	r.Problem.Message = strings.Repeat("x", message)
	return txn.Put(r)
}

// playFiles writes a file that there is space for together with one that there is none for.
func playFiles(ctx context.Context, s *Store) error {
	txn, err := s.Lock(ctx, "m1", "machine test")
	if err != nil {
		return err
	}
	defer func() { _ = txn.Close() }()
	err = txn.WriteFiles(File{Name: "key.pem"}, File{Name: "cert.pem", Data: make([]byte, 60_000)})
	if _, rerr := txn.ReadFile("key.pem"); !errors.Is(rerr, fs.ErrNotExist) {
		return fmt.Errorf("the first of two files changed, the second did not: %w", rerr)
	}
	return err
}

// playFullDisk goes through what happens on a disk that fills up.
func playFullDisk(ctx context.Context, root string) error {
	if err := mount(root, "size=512k,mode=700"); err != nil {
		return err
	}
	s := Open(root)
	for _, name := range []string{"m1", "m2"} {
		if err := playPut(ctx, s, name, 50_000); err != nil {
			return err
		}
	}
	if err := fill(filepath.Join(root, "ballast")); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		err  error
	}{
		{"put", playPut(ctx, s, "m1", 60_000)},
		{"put new", playPut(ctx, s, "m3", 10)},
		{"put certificate", playCert(ctx, s)},
		{"put swarm", playCluster(ctx, s)},
		{"put secrets", playSecrets(ctx, s)},
		{"put files", playFiles(ctx, s)},
	} {
		if !errors.Is(step.err, ErrFull) || !strings.Contains(step.err.Error(), root) {
			return fmt.Errorf("%s on a full disk: got %w", step.name, step.err)
		}
	}
	entries, err := s.List()
	if err != nil || len(entries) != 2 {
		return fmt.Errorf("list on a full disk: %v, %w", entries, err)
	}
	for _, e := range entries {
		if e.Err != nil || len(e.Record.Problem.Message) != 50_000 {
			return fmt.Errorf("%s on a full disk: %d, %w", e.Name, len(e.Record.Problem.Message), e.Err)
		}
	}
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, tmpPrefix) {
			return fmt.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		return err
	}
	// Removing works, and makes the room that was missing.
	txn, err := s.Lock(ctx, "m2", "machine rm")
	if err != nil {
		return fmt.Errorf("lock on a full disk: %w", err)
	}
	if err := errors.Join(txn.Delete(), txn.Close()); err != nil {
		return fmt.Errorf("delete on a full disk: %w", err)
	}
	return playPut(ctx, s, "m1", 20_000)
}

// fill writes until nothing more goes in.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return f.Close()
}

func playCert(ctx context.Context, s *Store) error {
	txn, err := s.LockShared(ctx, "machine create")
	if err != nil {
		return err
	}
	return errors.Join(txn.WriteCert("ca.pem", make([]byte, 10_000)), txn.Close())
}

func playSecrets(ctx context.Context, s *Store) error {
	txn, err := s.Lock(ctx, "m1", "machine create")
	if err != nil {
		return err
	}
	return errors.Join(txn.PutSecrets(json.RawMessage(`{"a":"`+strings.Repeat("b", 10_000)+`"}`)), txn.Close())
}

func playCluster(ctx context.Context, s *Store) error {
	txn, err := s.LockCluster(ctx, "s1", "machine create")
	if err != nil {
		return err
	}
	return errors.Join(txn.Put(Cluster{ID: strings.Repeat("i", 10_000)}), txn.Close())
}

// playReadOnly goes through what happens on a disk that may only be read.
func playReadOnly(ctx context.Context, root string) error {
	if err := mount(root, "size=1m,mode=700"); err != nil {
		return err
	}
	s := Open(root)
	if err := errors.Join(playPut(ctx, s, "m1", 10), playCluster(ctx, s)); err != nil {
		return err
	}
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("%w: remount: %w", errSkip, err)
	}
	for _, step := range []struct {
		name string
		err  error
	}{
		{"put", playPut(ctx, s, "m1", 60_000)},
		{"put new", playPut(ctx, s, "m3", 10)},
		{"put certificate", playCert(ctx, s)},
		{"put swarm", playCluster(ctx, s)},
		{"store below", playPut(ctx, Open(filepath.Join(root, "a", "b")), "m1", 10)},
	} {
		if !errors.Is(step.err, ErrReadOnly) || !strings.Contains(step.err.Error(), root) {
			return fmt.Errorf("%s on a read-only disk: got %w", step.name, step.err)
		}
	}
	entries, err := s.List()
	if err != nil || len(entries) != 1 || entries[0].Err != nil {
		return fmt.Errorf("list on a read-only disk: %v, %w", entries, err)
	}
	_, err = s.Cluster("s1")
	return err
}

// nobody is a user who owns nothing.
const nobody = 65534

// whereModesApply returns a folder in which modes of files stop the test, as root's too.
func whereModesApply(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		return dir
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chown(d, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread() // the file system's user is a thread's
	if err := syscall.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Setfsuid(0)
		runtime.UnlockOSThread()
	})
	return dir
}
