package cloudimage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultStall = time.Minute
	defaultPause = time.Second
	tries        = 4       // in a row that bring nothing
	maxSums      = 4 << 20 // bytes of a file of checksums
)

// download brings the file at an http or https URL here.
func (g *getting) download(ctx context.Context, want string) (src source, path string, err error) {
	p, err := g.c.open(g.img.URL, want, true)
	if err != nil {
		return source{}, "", err
	}
	defer p.close()
	p.prune()
	resumed := p.n > 0
	for {
		if src, err = g.complete(ctx, p, want); err != nil {
			return src, "", err
		}
		src.Sum, err = g.verify(p, want)
		if !resumed || !errors.Is(err, ErrChecksum) {
			return src, p.path, err
		}
		resumed = false
		g.c.note(ctx, fmt.Sprintf("what was there of %s does not fit the rest; it is fetched again from the start", g.img))
		if p, err = g.c.open(g.img.URL, want, false); err != nil {
			return source{}, "", err
		}
		defer p.close()
	}
}

// complete asks for what is missing of the file until it is all here.
func (g *getting) complete(ctx context.Context, p *part, want string) (source, error) {
	if want != "" && p.n > 0 && p.n == p.said.Total {
		return source{}, nil
	}
	d := &download{getting: g, part: p, want: want}
	name := "download " + g.img.String()
	if last, ok := g.c.seen(g.img.URL); ok && want == "" {
		if _, ok := g.cached(last.Sum); ok {
			d.last = last
			name = "look whether " + g.img.String() + " has changed"
		}
	}
	if err := g.c.step(ctx, name, d.run); err != nil {
		return source{}, err
	}
	if d.same {
		return d.last, errUnchanged
	}
	return source{ETag: p.said.ETag, Modified: p.said.Modified}, nil
}

type download struct {
	*getting
	part *part
	want string
	last source // what is in the cache of the URL; zero: nothing
	same bool   // it is what is there
}

func (d *download) run(ctx context.Context) error {
	pause := d.c.pause
	if pause == 0 {
		pause = defaultPause
	}
	for failed := 0; ; {
		before := d.part.n
		err := d.attempt(ctx)
		if err == nil || context.Cause(ctx) != nil || !passing(err) {
			return err
		}
		if failed++; d.part.n > before {
			failed = 1
		}
		if failed >= tries || d.part.n == 0 && unreachable(err) {
			return err
		}
		d.c.note(ctx, fmt.Sprintf("the download of %s broke off (%v) and goes on", d.img, err))
		timer := time.NewTimer(time.Duration(failed) * pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// attempt is one request and what it brings.
func (d *download) attempt(ctx context.Context) error {
	ctx, alive, done := d.c.watch(ctx)
	defer done()
	req, err := d.request(ctx)
	if err != nil {
		return err
	}
	resp, err := d.c.client().Do(req)
	if err != nil {
		return fetchError(ctx, d.img.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if complete, err := d.accept(resp); complete || err != nil {
		return err
	}
	err = d.part.receive(ctx, resp.Body, func() { alive(); d.tell(ctx, d.part.n, d.part.said.Total) })
	if total := d.part.said.Total; err == nil && total >= 0 && d.part.n != total {
		err = fmt.Errorf("%d of %d bytes came", d.part.n, total)
	}
	if err != nil {
		return fetchError(ctx, d.img.URL, &brokenError{err})
	}
	return nil
}

// request asks for all, or for the rest of the same file.
func (d *download) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.img.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	said := d.part.said
	validator := said.ETag
	if validator == "" || strings.HasPrefix(validator, "W/") {
		validator = said.Modified
	}
	switch {
	case d.part.n > 0 && validator != "":
		req.Header.Set("If-Range", validator)
		fallthrough
	case d.part.n > 0 && d.want != "": // the sum will tell
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.part.n))
	case d.part.n > 0:
		if err := d.part.restart(); err != nil { // who knows what it is now
			return nil, err
		}
	}
	if d.part.n == 0 && d.last.ETag != "" {
		req.Header.Set("If-None-Match", d.last.ETag)
	} else if d.part.n == 0 && d.last.Modified != "" {
		req.Header.Set("If-Modified-Since", d.last.Modified)
	}
	return req, nil
}

// accept makes the part ready for what the response brings, or finds that nothing is missing.
func (d *download) accept(resp *http.Response) (complete bool, err error) {
	if d.img.Checksum == "" && d.img.Sums == "" && insecure(resp.Request.URL.String()) && !insecure(d.img.URL) {
		return false, fmt.Errorf("%w: %s leads to plain HTTP at %s, and there is no checksum", ErrFetch, shown(d.img.URL), resp.Request.URL.Host)
	}
	said := partSaid{URL: shown(d.img.URL), ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified"), Total: resp.ContentLength}
	switch {
	case resp.StatusCode == http.StatusOK:
		if err := d.part.restart(); err != nil {
			return false, err
		}
		return false, d.part.note(said)
	case resp.StatusCode == http.StatusNotModified && d.last.Sum != "":
		d.same = true
		return true, nil
	case resp.StatusCode == http.StatusPartialContent:
		first, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || first != d.part.n {
			return false, d.startOver("the server sends another part than was asked for")
		}
		said.Total, said.ETag, said.Modified = total, cmp.Or(said.ETag, d.part.said.ETag), cmp.Or(said.Modified, d.part.said.Modified)
		return false, d.part.note(said)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.part.n > 0:
		if _, total, ok := contentRange(resp.Header.Get("Content-Range")); ok && total == d.part.n {
			return true, nil
		}
		return false, d.startOver("the server has less of it than is here")
	}
	return false, &statusError{address: shown(d.img.URL), status: resp.Status, code: resp.StatusCode}
}

func (d *download) startOver(why string) error {
	if err := d.part.restart(); err != nil {
		return err
	}
	return &brokenError{fmt.Errorf("%w: %s: %s", ErrFetch, shown(d.img.URL), why)}
}

// contentRange reads "bytes 5-9/10" and "bytes */10"; total is -1 if it is "*".
func contentRange(header string) (first, total int64, ok bool) {
	rest, ok := strings.CutPrefix(header, "bytes ")
	span, all, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		return 0, 0, false
	}
	total, first = -1, -1
	if all != "*" {
		n, err := strconv.ParseUint(all, 10, 63)
		if err != nil {
			return 0, 0, false
		}
		total = int64(n)
	}
	if span != "*" {
		from, _, _ := strings.Cut(span, "-")
		n, err := strconv.ParseUint(from, 10, 63)
		if err != nil {
			return 0, 0, false
		}
		first = int64(n)
	}
	return first, total, true
}

// read returns a small file that is published at the URL.
func (c *Cache) read(ctx context.Context, address string) ([]byte, error) {
	ctx, alive, done := c.watch(ctx)
	defer done()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return nil, fetchError(ctx, address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{address: shown(address), status: resp.Status, code: resp.StatusCode}
	}
	if insecure(resp.Request.URL.String()) {
		return nil, fmt.Errorf("%w: %s leads to plain HTTP at %s, which does not tell who speaks", ErrFetch, shown(address), resp.Request.URL.Host)
	}
	alive()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxSums+1))
	if err != nil {
		return nil, fetchError(ctx, address, err)
	}
	if len(data) > maxSums {
		return nil, fmt.Errorf("%w: %s has more than %d bytes, which no file of checksums has", ErrFetch, shown(address), maxSums)
	}
	return data, nil
}

// watch ends ctx if alive is not called for a while.
func (c *Cache) watch(ctx context.Context) (watched context.Context, alive, done func()) {
	stall := c.stall
	if stall == 0 {
		stall = defaultStall
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stall, func() { cancel(&brokenError{fmt.Errorf("nothing came for %v", stall)}) })
	return ctx, func() { timer.Reset(stall) }, func() { timer.Stop(); cancel(nil) }
}

func (c *Cache) client() *http.Client {
	if c.Client != nil {
		return c.Client
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // the checksum is that of the file as it is
	t.DisableKeepAlives = true  // there are few requests, far apart
	return &http.Client{Transport: t}
}

// fetchError is err of a request to the URL, without the URL that net/http puts
// into it, and with the cause that ended ctx.
func fetchError(ctx context.Context, address string, err error) error {
	var local *localError
	if errors.As(err, &local) {
		return err
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: %s: %w", ErrFetch, shown(address), err)
}
