package cloudimage

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary be another process that gets an image.
func TestMain(m *testing.M) {
	if args := os.Getenv("CLOUDIMAGE_TEST_GET"); args != "" {
		if err := getAndTell(strings.Split(args, " ")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func getAndTell(args []string) error {
	c := &Cache{Dir: args[0], pause: time.Millisecond, Note: func(_ context.Context, text string) { fmt.Println("note:", text) }}
	img := Image{URL: args[1]}
	if len(args) > 2 {
		img.Sums = args[2]
	}
	f, err := c.Get(context.Background(), img, func(done, _ int64) {
		fmt.Println("has:", done)
	})
	fmt.Println("got:", f.Path)
	return err
}

func process(t *testing.T, dir string, img Image) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CLOUDIMAGE_TEST_GET="+strings.TrimSpace(strings.Join([]string{dir, img.URL, img.Sums}, " ")))
	cmd.Stderr = os.Stderr
	return cmd
}

func TestProcessesDownloadOnce(t *testing.T) {
	t.Parallel()
	data := qcow2(1 << 20)
	for _, sums := range []bool{true, false} {
		p := newPublisher(t, map[string][]byte{})
		img := p.publish("/x.img", data)
		if !sums {
			img.Sums = ""
		}
		proceed := make(chan struct{})
		var full atomic.Int32
		p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
			if r.URL.Path != "/x.img" || r.Header.Get("If-None-Match") != "" {
				return false
			}
			full.Add(1)
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:1000])
			_ = http.NewResponseController(w).Flush()
			<-proceed
			_, _ = w.Write(data[1000:])
			return true
		})
		dir := t.TempDir()
		first, second := process(t, dir, img), process(t, dir, img)
		out, err := first.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "has:") {
		}
		waits, err := second.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(waits)
		want := fmt.Sprintf("note: waiting for process %d (fetch x.img)", first.Process.Pid)
		if !said.Scan() || said.Text() != want {
			t.Errorf("the second says %q, want %q", said.Text(), want)
		}
		close(proceed)
		rest, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for said.Scan() {
			got = said.Text()
		}
		if err := first.Wait(); err != nil {
			t.Errorf("the first: %v", err)
		}
		if err := second.Wait(); err != nil {
			t.Errorf("the second: %v", err)
		}
		if !strings.HasPrefix(got, "got: "+dir) || !strings.HasSuffix(string(rest), got+"\n") {
			t.Errorf("the first got %s, the second %s", rest, got)
		}
		if full.Load() != 1 {
			t.Errorf("downloaded %d times", full.Load())
		}
	}
}

func TestGoroutinesDownloadOnce(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(1<<20))
	c, _ := newCache(t, t.TempDir())
	errs := make(chan error)
	const all = 8
	for range all {
		go func() {
			_, err := c.Get(t.Context(), img, nil)
			errs <- err
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var fetched int
	for _, r := range p.asked() {
		if r == "/x.img" {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("downloaded %d times", fetched)
	}
}

// A process may be killed at any point. What it leaves is a cache that works, and
// what came of a download is not fetched again.
func TestKilled(t *testing.T) {
	t.Parallel()
	const kills = 6
	plain := qcow2(3 << 20)
	for name, data := range map[string][]byte{"plain": plain, "packed": packed(t, withGzip, plain)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, map[string][]byte{})
			img := p.publish("/x.img", data)
			var sent atomic.Int64
			p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
				if r.URL.Path == "/x.img" {
					http.ServeContent(&slow{w, &sent}, r, "", time.Time{}, strings.NewReader(string(data)))
					return true
				}
				return false
			})
			dir := t.TempDir()
			for n := range kills {
				runAndKill(t, process(t, dir, img), n)
			}
			c, _ := newCache(t, dir)
			f, err := c.Get(t.Context(), img, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkFile(t, f, plain)
			if left, _ := filepath.Glob(filepath.Join(dir, "*", "*"+unready)); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
			// Lost is what the kernel still had in buffers of the connection.
			if limit := int64(len(data)) + kills*(1<<20); sent.Load() > limit {
				t.Errorf("%d bytes were sent of %d", sent.Load(), len(data))
			}
		})
	}
}

// runAndKill lets a process go on for a while, the last times to the end of its
// download and somewhat further, and kills it.
func runAndKill(t *testing.T, cmd *exec.Cmd, n int) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const all = 3 << 20
	until := rand.Int64N(all/4) + all/4*int64(n)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var done int64
		if strings.HasPrefix(lines.Text(), "error:") {
			t.Error(lines.Text())
		}
		if _, err := fmt.Sscanf(lines.Text(), "has: %d", &done); err == nil && done >= min(until, all) {
			break
		}
	}
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
}

// slow sends a file in some time.
type slow struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (s *slow) Write(p []byte) (int, error) {
	var all int
	for len(p) > 0 {
		n, err := s.ResponseWriter.Write(p[:min(len(p), 32<<10)])
		s.sent.Add(int64(n))
		all += n
		if err != nil {
			return all, err
		}
		p = p[n:]
		time.Sleep(500 * time.Microsecond)
	}
	return all, nil
}
