package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// asEnv makes the test binary play another process: a writer, a counter ...
const asEnv = "STORE_TEST_AS"

func TestMain(m *testing.M) {
	if as := os.Getenv(asEnv); as != "" {
		os.Exit(play(as, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// play is the other process's main.
func play(as string, args []string) int {
	ctx := context.Background()
	root := args[0]
	var err error
	switch as {
	case "writer":
		err = playWriter(ctx, Open(root), args[1])
	case "counter":
		var n int
		if n, err = strconv.Atoi(args[1]); err == nil {
			err = count(ctx, Open(root), n)
		}
	case "holder":
		err = playHolder(ctx, Open(root), args[1])
	case "full-disk":
		err = playFullDisk(ctx, root)
	case "read-only":
		err = playReadOnly(ctx, root)
	default:
		err = fmt.Errorf("no such part: %s", as)
	}
	if errors.Is(err, errSkip) {
		fmt.Println(err)
		return 77
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// errSkip is what a part returns that the system does not let it play.
var errSkip = errors.New("not possible here")

// other returns the test binary as another process.
func other(t *testing.T, as string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asEnv+"="+as)
	return cmd
}

// playWriter rewrites a machine until it is killed: its record, a file and the secrets.
func playWriter(ctx context.Context, s *Store, name string) error {
	txn, err := s.Lock(ctx, name, "machine write")
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		r := sample(name)
		// Sizes differ, so that a file written in place would be seen torn.
		r.Problem = &Problem{Message: strings.Repeat("x", i%7*5000), Reason: strconv.Itoa(i)}
		if err := txn.Put(r); err != nil {
			return err
		}
		if err := txn.PutSecrets(json.RawMessage(`{"token":"` + strings.Repeat("s", i%5*3000) + `"}`)); err != nil {
			return err
		}
		if i == 0 {
			fmt.Println("writing")
		}
	}
}

// playHolder takes the lock of a machine, says so and keeps it until its input ends.
func playHolder(ctx context.Context, s *Store, name string) error {
	txn, err := s.Lock(ctx, name, "machine hold")
	if err != nil {
		return err
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return txn.Close()
}

// count adds n to a counter in the record, one by one, each under the lock.
func count(ctx context.Context, s *Store, n int) error {
	for range n {
		if err := countOnce(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func countOnce(ctx context.Context, s *Store) error {
	txn, err := s.Lock(ctx, "counter", "machine count")
	for errors.Is(err, ErrLocked) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
		txn, err = s.Lock(ctx, "counter", "machine count")
	}
	if err != nil {
		return err
	}
	r, err := txn.Get()
	if errors.Is(err, ErrNotExist) {
		r, err = sample("counter"), nil
	}
	if err == nil {
		r.HostOptions.SwarmOptions.SubnetSize++
		err = txn.Put(r)
	}
	return errors.Join(err, txn.Close())
}

// line reads a line that another process says.
func line(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("the other process ended: %v", err)
	}
	return strings.TrimSpace(text)
}

// sample is a record with something in each of its parts.
func sample(name string) Record {
	return Record{
		ConfigVersion: Version,
		Name:          name,
		DriverName:    "generic",
		Driver:        json.RawMessage(`{"IPAddress":"192.0.2.7","Note":"a \u003c b && c"}`),
		DriverState:   json.RawMessage(`{"id":"i-1"}`),
		Phase:         Ready,
		Problem:       &Problem{Reason: "SSH_REFUSED", Message: "dial <tcp>", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)},
		Created:       time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Creator:       "1.0.0",
		Address:       Address{Host: "192.0.2.7", Peer: "10.0.0.7", User: "root", SSHPort: 22, EnginePort: 2376},
		SSH:           SSH{Key: "id_ed25519", HostKey: "pinned"},
		HostOptions: HostOptions{
			EngineOptions: EngineOptions{Labels: []string{"a=b"}, TLSVerify: true, Version: "28.5"},
			SwarmOptions:  SwarmOptions{IsSwarm: true, Name: "s1", AddrPool: []string{"10.20.0.0/16"}, DataPathPort: 7789},
			AuthOptions:   AuthOptions{ServerCertSANs: []string{"m1.example.com"}},
		},
		Installed: Installed{Engine: "28.5.2", Source: "repo", OS: "Debian GNU/Linux 13", Arch: "amd64", Hosts: []string{"192.0.2.7"}},
		Swarm:     Swarm{Name: "s1", Role: "manager", NodeID: "abc"},
	}
}

func lockMachine(t testing.TB, s *Store, name string) *Txn {
	t.Helper()
	txn, err := s.Lock(t.Context(), name, "machine test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = txn.Close() })
	return txn
}

// put makes a machine and gives its lock back.
func put(t testing.TB, s *Store, name string) Record {
	t.Helper()
	txn := lockMachine(t, s, name)
	r := sample(name)
	if err := txn.Put(r); err != nil {
		t.Fatal(err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// write puts a file into the store as another program would.
func write(t testing.TB, s *Store, path, text string) string {
	t.Helper()
	path = filepath.Join(s.Root(), filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files returns all there is under a folder, with what would change if it were written to.
func files(t testing.TB, root string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(rel)] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano(), identity(info))
		return nil
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}
