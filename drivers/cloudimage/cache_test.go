package cloudimage

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/drivers"
)

func TestGet(t *testing.T) {
	t.Parallel()
	data := qcow2(1 << 20)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	c, o := newCache(t, filepath.Join(t.TempDir(), "not there yet"))
	var done, total, shown int64
	c.Progress = func(ctx context.Context, d, _ int64) {
		if ctx.Value(inStep{}) != "download x.img" {
			t.Error("progress of another step")
		}
		shown = d
	}
	f, err := c.Get(t.Context(), img, func(d, all int64) { done, total = d, all })
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	if f.Sum != sha512Of(data) || f.Format != "qcow2" || f.URL != img.URL || f.Arch != "amd64" || filepath.Base(f.Path) != "disk.qcow2" {
		t.Errorf("got %+v", f)
	}
	if done != int64(len(data)) || total != done || shown != done {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if o.String() != "download x.img" {
		t.Errorf("said %s", o)
	}
	again, err := c.Get(t.Context(), img, nil)
	if err != nil || again.Path != f.Path {
		t.Errorf("again: %+v, %v", again, err)
	}
	if diff := cmp.Diff([]string{"/SHA512SUMS", "/x.img", "/SHA512SUMS"}, p.asked()); diff != "" {
		t.Error(diff)
	}
	img.Sums, img.Checksum = "", sha512Of(data)
	if _, err := c.Get(t.Context(), img, nil); err != nil || len(p.asked()) != 0 {
		t.Errorf("a known sum that is here is asked for: %v", err)
	}
	if left, _ := os.ReadDir(c.downloads()); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// What a publisher replaces is noticed, and the old is still there for who uses it.
func TestReplaced(t *testing.T) {
	t.Parallel()
	old, now := qcow2(5000), qcow2(6000)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", old)
	c, _ := newCache(t, t.TempDir())
	f1, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.publish("/x.img", now)
	f2, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f1, old)
	checkFile(t, f2, now)
}

// A publisher may replace the file between our question for the sum and that for the file.
func TestReplacedBetween(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(5000))
	now := qcow2(6000)
	p.hook(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Path == "/SHA512SUMS" {
			p.hook(nil)
			go p.publish("/x.img", now)
			return false
		}
		return false
	})
	c, _ := newCache(t, t.TempDir())
	for range 3 { // whichever of the two it is at first
		f, err := c.Get(t.Context(), img, nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.Size == int64(len(now)) {
			checkFile(t, f, now)
			return
		}
	}
	t.Error("the new file does not come")
}

func TestOffline(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	c, o := newCache(t, t.TempDir())
	if _, err := c.Get(t.Context(), img, nil); err != nil {
		t.Fatal(err)
	}
	p.Close()
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	if !strings.Contains(o.String(), "x.img is taken as it was on "+time.Now().Format(time.DateOnly)+": ") || !strings.Contains(o.String(), "connect") {
		t.Errorf("said %s", o)
	}
	img.URL = p.URL + "/y.img"
	_, err = c.Get(t.Context(), img, nil)
	if !errors.Is(err, ErrFetch) || !strings.Contains(errText(err), "/SHA512SUMS") {
		t.Errorf("what was never here: %v", err)
	}
	checkHint(t, err, "HTTPS_PROXY")
}

// An image that nobody vouches for is asked for again, and taken as it was if it is the same or away.
func TestWithoutChecksum(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	p := newPublisher(t, map[string][]byte{"/x.img": data})
	c, o := newCache(t, t.TempDir())
	img := Image{URL: p.URL + "/x.img"}
	get := func(want []byte) {
		t.Helper()
		f, err := c.Get(t.Context(), img, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkFile(t, f, want)
		if f.Sum != sha256Of(want) {
			t.Errorf("sum %s", f.Sum)
		}
	}
	get(data)
	if want := "x.img has no published checksum; what came is " + sha256Of(data); !strings.Contains(o.String(), want) {
		t.Errorf("said %s, want %s", o, want)
	}
	var answered int
	p.hook(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if r.Header.Get("If-None-Match") == "" {
			t.Error("all of it is asked for")
		}
		answered++
		return false
	})
	get(data)
	p.set("/x.img", qcow2(7000))
	get(qcow2(7000))
	if answered != 2 {
		t.Errorf("%d questions", answered)
	}
	p.Close()
	get(qcow2(7000))
	if !strings.Contains(o.String(), "taken as it was on") {
		t.Errorf("said %s", o)
	}

	silent, o := newCache(t, t.TempDir())
	img = Image{URL: newPublisher(t, map[string][]byte{"/x.img": data}).URL + "/x.img", Checksum: NoChecksum}
	if _, err := silent.Get(t.Context(), img, nil); err != nil || strings.Contains(o.String(), "checksum") {
		t.Errorf("%v, said %s", err, o)
	}
}

func TestLocalFile(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	path := filepath.Join(t.TempDir(), "a b%20ü.qcow2")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(data)
	img, err := Parse(path, "", "amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, o := newCache(t, t.TempDir())
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	if _, err := c.Get(t.Context(), img, nil); err != nil || o.String() != "copy a b%20ü.qcow2" {
		t.Errorf("%v, said %s", err, o)
	}
	write(qcow2(6000))
	if f, err = c.Get(t.Context(), img, nil); err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, qcow2(6000))
	img.Checksum = sha256Of(data)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f, err = c.Get(t.Context(), img, nil); err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)

	img.Checksum = sha256Of(nil)
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write(data)
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong sum: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the user's file is gone: %v", err)
	}
	img.URL = fileURL(t.TempDir()).String()
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestChecksumDoesNotMatch(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	p.set("/x.img", qcow2(5001))
	c, _ := newCache(t, t.TempDir())
	_, err := c.Get(t.Context(), img, nil)
	if !errors.Is(err, ErrChecksum) {
		t.Fatal(err)
	}
	for _, want := range []string{img.URL, sha512Of(data), sha512Of(qcow2(5001))} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	checkHint(t, err, "may need a moment")
	img.Sums, img.Checksum = "", sha256Of(data)
	_, err = c.Get(t.Context(), img, nil)
	checkHint(t, err, "the checksum that you gave")
	if left, _ := os.ReadDir(c.downloads()); len(left) != 0 {
		t.Errorf("what does not match stays: %v", left)
	}
	p.set("/x.img", data)
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
}

func TestDamagedCache(t *testing.T) {
	t.Parallel()
	data := qcow2(5000)
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", data)
	c, _ := newCache(t, t.TempDir())
	f, err := c.Get(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.ReadFile(filepath.Join(filepath.Dir(f.Path), infoFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"disk cut":    func() error { return errors.Join(os.Chmod(f.Path, 0o600), os.Truncate(f.Path, 100)) },
		"disk gone":   func() error { return os.Remove(f.Path) },
		"info empty":  func() error { return os.WriteFile(filepath.Join(filepath.Dir(f.Path), infoFile), nil, 0o600) },
		"folder gone": func() error { return os.RemoveAll(filepath.Dir(f.Path)) },
		"half made": func() error {
			dir := filepath.Dir(f.Path)
			return errors.Join(os.Rename(dir, dir+unready), os.Remove(filepath.Join(dir+unready, infoFile)))
		},
		"all but renamed": func() error { return os.Rename(filepath.Dir(f.Path), filepath.Dir(f.Path)+unready) },
		"another sum": func() error {
			other := strings.ReplaceAll(string(info), "sha512:", "sha512:0")
			return os.WriteFile(filepath.Join(filepath.Dir(f.Path), infoFile), []byte(other), 0o600)
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(name, err)
		}
		p.asked()
		f, err := c.Get(t.Context(), img, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		checkFile(t, f, data)
		if fetched := slices.Contains(p.asked(), "/x.img"); fetched == (name == "all but renamed") {
			t.Errorf("%s: fetched again: %v", name, fetched)
		}
		if _, err := os.Stat(filepath.Dir(f.Path) + unready); err == nil {
			t.Errorf("%s: left over", name)
		}
	}
}

func TestListAndRemove(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{"/b.img": qcow2(5000), "/a.img": qcow2(6000)})
	c, _ := newCache(t, t.TempDir())
	if all, err := c.List(); err != nil || len(all) != 0 {
		t.Fatalf("%v, %v", all, err)
	}
	b, err := c.Get(t.Context(), Image{URL: p.URL + "/b.img?key=secret", Arch: "arm64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Get(t.Context(), Image{Name: "a", URL: p.URL + "/a.img", Checksum: sha512Of(qcow2(6000))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Derive(t.Context(), a, "raw", func(_ context.Context, from, to string) error {
		if from != a.Path || filepath.Base(to) != "disk.raw" {
			t.Errorf("from %s to %s", from, to)
		}
		return os.WriteFile(to, []byte("raw"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, d, []byte("raw"))
	if d.Format != "raw" || d.Sum != a.Sum || d.Name != "a" {
		t.Errorf("derived %+v", d)
	}
	if err := os.MkdirAll(filepath.Join(c.files(), "strange"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := c.List()
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	for i, want := range []File{a, d, b} {
		got := all[i]
		if got.Path != want.Path || got.Size != want.Size || got.Sum != want.Sum || got.Format != want.Format || got.Name != want.Name || got.Arch != want.Arch || time.Since(got.Used) > time.Hour {
			t.Errorf("%d: got %+v, want %+v", i, got, want)
		}
		if strings.Contains(got.URL, "secret") {
			t.Error("a secret is written down")
		}
	}
	if err := c.Remove(t.Context(), all[1]); err != nil { // any of an image's files stands for it
		t.Fatal(err)
	}
	if all, err := c.List(); err != nil || len(all) != 1 || all[0].Path != b.Path {
		t.Errorf("%+v, %v", all, err)
	}
	if err := c.Remove(t.Context(), a); err != nil {
		t.Errorf("what is not there any more: %v", err)
	}
}

func TestDerive(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{"/a.img": qcow2(6000)})
	c, o := newCache(t, t.TempDir())
	f, err := c.Get(t.Context(), Image{Name: "a", URL: p.URL + "/a.img"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := c.Derive(t.Context(), f, "qcow2", nil); err != nil || same.Path != f.Path {
		t.Errorf("its own format: %v", err)
	}
	no := errors.New("no")
	_, err = c.Derive(t.Context(), f, "vmdk", func(_ context.Context, _, to string) error {
		return errors.Join(os.WriteFile(to, []byte("half"), 0o600), no)
	})
	if !errors.Is(err, no) || !strings.Contains(err.Error(), "convert a to vmdk") {
		t.Errorf("got %v", err)
	}
	if _, err = c.Derive(t.Context(), f, "vmdk", func(context.Context, string, string) error { return nil }); err == nil {
		t.Error("nothing was made")
	}
	if files, _ := os.ReadDir(filepath.Dir(f.Path)); len(files) != 2 {
		t.Errorf("left over: %v", files)
	}
	// What a killed one left is in nobody's way, and two make it once.
	if err := os.MkdirAll(filepath.Join(filepath.Dir(f.Path), "disk.vmdk"+unready, "disk.vmdk"), 0o700); err != nil {
		t.Fatal(err)
	}
	made := make(chan bool, 8)
	errs := make(chan error)
	for range cap(made) {
		go func() {
			d, err := c.Derive(t.Context(), f, "vmdk", func(_ context.Context, _, to string) error {
				made <- true
				return os.WriteFile(to, []byte("vmdk"), 0o600)
			})
			if err == nil && (d.Size != 4 || d.Format != "vmdk") {
				err = errors.New("got something else")
			}
			errs <- err
		}()
	}
	for range cap(made) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(made) != 1 {
		t.Errorf("made %d times", len(made))
	}
	if !strings.Contains(o.String(), "convert a to vmdk") {
		t.Errorf("said %s", o)
	}
}

func TestFor(t *testing.T) {
	t.Parallel()
	c := For(drivers.Env{Cache: "x"})
	if c.Dir != filepath.Join("x", "images") || c.client().Transport.(*http.Transport).Proxy == nil || c.log() == nil {
		t.Errorf("%+v", c)
	}
	c.note(t.Context(), "nobody listens")
	err := c.step(t.Context(), "x", func(context.Context) error { return os.ErrExist })
	if !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
}

func TestRemovePartial(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, map[string][]byte{})
	img := p.publish("/x.img", qcow2(1<<20))
	c, _ := begun(t, p, img)
	lock, err := c.lock(t.Context(), sha512Of(qcow2(1<<20)), "work")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 0, 0} {
		if err := c.RemovePartial(); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(c.downloads()); len(left) != want {
			t.Errorf("left %v, want %d files", left, want)
		}
		lock.Release()
	}
	empty, _ := newCache(t, t.TempDir())
	if err := empty.RemovePartial(); err != nil {
		t.Error(err)
	}
}
