package cloudimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResumes(t *testing.T) {
	t.Parallel()
	data := qcow2(1 << 20)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	p.hook(cutAt(400_000, 2))
	c, o := newCache(t, t.TempDir())
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	want := []string{"/SHA512SUMS", "/x.img", "/x.img bytes=400000-", "/x.img bytes=800000-"}
	if diff := cmp.Diff(want, p.asked()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(o.String(), "the download of x.img broke off (") {
		t.Errorf("said %s", o)
	}
}

// begun is a cache in which a command was stopped in the middle of a download.
func begun(t *testing.T, p *publisher, img Image) (*Cache, *told) {
	t.Helper()
	c, o := newCache(t, t.TempDir())
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	stop := errors.New("stop")
	p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if strings.HasSuffix(r.URL.Path, "SUMS") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	})
	_, err := c.Get(ctx, img, func(done, total int64) {
		if done == total/2 {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	p.hook(nil)
	p.asked()
	return c, o
}

func TestNextCommandResumes(t *testing.T) {
	t.Parallel()
	data := qcow2(1 << 20)
	other := bytes.Clone(data)
	other[999] ^= 1
	half := fmt.Sprintf("/x.img bytes=%d-", len(data)/2)
	tests := map[string]struct {
		then func(p *publisher, c *Cache)
		sums bool
		want []byte
		asks []string
		says string
	}{
		"with a sum":      {nil, true, data, []string{"/SHA512SUMS", half}, ""},
		"without a sum":   {nil, false, data, []string{half}, ""},
		"changed":         {func(p *publisher, _ *Cache) { p.set("/x.img", other) }, false, other, []string{half}, ""},
		"published anew":  {func(p *publisher, _ *Cache) { p.publish("/x.img", other) }, true, other, []string{"/SHA512SUMS", "/x.img"}, ""},
		"shorter by then": {func(p *publisher, _ *Cache) { p.set("/x.img", data[:512*100]) }, false, data[:512*100], []string{half}, ""},
		"no ranges": {func(p *publisher, _ *Cache) {
			p.hook(func(w http.ResponseWriter, _ *http.Request, data []byte) bool {
				_, _ = w.Write(data)
				return true
			})
		}, false, data, []string{half}, ""},
		"strange range": {func(p *publisher, _ *Cache) {
			p.hook(func(w http.ResponseWriter, _ *http.Request, data []byte) bool {
				p.hook(nil)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(data)
				return true
			})
		}, false, data, []string{half, "/x.img"}, "another part than was asked for"},
		"garbage in between": {func(_ *publisher, c *Cache) {
			spoil(c, func(part []byte) { part[1000] ^= 1 })
		}, true, data, []string{"/SHA512SUMS", half, "/x.img"}, "does not fit the rest; it is fetched again"},
		"nothing known of it": {func(_ *publisher, c *Cache) {
			all, _ := filepath.Glob(filepath.Join(c.downloads(), "*.json"))
			_ = os.WriteFile(all[0], []byte("{"), 0o600)
		}, false, data, []string{"/x.img"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, map[string][]byte{})
			img := p.publish("/x.img", data)
			if !tt.sums {
				img.Sums = ""
			}
			c, o := begun(t, p, img)
			if tt.then != nil {
				tt.then(p, c)
			}
			f, err := c.Get(t.Context(), img, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkFile(t, f, tt.want)
			if diff := cmp.Diff(tt.asks, p.asked()); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(o.String(), tt.says) {
				t.Errorf("said %s", o)
			}
			if left, _ := filepath.Glob(filepath.Join(c.downloads(), "*")); len(left) != 0 && name != "published anew" {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// spoil changes what came of a download.
func spoil(c *Cache, change func([]byte)) {
	all, _ := filepath.Glob(filepath.Join(c.downloads(), "url-*"))
	for _, path := range all {
		if data, err := os.ReadFile(path); err == nil && !strings.HasSuffix(path, ".json") {
			change(data)
			_ = os.WriteFile(path, data, 0o600)
		}
	}
}

// What came of a version that is not published any more is removed after a while.
func TestOldPartsGo(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(1<<20))
	c, _ := begun(t, p, img)
	parts, _ := filepath.Glob(filepath.Join(c.downloads(), "*"))
	for _, path := range parts {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	p.publish("/x.img", qcow2(1<<19))
	if _, err := c.Get(t.Context(), img, nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.downloads(), "*")); len(parts) != 2 || len(left) != 0 {
		t.Errorf("%v, left over: %v", parts, left)
	}
}

func TestStall(t *testing.T) {
	t.Parallel()
	data := qcow2(1 << 20)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	var stalls atomic.Int32
	p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if strings.HasSuffix(r.URL.Path, "SUMS") || stalls.Add(1) > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:1000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	})
	c, o := newCache(t, t.TempDir())
	c.stall = time.Second
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	if !strings.Contains(o.String(), "broke off (image cannot be fetched: "+img.URL+": nothing came for 1s)") {
		t.Errorf("said %s", o)
	}
}

// A slow download is no stalled one.
func TestSlow(t *testing.T) {
	t.Parallel()
	data := qcow2(20_480)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if strings.HasSuffix(r.URL.Path, "SUMS") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		for len(data) > 0 {
			n := min(len(data), 2048)
			_, _ = w.Write(data[:n])
			_ = http.NewResponseController(w).Flush()
			data = data[n:]
			time.Sleep(250 * time.Millisecond)
		}
		return true
	})
	c, o := newCache(t, t.TempDir())
	c.stall = 2 * time.Second
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	if o.String() != "download x.img" {
		t.Errorf("said %s", o)
	}
}

func answer(code int, times int32) func(http.ResponseWriter, *http.Request, []byte) bool {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if strings.HasSuffix(r.URL.Path, "SUMS") || n.Add(1) > times {
			return false
		}
		w.WriteHeader(code)
		return true
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	tests := map[string]struct {
		hook func(http.ResponseWriter, *http.Request, []byte) bool
		err  string // empty: it succeeds all the same
		hint string
		asks int
	}{
		"not found":     {answer(404, 99), "/x.img: 404 Not Found", "look it up at its publisher", 1},
		"gone":          {answer(410, 99), "/x.img: 410 Gone", "look it up at its publisher", 1},
		"forbidden":     {answer(403, 99), "/x.img: 403 Forbidden", "download the file yourself", 1},
		"proxy":         {answer(407, 99), "/x.img: 407 Proxy Auth", "password of the proxy", 1},
		"busy for good": {answer(503, 99), "/x.img: 503 Service Unavailable", "check the network", tries},
		"busy":          {answer(503, tries-1), "", "", tries},
		"too many":      {answer(429, 1), "", "", 2},
		"no content":    {answer(204, 9), "/x.img: 204 No Content", "check the network", 1},
		"not modified":  {answer(304, 9), "/x.img: 304 Not Modified", "check the network", 1},
		"too long":      {longer, "should be", "may need a moment", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, map[string][]byte{})
			img := p.publish("/x.img", data)
			p.hook(tt.hook)
			c, _ := newCache(t, t.TempDir())
			f, err := c.Get(t.Context(), img, nil)
			if tt.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				checkFile(t, f, data)
			} else if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrFetch) && !errors.Is(err, ErrChecksum) {
				t.Errorf("got %v, want %s", err, tt.err)
			}
			checkHint(t, err, tt.hint)
			var asked int
			for _, r := range p.asked() {
				if strings.HasPrefix(r, "/x.img") {
					asked++
				}
			}
			if asked != tt.asks {
				t.Errorf("asked %d times, want %d", asked, tt.asks)
			}
		})
	}
}

// longer sends more than there is.
func longer(w http.ResponseWriter, r *http.Request, data []byte) bool {
	if strings.HasSuffix(r.URL.Path, "SUMS") {
		return false
	}
	_, _ = w.Write(append(bytes.Clone(data), make([]byte, 512)...))
	return true
}

// A server that brings nothing, again and again, is given up.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(5000))
	p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if strings.HasSuffix(r.URL.Path, "SUMS") {
			return false
		}
		w.Header().Set("Content-Length", "5000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c, _ := newCache(t, t.TempDir())
	_, err := c.Get(t.Context(), img, nil)
	if !errors.Is(err, ErrFetch) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if n := len(p.asked()); n != tries+1 {
		t.Errorf("%d requests", n)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	c, _ := newCache(t, t.TempDir())
	_, err := c.Get(t.Context(), Image{URL: s.URL + "/x.img"}, nil)
	if !errors.Is(err, ErrFetch) || !strings.Contains(errText(err), "certificate") {
		t.Errorf("got %v", err)
	}
	checkHint(t, err, "check the clock")
	_, err = c.Get(t.Context(), Image{URL: strings.Replace(s.URL, "https", "http", 1) + "/x.img"}, nil)
	if !errors.Is(err, ErrFetch) || !strings.Contains(errText(err), "400 Bad Request") {
		t.Errorf("HTTP to HTTPS: %v", err)
	}
}

func TestNoSuchHost(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, t.TempDir())
	c.Client = &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}}
	}}}
	_, err := c.Get(t.Context(), Image{URL: "https://images.invalid/x.img?token=secret"}, nil)
	if !errors.Is(err, ErrFetch) || !strings.Contains(errText(err), "no such host") || !strings.Contains(errText(err), "https://images.invalid/x.img?...") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(errText(err), "secret") {
		t.Error("a secret is told")
	}
	checkHint(t, err, "HTTPS_PROXY")
}

// A redirect from HTTPS to another computer over plain HTTP is followed only if a checksum tells what is right.
func TestDowngrade(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	c, _ := newCache(t, t.TempDir())
	c.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if r.URL.Scheme == "https" {
			http.Redirect(w, r, "http://mirror.example"+r.URL.Path, http.StatusFound)
		} else {
			_, _ = w.Write(data)
		}
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})}
	img := Image{URL: "https://example.com/x.img"}
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "leads to plain HTTP at mirror.example") {
		t.Errorf("without a checksum: %v", err)
	}
	img.Sums = "https://example.com/SUMS"
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "SUMS leads to plain HTTP") {
		t.Errorf("checksums: %v", err)
	}
	img.Sums, img.Checksum = "", sha512Of(data)
	if _, err := c.Get(t.Context(), img, nil); err != nil {
		t.Error(err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBadSums(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(5000))
	c, _ := newCache(t, t.TempDir())
	p.set("/SHA512SUMS", []byte("<html>"))
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "SHA512SUMS: it has no SHA-256 or SHA-512 sum of x.img") {
		t.Errorf("got %v", err)
	}
	p.set("/SHA512SUMS", bytes.Repeat([]byte("0123456789abcdef"), maxSums/16+1))
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "which no file of checksums has") {
		t.Errorf("got %v", err)
	}
	img.Sums = p.URL + "/none"
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "/none: 404 Not Found") {
		t.Errorf("got %v", err)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	err := advise(Image{}, "/cache", fmt.Errorf("x: %w", &localError{&os.PathError{Op: "write", Path: "/cache/x", Err: syscall.ENOSPC}, 10 << 20, 30 << 20}))
	if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/cache/x") {
		t.Errorf("got %v", err)
	}
	checkHint(t, err, "at least 21 MB more are needed")
}

func TestContentRange(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"bytes 5-9/10": "5 10 true", "bytes */10": "-1 10 true", "bytes 5-9/*": "5 -1 true",
		"": "0 0 false", "bytes 5": "0 0 false", "bytes x-9/10": "0 0 false", "bytes 5-9/-10": "0 0 false", "lines 5-9/10": "0 0 false",
	}
	for header, want := range tests {
		first, total, ok := contentRange(header)
		if got := fmt.Sprint(first, total, ok); got != want {
			t.Errorf("%q: got %s, want %s", header, got, want)
		}
	}
}
