package plugin_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// rekey puts other secrets in the place of a machine's.
func (k *kept) rekey(given map[string]string) {
	k.q.t.Helper()
	secrets, state, err := k.open().(drivers.Rekeyer).Rekey(k.q.t.Context(), given)
	if err != nil {
		k.q.t.Fatal(err)
	}
	if k.secrets, err = json.Marshal(secrets); err == nil {
		k.config, err = k.q.factory.(drivers.Merger).Merge(k.config, state)
	}
	if err != nil {
		k.q.t.Fatal(err)
	}
}

// TestOtherCredentials demands that the plugin works with the secret that was given last, whoever made the machine and
// whatever its field was called before, and not with one from before.
func TestOtherCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make  func(q *quarry) *kept
		field string // the secret that the plugin's field is
		asks  int    // processes that are asked where it is
	}{
		"given to create": {func(q *quarry) *kept {
			k := q.configure(drivers.Values{"pebble-token": {"tok-1234"}})
			k.create()
			return k
		}, "pebble-token", 0},
		"not given to create": {func(q *quarry) *kept {
			k := q.configure(nil)
			k.create()
			return k
		}, "pebble-token", 1},
		"by docker-machine": {func(q *quarry) *kept {
			return q.inherit(`{"MachineName":"p1","ID":"id-p1","Token":"tok-1234","Password":"pw-1234"}`)
		}, "Token", 2}, // and one for the options
		"by docker-machine, without the field": {func(q *quarry) *kept {
			return q.inherit(`{"MachineName":"p1","ID":"id-p1","Password":"pw-1234"}`)
		}, "pebble-token", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, "")
			k := c.make(q)
			before := len(q.started())
			k.rekey(map[string]string{"pebble-token": "tok-5678"})
			if n := len(q.started()) - before; n != c.asks {
				t.Errorf("%d processes, want %d", n, c.asks)
			}
			var secrets map[string]string
			if err := json.Unmarshal(k.secrets, &secrets); err != nil || secrets[c.field] != "tok-5678" || len(secrets) != 2 || secrets["Password"] == "" {
				t.Errorf("secrets %s, %v", k.secrets, err)
			}
			if strings.Contains(string(k.config), "tok-") {
				t.Errorf("a secret in %s", k.config)
			}
			if err := os.RemoveAll(filepath.Join(q.dir, "p1")); err != nil {
				t.Fatal(err)
			}
			// What is known as a secret is not shown, and what is not is.
			if _, err := k.open().Status(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "not found with REDACTED") {
				t.Errorf("the plugin was told another token: %v", err)
			}
			q.end()
			q.alone()
		})
	}
}

// TestCredentialsOfNoUse demands that nobody is told that a secret is stored which the plugin does not take.
func TestCredentialsOfNoUse(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.inherit(`{"MachineName":"p1","ID":"id-p1","Token":"tok-1234"}`)
	for _, given := range []map[string]string{{"pebble-kind": "x"}, {"pebble-kind": "x", "pebble-token": "tok-5678"}} {
		if _, _, err := k.open().(drivers.Rekeyer).Rekey(t.Context(), given); !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), "--pebble-kind") {
			t.Errorf("%v: %v", given, err)
		}
	}
	q.with("crash:SetConfigFromFlags")
	if _, _, err := k.open().(drivers.Rekeyer).Rekey(t.Context(), map[string]string{"pebble-token": "tok-5678"}); err == nil {
		t.Error("stored by a plugin that crashed")
	}
}
