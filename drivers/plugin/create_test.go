package plugin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
)

// TestCreateIsKeptByTheDying demands that a create that a crash of the plugin ended can be gone on with.
func TestCreateIsKeptByTheDying(t *testing.T) {
	t.Parallel()
	for fault, notes := range map[string]string{
		"crash:Create":  "look for a second \"p1\" at the provider", // nothing was made
		"crash:Created": "",                                         // the host is there, and the plugin finds it
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, fault)
			k := q.configure(nil)
			if err := k.open().Create(t.Context(), drivers.CreateRequest{}); !errors.Is(err, plugin.ErrCrashed) {
				t.Fatalf("got %v", err)
			}
			q.with("")
			if err := k.open().Create(t.Context(), drivers.CreateRequest{}); err != nil {
				t.Fatal(err)
			}
			if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
				t.Errorf("%+v: %v", s, err)
			}
			if told := strings.Join(q.told(), "\n"); notes == "" && strings.Contains(told, "look for") || !strings.Contains(told, notes) {
				t.Errorf("notes %.2000q", q.told())
			}
			if strings.Contains(string(k.config), "machine:create") {
				t.Errorf("create has not ended: %s", k.config)
			}
		})
	}
}

// TestResumeOfHostsInNoGoodState demands that a host which a create had made is left to the user if its plugin says
// neither that it runs nor that it is gone, and that what an interrupted create left so is made anew.
func TestResumeOfHostsInNoGoodState(t *testing.T) {
	t.Parallel()
	for state, text := range map[string]string{"0": "p1 is in no state that it knows", "7": "p1 is in state Error"} {
		for _, ended := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ended=%v", text, ended), func(t *testing.T) {
				t.Parallel()
				q := newQuarry(t, "")
				k := q.configure(nil)
				k.create()
				host := filepath.Join(q.dir, "p1")
				if err := os.WriteFile(host, []byte(state), 0o600); err != nil {
					t.Fatal(err)
				}
				if !ended {
					k.config = json.RawMessage(strings.Replace(string(k.config), "{", `{"machine:create":"partial",`, 1))
				}
				err := k.open().Create(t.Context(), drivers.CreateRequest{})
				now, rerr := os.ReadFile(host)
				if rerr != nil {
					t.Fatal(rerr)
				}
				if !ended {
					if err != nil || string(now) != "1" || !strings.Contains(strings.Join(q.told(), "\n"), "it is made anew") {
						t.Errorf("%v, the host is %s, notes %q", err, now, q.told())
					}
					return
				}
				var h interface{ Hint() string }
				if !errors.Is(err, plugin.ErrHostState) || !strings.Contains(err.Error(), text) || !errors.As(err, &h) || !strings.Contains(h.Hint(), "machine rm p1") {
					t.Errorf("got %v", err)
				}
				if string(now) != state {
					t.Errorf("the host is %s", now)
				}
				if err := k.open().Remove(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(host); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("not removed: %v", err)
				}
			})
		}
	}
}
