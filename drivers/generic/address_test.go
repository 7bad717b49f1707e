package generic_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/generic"
)

func configure(option, value string) error {
	values := drivers.Values{"generic-ip-address": {"192.0.2.1"}}
	values[option] = []string{value}
	_, _, err := generic.New().Configure(values)
	return err
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for option, good := range map[string][]string{
		"generic-ip-address":   {"192.0.2.1", "2001:db8::1", "::1", "fe80::1%eth0", "host", "host-1.example.com", "host.example.com.", "my_host", "127.0.0.1", "3com.com", "1.2.3.x"},
		"generic-peer-address": {"10.0.0.1", "fd00::1", "inner.example.com"},
		"generic-ssh-user":     {"root", "ec2-user", `DOMAIN\me`, "me@example.com", "müller"},
		"generic-jump-host":    {"gate", "gate:2222", "me@gate", "me@gate:22", "me@corp@gate:22", "192.0.2.1:1", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:22", "me@[::1]:65535"},
	} {
		for _, value := range good {
			if err := configure(option, value); err != nil {
				t.Errorf("%s=%s: %v", option, value, err)
			}
		}
	}
}

func TestBadAddresses(t *testing.T) {
	t.Parallel()
	for option, bad := range map[string]map[string]string{
		"generic-ip-address": {
			"":                 "must be given",
			"192.0.2.1:22":     `"192.0.2.1:22" holds a port: give it by an option of its own`,
			"[::1]":            `"[::1]" has brackets: give the address alone`,
			"tcp://h":          `"tcp://h" is a URL: give the host alone`,
			"root@h":           `"root@h" holds a user: give it by --generic-ssh-user`,
			"::1%":             `"::1%" is neither an address nor a host name`,
			"::1%e 0":          `"::1%e 0" names no network interface`,
			"0.0.0.0":          "0.0.0.0 is not the address of a host",
			"999.1.1.1":        `"999.1.1.1" is neither an address nor a host name`,
			"192.0.2":          `"192.0.2" is neither an address nor a host name`,
			"a b":              `"a b" is neither an address nor a host name`,
			"-oProxyCommand=x": `"-oProxyCommand=x" is neither an address nor a host name`,
			"a..b":             `"a..b" is neither an address nor a host name`,
			"$(id)":            `"$(id)" is neither an address nor a host name`,
		},
		"generic-ssh-user": {
			"":      "is empty",
			"-l":    `"-l" begins with a dash`,
			"$(id)": `"$(id)" has characters that are not for login names`,
			"a b":   `"a b" has characters that are not for login names`,
			"a\x00": `"a\x00" has characters that are not for login names`,
		},
		"generic-jump-host": {
			"@gate":      "user is empty",
			"-J@gate":    `user "-J" begins with a dash`,
			"gate:0":     `"0" is not a port`,
			"gate:":      `"" is not a port`,
			"gate:65536": `"65536" is not a port`,
			"gate:+22":   `"+22" is not a port`,
			"[::1":       `"[::1" has no closing bracket`,
			"[::1]x":     `"[::1]x" goes on after the bracket`,
			"me@":        `"" is neither an address nor a host name`,
			"a,b":        `"a,b" is neither an address nor a host name`,
		},
		"generic-peer-address": {
			"10.0.0.1/24": `"10.0.0.1/24" is neither an address nor a host name`,
			"224.0.0.1":   "224.0.0.1 is not the address of a host",
		},
	} {
		for value, why := range bad {
			err := configure(option, value)
			if want := "invalid option --" + option + ": " + why; !errors.Is(err, drivers.ErrOption) || err.Error() != want {
				t.Errorf("%q:\ngot  %v\nwant %s", value, err, want)
			}
		}
	}
}

// FuzzAddresses demands of all that is accepted that no part of it can be taken
// for an option or for two words by a program that it is given to.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "::1", "me@gate:22", "[::1]:22", "-x", "a b", "fe80::1%eth0", "x@-y", "::% "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, option := range []string{"generic-ip-address", "generic-jump-host", "generic-peer-address", "generic-ssh-user"} {
			err := configure(option, s)
			if err != nil {
				if !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), "--"+option) {
					t.Errorf("%s=%q: got %v, want ErrOption about it", option, s, err)
				}
				continue
			}
			if strings.HasPrefix(s, "-") || option == "generic-jump-host" && strings.HasPrefix(s[strings.LastIndex(s, "@")+1:], "-") || strings.ContainsAny(s, " \t\n\r\x00$`'\"|&;<>(){}*?!#~,") {
				t.Errorf("%s: accepted %q", option, s)
			}
		}
	})
}
