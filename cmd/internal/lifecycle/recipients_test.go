package lifecycle

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
)

// TestBadRecipient gives something else than a public key: nothing is asked of the store, and a secret is not repeated.
func TestBadRecipient(t *testing.T) {
	t.Parallel()
	s, err := OpenShared(t.Context(), "etcd://127.0.0.1:1/team", t.TempDir(), SharedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const good = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
	for what, key := range map[string]string{
		"a secret key": "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQS5M5E4",
		"a name":       "ann", "half a key": good[:40], "an SSH key cut off": "ssh-ed25519 AAAAC3NzaC1lZDI1", "nothing": "",
	} {
		_, err := s.AddRecipients(t.Context(), "test", "me", []string{good + " bob", key})
		reason := ReasonOf(err)
		if !errors.Is(err, store.ErrRecipient) || !strings.HasPrefix(err.Error(), "add recipient 2: ") || reason.ID != "STORE_RECIPIENT" || reason.Exit != ExitUsage {
			t.Errorf("%s: %v (%s)", what, err, reason.ID)
		}
		if key != "" && strings.Contains(err.Error()+HintOf(err), key) {
			t.Errorf("%s is repeated: %v", what, err)
		}
	}
}
