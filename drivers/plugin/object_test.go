package plugin

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzObject demands that what a plugin tells comes back to it as it was, and that no secret stays in the record.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"AccessToken":"abcd","URL":"abcd","Deep":{"Password":"p","Note":"abcdef"},"Size":12345678901234567890,"L":["abcd"],"Nil":null}`), "abcd")
	f.Add([]byte(`{"Tokens":["p","q"],"L":[{"Password":"p"},["abcd","x"],3]}`), "abcd")
	f.Add([]byte(`{"a.b":"x","a":{"b":"y"},"Secret":"","KeyPath":"/k"}`), "xyzz")
	f.Fuzz(func(t *testing.T, raw []byte, secret string) {
		o, err := readObject(raw)
		if err != nil || o == nil {
			return
		}
		hidden, fields, secrets := o.hide(nil, map[string]string{"x-token": secret}, true)
		again, err := readObject(hidden.write())
		if err != nil {
			t.Fatal(err)
		}
		if back := again.reveal(fields, secrets); !bytes.Equal(back.write(), o.write()) && !ambiguous(o) {
			t.Errorf("%s came back as %s", o.write(), back.write())
		}
		hidden.texts(func(at, text string) string {
			if text != "" && (looksSecret(fieldOf(at)) || text == secret && len(secret) > 3) {
				t.Errorf("%s is %q in the record", at, text)
			}
			return text
		})
	})
}

// ambiguous tells whether two fields of o have one path, which no plugin's have: a field of Go has no dot in its name.
func ambiguous(o object) bool {
	seen, twice := map[string]bool{}, false
	o.texts(func(at, text string) string {
		twice = twice || seen[at]
		seen[at] = true
		return text
	})
	return twice
}

// TestSecretsInLists demands that those are no more in the record than others.
func TestSecretsInLists(t *testing.T) {
	t.Parallel()
	o, err := readObject([]byte(`{"Keys":["tok-1234","other"],"Tokens":["p"],"Nodes":[{"Password":"q","Name":"n"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	hidden, fields, secrets := o.hide(nil, map[string]string{"x-token": "tok-1234"}, true)
	if got, want := string(hidden.write()), `{"Keys":["","other"],"Nodes":[{"Name":"n","Password":""}],"Tokens":[""]}`; got != want {
		t.Errorf("recorded %s\nwant     %s", got, want)
	}
	if got, want := string(hidden.reveal(fields, secrets).write()), string(o.write()); got != want {
		t.Errorf("came back as %s\nwant         %s", got, want)
	}
}

// TestLooksSecret has names of options and fields of drivers that exist.
func TestLooksSecret(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"hetzner-api-token": true, "digitalocean-access-token": true, "AccessToken": true, "openstack-password": true, "SSHPassword": true,
		"exoscale-api-secret-key": true, "exoscale-api-key": true, "APIKey": true, "linode-root-pass": true, "ClientSecret": true, "softlayer-api-key": true,
		"SSHKeyPath": false, "google-service-account": false, "hetzner-existing-key-path": false, "KeyName": false, "token-url": false,
		"SSHKeyID": false, "cloudca-private-key-path": false, "key": false, "bypass": false, "compass": false,
	} {
		if got := looksSecret(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestLines demands that lines of any length arrive, in parts.
func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	w := &lineWriter{fn: func(line string) { got = append(got, line) }}
	long := strings.Repeat("x", 2*lineLimit+10)
	for _, part := range []string{"a\r\nb", "c\n\n", long + "\n", "end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.end()
	want := []string{"a", "bc", "", long[:lineLimit], long[:lineLimit], long[:10], "end"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %d lines", len(got))
	}
}
