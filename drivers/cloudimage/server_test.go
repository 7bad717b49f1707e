package cloudimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// publisher is a server with files, each with its ETag.
type publisher struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string][]byte
	requests []string // method, path, Range
	// before sees each request for a file and answers it if it returns true.
	before func(w http.ResponseWriter, r *http.Request, data []byte) bool
}

func newPublisher(t testing.TB, files map[string][]byte) *publisher {
	t.Helper()
	p := &publisher{files: files}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	data, ok := p.files[r.URL.Path]
	p.requests = append(p.requests, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")))
	before := p.before
	p.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
	if before != nil && before(w, r, data) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (p *publisher) set(path string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[path] = data
}

func (p *publisher) hook(before func(w http.ResponseWriter, r *http.Request, data []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = before
}

// asked returns what was asked for since the last time.
func (p *publisher) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.requests
	p.requests = nil
	return asked
}

// cutAt breaks the connection after so many bytes of a response, the first times.
func cutAt(n int, times int) func(http.ResponseWriter, *http.Request, []byte) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if times == 0 || strings.HasSuffix(r.URL.Path, "SUMS") {
			return false
		}
		times--
		http.ServeContent(&cutter{w, n}, r, "", time.Time{}, bytes.NewReader(data))
		return true
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// qcow2 is something that begins as an image of the format does.
func qcow2(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	copy(data, "QFI\xfb\x00\x00\x00\x03")
	clear(data[8:112])
	return data
}

func sha512Of(data []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(data)) }
func sha256Of(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// published is an image at the server with a file of checksums beside it.
func (p *publisher) publish(path string, data []byte) Image {
	p.set(path, data)
	p.set("/SHA512SUMS", fmt.Appendf(nil, "%x  %s\n", sha512.Sum512(data), strings.TrimPrefix(path, "/")))
	return Image{Arch: "amd64", URL: p.URL + path, Sums: p.URL + "/SHA512SUMS"}
}

// told collects what a cache says.
type told struct {
	mu    sync.Mutex
	notes []string
	steps []string
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(append(o.steps, o.notes...), "\n")
}

// inStep is the key of the step that a context is of.
type inStep struct{}

func newCache(t testing.TB, dir string) (*Cache, *told) {
	t.Helper()
	o := &told{}
	return &Cache{
		Dir:   dir,
		pause: time.Millisecond,
		stall: 20 * time.Second,
		Note: func(_ context.Context, text string) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.notes = append(o.notes, text)
		},
		Step: func(ctx context.Context, name string, fn func(context.Context) error) error {
			o.mu.Lock()
			o.steps = append(o.steps, name)
			o.mu.Unlock()
			return fn(context.WithValue(ctx, inStep{}, name))
		},
	}, o
}

func checkFile(t *testing.T, f File, want []byte) {
	t.Helper()
	got, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || f.Size != int64(len(want)) {
		t.Errorf("%s has %d bytes, and said %d, not the %d bytes that were published", f.Path, len(got), f.Size, len(want))
	}
	if stat, err := os.Stat(f.Path); err != nil || stat.Mode().Perm()&0o222 != 0 {
		t.Errorf("%s can be written: %v, %v", f.Path, stat.Mode(), err)
	}
}
