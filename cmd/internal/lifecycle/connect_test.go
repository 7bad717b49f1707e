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
