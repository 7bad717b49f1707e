package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// publisher serves an image and a file of its checksum.
type publisher struct {
	url, sums string
	size      int64
	held      chan struct{} // gets a value when a transfer is held

	mu    sync.Mutex
	bytes int64
	limit int64         // of a transfer, at which it is held; 0: none
	open  chan struct{} // closed when transfers go on
}

func publish(t *testing.T, path string) *publisher {
	t.Helper()
	p := &publisher{held: make(chan struct{}, 1), open: make(chan struct{})}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	sum := sha256.New()
	if p.size, err = io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(path)
	mux := http.NewServeMux()
	mux.HandleFunc("/SHA256SUMS", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%x  %s\n", sum.Sum(nil), name)
	})
	mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(counted{w, p, r}, r, name, time.Unix(1700000000, 0), io.NewSectionReader(file, 0, p.size))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	p.url, p.sums = server.URL+"/"+name, server.URL+"/SHA256SUMS"
	return p
}

// holdAt has transfers stop once so many bytes of all were sent; 0: they go on.
func (p *publisher) holdAt(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = 0
	if n > 0 {
		p.limit = p.bytes + n
		return
	}
	close(p.open)
	p.open = make(chan struct{})
}

// sent is how many bytes of the image were sent so far.
func (p *publisher) sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// counted counts what is sent.
type counted struct {
	http.ResponseWriter
	p *publisher
	r *http.Request
}

func (c counted) Write(b []byte) (int, error) {
	c.p.mu.Lock()
	full, open := c.p.limit > 0 && c.p.bytes >= c.p.limit, c.p.open
	c.p.mu.Unlock()
	if full {
		select {
		case c.p.held <- struct{}{}:
		default:
		}
		select {
		case <-open:
		case <-c.r.Context().Done():
			return 0, c.r.Context().Err()
		}
	}
	n, err := c.ResponseWriter.Write(b)
	c.p.mu.Lock()
	c.p.bytes += int64(n)
	c.p.mu.Unlock()
	return n, err
}
