package amazonec2

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// split returns the words of a list whose items may be comma-separated.
func split(list []string) []string {
	var words []string
	for _, item := range list {
		for word := range strings.SplitSeq(item, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}

// pairs reads tags as docker-machine writes them: k1,v1,k2,v2.
func pairs(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	words := strings.Split(s, ",")
	if len(words)%2 != 0 {
		return nil, fmt.Errorf("%q has a key without a value", s)
	}
	all := map[string]string{}
	for i := 0; i < len(words); i += 2 {
		key := strings.TrimSpace(words[i])
		if err := tagAllowed(key, words[i+1]); err != nil {
			return nil, err
		}
		all[key] = strings.TrimSpace(words[i+1])
	}
	return all, nil
}

// pair reads a tag as KEY=VALUE.
func pair(s string) (key, value string, err error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return "", "", fmt.Errorf("%q is not KEY=VALUE", s)
	}
	return key, value, tagAllowed(key, value)
}

func tagAllowed(key, value string) error {
	switch {
	case key == "":
		return errors.New("a tag without a key")
	case strings.HasPrefix(key, "machine-"), strings.HasPrefix(strings.ToLower(key), "aws:"):
		return fmt.Errorf("tag %s: keys that begin with machine- or aws: are taken", key)
	case len([]rune(key)) > 128:
		return fmt.Errorf("tag %.20s...: a key has 128 characters at most", key)
	case len([]rune(value)) > 256:
		return fmt.Errorf("tag %s: a value has 256 characters at most", key)
	}
	return nil
}

// parsePort reads PORT[/PROTOCOL].
func parsePort(s string) (drivers.Port, error) {
	number, protocol, ok := strings.Cut(s, "/")
	if !ok {
		protocol = "tcp"
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 65535 {
		return drivers.Port{}, fmt.Errorf("%q is no port", s)
	}
	if protocol = strings.ToLower(protocol); protocol != "tcp" && protocol != "udp" {
		return drivers.Port{}, fmt.Errorf("%q: the protocol is tcp or udp", s)
	}
	return drivers.Port{Number: n, Protocol: protocol}, nil
}
