package cloudimage

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// SHA256 (name) = hex
	bsdLine = regexp.MustCompile(`^SHA-?(?:256|512) ?\((.+)\) ?= ?([0-9A-Fa-f]+)$`)
	// hex  name, hex *name, hex
	plainLine = regexp.MustCompile(`^([0-9A-Fa-f]+)(?:[ \t]+\*?(.+))?$`)
)

// sumOf finds the sum of a file in a published file of checksums: lines of
// sha256sum or sha512sum, of BSD's tools, DIGESTS with several algorithms, a single
// sum without a name, and any of these signed. The strongest sum counts. The
// signature is not checked: that the file came from its publisher over TLS is what
// vouches for it.
func sumOf(file string, published []byte) (string, error) {
	found := map[string]string{} // algorithm to sum
	alone := map[string]string{} // those without a name
	var named int
	for line := range unsigned(string(published)) {
		name, sum, ok := parseLine(line)
		if !ok {
			continue
		}
		into := found
		switch name {
		case file:
		case "":
			into = alone
		default:
			named++
			continue
		}
		kind, _, _ := strings.Cut(sum, ":")
		if old, ok := into[kind]; ok && old != sum {
			return "", fmt.Errorf("it has two different %s sums of %s", kind, file)
		}
		into[kind] = sum
	}
	if len(found) == 0 && named == 0 {
		found = alone
	}
	for _, kind := range []string{"sha512", "sha256"} {
		if sum, ok := found[kind]; ok {
			return sum, nil
		}
	}
	return "", fmt.Errorf("it has no SHA-256 or SHA-512 sum of %s", file)
}

func parseLine(line string) (name, sum string, ok bool) {
	line = strings.TrimSpace(line)
	if m := bsdLine.FindStringSubmatch(line); m != nil {
		name, sum = m[1], m[2]
	} else if m := plainLine.FindStringSubmatch(line); m != nil {
		name, sum = m[2], m[1]
	}
	sum, err := parseSum(sum)
	return strings.TrimPrefix(name, "./"), sum, err == nil
}

// unsigned yields the lines of a text without the PGP signature around it.
func unsigned(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		signed, headers := false, false
		for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
			line = strings.TrimRight(line, "\r\n")
			switch {
			case line == "-----BEGIN PGP SIGNED MESSAGE-----":
				signed, headers = true, true
				continue
			case headers: // up to an empty line
				headers = line != ""
				continue
			case line == "-----BEGIN PGP SIGNATURE-----":
				return
			case signed:
				line = strings.TrimPrefix(line, "- ")
			}
			if !yield(line) {
				return
			}
		}
	}
}
