package docker

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// mounted is something of the engine's computer that the machine sees.
type mounted struct {
	source, target, mode string
}

// String returns m as the engine reads it.
func (m mounted) String() string {
	if m.mode == "" {
		return m.source + ":" + m.target
	}
	return m.source + ":" + m.target + ":" + m.mode
}

var (
	windowsPath = regexp.MustCompile(`^([a-zA-Z]:[\\/]|\\\\)`)
	mountModes  = regexp.MustCompile(`^[a-zA-Z]+(,[a-zA-Z]+)*$`)
)

// parseVolume reads SOURCE:/TARGET[:MODE]. The source is the name of a volume
// or an absolute path, of Windows too.
func parseVolume(s string) (mounted, error) {
	var m mounted
	rest, last, ok := cutLast(s)
	if ok && !strings.HasPrefix(last, "/") {
		if !mountModes.MatchString(last) {
			return mounted{}, fmt.Errorf("%q: target %q is not an absolute path", s, last)
		}
		m.mode = last
		rest, last, ok = cutLast(rest)
	}
	if !ok || !strings.HasPrefix(last, "/") {
		return mounted{}, fmt.Errorf("%q has no source and absolute target", s)
	}
	m.source, m.target = rest, path.Clean(last)
	switch {
	case m.target == "/":
		return mounted{}, fmt.Errorf("%q: the target cannot be the root", s)
	case strings.HasPrefix(m.source, "/") && strings.Contains(m.source, ":"):
		return mounted{}, fmt.Errorf("%q: an engine cannot read a colon in the source", s)
	case strings.HasPrefix(m.source, "/"), windowsPath.MatchString(m.source), objectName.MatchString(m.source):
		return m, nil
	case m.source == "":
		return mounted{}, fmt.Errorf("%q has no source", s)
	}
	return mounted{}, fmt.Errorf("%q: %w", s, errSource)
}

var errSource = errors.New("the source is neither an absolute path nor the name of a volume")

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}
