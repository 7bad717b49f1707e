package lifecycle

import (
	"strings"
	"testing"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

func TestKnownHostMovesWithItsMachine(t *testing.T) {
	t.Parallel()
	pair, err := ssh.NewKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	public := strings.Join(strings.Fields(pair.Authorized)[:2], " ")
	line := func(host string, port int) string {
		l, err := ssh.KnownHostsLine(host, port, public)
		if err != nil {
			t.Fatal(err)
		}
		return l + "\n"
	}
	before := "# by hand\n" + line("192.0.2.1", 22) + line("jump.example.org", 22) + line("192.0.2.1", 2222)
	want := "# by hand\n" + line("192.0.2.7", 4022) + line("jump.example.org", 22) + line("192.0.2.1", 2222)
	got, err := moveLines(strings.TrimSuffix(before, "\n"), store.Address{Host: "192.0.2.1", SSHPort: 22}, store.Address{Host: "192.0.2.7", SSHPort: 4022})
	if err != nil || got != want {
		t.Errorf("got %v\n%swant\n%s", err, got, want)
	}
}

func TestKnownHostMovesToIPv6AndBack(t *testing.T) {
	t.Parallel()
	four, six, other := store.Address{Host: "192.0.2.7", SSHPort: 22}, store.Address{Host: "2001:db8::7", SSHPort: 22}, store.Address{Host: "2001:db8::7", SSHPort: 2222}
	pair, err := ssh.NewKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Join(strings.Fields(pair.Authorized)[:2], " ")
	line := func(name string) string { return name + " " + key + "\n" }
	for _, tt := range []struct {
		from, to store.Address
		was, is  string
	}{
		{four, six, "192.0.2.7", "2001:db8::7"},
		{six, other, "2001:db8::7", "[2001:db8::7]:2222"},
		{other, four, "[2001:db8::7]:2222", "192.0.2.7"},
	} {
		got, err := moveLines(line(tt.was)+line("jump"), tt.from, tt.to)
		if err != nil || got != line(tt.is)+line("jump") {
			t.Errorf("%s to %s: %q, %v", tt.from.Host, tt.to.Host, got, err)
		}
	}
}
