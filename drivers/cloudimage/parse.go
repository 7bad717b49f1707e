package cloudimage

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Parse returns the image that value stands for: a NAME of the catalogue, a URL, or
// a PATH, which has a slash in it or names a file that is there and no image.
//
// checksum is that of the published file, "sha256:HEX", "sha512:HEX" or HEX; or the
// URL of a file of checksums; or NoChecksum. Without one an image of the catalogue
// is verified as its publisher says, and a user's own is taken as it is, unless it
// came over plain HTTP: that is refused.
func Parse(value, checksum, arch string, formats []string, firmware ...string) (Image, error) {
	img, err := locate(value, arch, formats, firmware)
	if err != nil {
		return Image{}, err
	}
	if err := img.take(checksum); err != nil {
		return Image{}, err
	}
	if img.Sums == "" && img.Checksum == "" && insecure(img.URL) {
		return Image{}, &drivers.HintError{
			Err:    fmt.Errorf("%w: image %s: nobody vouches for what comes over plain HTTP", drivers.ErrOption, img.URL),
			Advice: "give its checksum, or use https, or give " + NoChecksum + " as the checksum if that is meant",
		}
	}
	return img, nil
}

func locate(value, arch string, formats, firmware []string) (Image, error) {
	switch {
	case strings.Contains(value, "://"):
		return parseURL(value, arch)
	case slices.Contains(Names(), value):
		return Find(value, arch, formats, firmware...)
	case strings.ContainsAny(value, `/\`), isFile(value):
		abs, err := filepath.Abs(value)
		if err != nil {
			return Image{}, fmt.Errorf("%w: image %q: %w", drivers.ErrOption, value, err)
		}
		return own(fileURL(abs), arch), nil
	}
	return Find(value, arch, formats, firmware...)
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func parseURL(value, arch string) (Image, error) {
	u, err := url.Parse(value)
	if err != nil {
		return Image{}, fmt.Errorf("%w: image: %w", drivers.ErrOption, err)
	}
	switch {
	case u.User != nil: // it would be in records and logs
		return Image{}, fmt.Errorf("%w: image: the URL has a user or a password in it, which would be written down", drivers.ErrOption)
	case u.Scheme == "file" && u.Host == "" && u.Path != "", (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		u.Fragment = ""
		return own(u, arch), nil
	}
	return Image{}, fmt.Errorf("%w: image %q: want http://, https:// or file:///PATH", drivers.ErrOption, value)
}

// fileURL is the URL of an absolute path.
func fileURL(abs string) *url.URL {
	slashed := filepath.ToSlash(abs)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/x
	}
	return &url.URL{Scheme: "file", Path: slashed}
}

// filePath is the path that a file URL stands for.
func filePath(u *url.URL) string {
	p := u.Path
	if len(p) > 2 && p[2] == ':' { // /C:/x
		p = p[1:]
	}
	return filepath.FromSlash(p)
}

// own is an image that a user named. The names that publishers give their files
// tell those that need something else than most.
func own(u *url.URL, arch string) Image {
	img := Image{Arch: arch, URL: u.String(), Seed: "nocloud"}
	switch name := strings.ToLower(path.Base(u.Path)); {
	case strings.Contains(name, "alpine"):
		img.Busybox = true
	case strings.HasPrefix(name, "flatcar"):
		img.Seed, img.User = "configdrive", "core"
	}
	return img
}

// take makes checksum what the image is verified by.
func (i *Image) take(checksum string) error {
	checksum = strings.TrimSpace(checksum)
	from := strings.TrimPrefix(checksum, "file:") // as Packer says it
	switch {
	case checksum == "":
		return nil
	case strings.EqualFold(checksum, NoChecksum):
		i.Checksum, i.Sums = NoChecksum, ""
		return nil
	case strings.HasPrefix(from, "https://"), strings.HasPrefix(from, "http://"):
		if _, err := url.Parse(from); err != nil {
			return fmt.Errorf("%w: image checksum: %w", drivers.ErrOption, err)
		}
		if insecure(from) {
			return fmt.Errorf("%w: image checksum %s: plain HTTP does not tell who speaks; use https", drivers.ErrOption, from)
		}
		i.Checksum, i.Sums = "", from
		return nil
	}
	sum, err := parseSum(checksum)
	if err != nil {
		return &drivers.HintError{
			Err:    fmt.Errorf("%w: image checksum %q: %w", drivers.ErrOption, checksum, err),
			Advice: "want sha256:HEX or sha512:HEX of the file that is downloaded, the https URL of a file of checksums, or " + NoChecksum,
		}
	}
	i.Checksum, i.Sums = sum, ""
	return nil
}

var hexadecimal = regexp.MustCompile(`^[0-9a-f]+$`)

// parseSum brings a checksum into the form of Image.Checksum.
func parseSum(text string) (string, error) {
	kind, sum, named := strings.Cut(strings.ToLower(text), ":")
	if !named {
		kind, sum = "", kind
	}
	if !hexadecimal.MatchString(sum) {
		return "", fmt.Errorf("not in hexadecimal digits")
	}
	want := map[int]string{64: "sha256", 128: "sha512"}[len(sum)]
	switch {
	case want == "" && named:
		return "", fmt.Errorf("%d digits, which neither SHA-256 (64) nor SHA-512 (128) has", len(sum))
	case want == "":
		return "", fmt.Errorf("neither SHA-256 nor SHA-512")
	case named && kind != want:
		return "", fmt.Errorf("%d digits are those of %s", len(sum), want)
	}
	return want + ":" + sum, nil
}

// insecure tells whether what comes from a URL may be anybody's: over plain HTTP
// from another computer.
func insecure(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return err != nil
	}
	if u.Hostname() == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err != nil || !ip.IsLoopback()
}
