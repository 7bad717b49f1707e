package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// secretFlags returns, for each option of a driver that is a secret, the
// variable of the environment that holds it too.
func (p provider) secretFlags() map[string]string {
	return map[string]map[string]string{
		"amazonec2":     {"--amazonec2-access-key": "AWS_ACCESS_KEY_ID", "--amazonec2-secret-key": "AWS_SECRET_ACCESS_KEY"},
		"azure":         {"--azure-client-secret": "AZURE_CLIENT_SECRET"},
		"vmwarevsphere": {"--vmwarevsphere-password": "VSPHERE_PASSWORD"},
	}[p.driver]
}

// TestCloudSecrets gives a provider's credentials as options. They are in
// secrets.json then, or nowhere if that is wished, and never in what is printed,
// logged or given to other programs.
func TestCloudSecrets(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		_, f := newCloudFleet(t, p, "docker")
		for _, stored := range []bool{true, false} {
			t.Run(map[bool]string{true: "stored", false: "not stored"}[stored], func(t *testing.T) {
				t.Parallel()
				s := newSearch(t, f, p)
				s.life(p, stored)
			})
		}
	})
}

// search is a fleet whose commands get secrets as options, and which looks for
// them everywhere.
type search struct {
	*fleet
	flags   []string // options with the secrets
	env     []string // variables with the secrets
	secrets []string
	temp    string
}

// newSearch returns a fleet with a store of its own. Its machines are at f's provider.
func newSearch(t *testing.T, f *fleet, p provider) *search {
	t.Helper()
	own := newFleet(t)
	s := &search{fleet: own, temp: t.TempDir()}
	for _, pair := range f.extra {
		name, value, _ := strings.Cut(pair, "=")
		own.extra = append(own.extra, pair) // for clean
		for flag, variable := range p.secretFlags() {
			if variable == name {
				s.flags, s.env, s.secrets = append(s.flags, flag, value), append(s.env, pair), append(s.secrets, value)
			}
		}
	}
	if len(s.secrets) != len(p.secretFlags()) {
		t.Fatalf("The provider's environment has %d secrets", len(s.secrets))
	}
	return s
}

// bare returns the fleet with an environment that has no secrets, for a while.
func (s *search) bare() *fleet {
	f := *s.fleet
	f.extra = []string{"TMPDIR=" + s.temp, "MACHINE_DEBUG=1"}
	for _, pair := range s.extra {
		if !slices.Contains(s.env, pair) {
			f.extra = append(f.extra, pair)
		}
	}
	return &f
}

func (s *search) life(p provider, stored bool) {
	s.t.Helper()
	f, m := s.bare(), s.name("m")
	create := p.create(s.flags...)
	if !stored {
		create = append(create, "--no-store-secrets")
	}
	s.watched(f, 0, append(create, m)...)
	secrets, err := os.Stat(f.path(m, "secrets.json"))
	switch {
	case stored && (err != nil || secrets.Mode().Perm() != 0o600):
		s.t.Errorf("secrets.json: %v, %v", secrets, err)
	case stored:
		s.watched(f, 0, "status", m)
	default:
		if r := s.watched(f, 1, "status", m); !strings.Contains(r.stderr, "Reason: PROVIDER_CREDENTIALS\n") {
			s.t.Errorf("Without credentials: %s", r)
		}
		f.extra = append(f.extra, s.env...)
	}
	for _, args := range [][]string{{"ls"}, {"inspect", m}, {"env", m}, {"provision", m}, {"stop", m}, {"start", m}, {"ssh", m, "sleep 1"}} {
		s.watched(f, 0, args...)
	}
	s.nowhere(stored)
	s.watched(f, 0, "rm", "-y", m)
	s.nowhere(stored)
}

// watched runs the program, looks at the arguments of all programs that it
// starts, and at what it prints.
func (s *search) watched(f *fleet, code int, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	p := f.start(ctx, args...)
	if p.err != nil {
		s.t.Fatal(p.err)
	}
	stop, seen := make(chan struct{}), make(chan []string)
	go func() { seen <- arguments(p.cmd.Process.Pid, stop) }()
	r := p.wait()
	close(stop)
	for _, line := range <-seen {
		s.look("the arguments of "+strings.Fields(line)[0], line)
	}
	if r.code != code {
		s.t.Fatalf("Got exit code %d, want %d\n%s", r.code, code, r)
	}
	s.look("the output of "+args[0], r.stdout+r.stderr)
	return r
}

// look looks for the secrets, and for what a provider gives in their place.
func (s *search) look(where, text string) {
	s.t.Helper()
	for i, secret := range append([]string{"vmware_soap_session=", "vmware-api-session-id: ", "Bearer ey"}, s.secrets...) {
		if strings.Contains(text, secret) {
			s.t.Errorf("%s: secret %d is there", where, i)
		}
	}
}

// nowhere looks at all files of the store, of the home folder and of that for
// temporary files.
func (s *search) nowhere(stored bool) {
	s.t.Helper()
	for _, root := range []string{s.store, s.home, s.temp} {
		err := walkStore(root, func(name, text string) {
			if !stored || filepath.Base(name) != "secrets.json" {
				s.look(name, text)
			}
		})
		if err != nil {
			s.t.Error(err)
		}
	}
}

// arguments returns the command lines of all that a process starts until stop
// is closed.
func arguments(pid int, stop <-chan struct{}) (all []string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	command := func(pid int) string {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
		return strings.ReplaceAll(string(raw), "\x00", " ")
	}
	own := command(pid) // which a child has too until it begins its program
	for {
		for _, child := range children(pid) {
			if line := command(child); strings.TrimSpace(line) != "" && line != own && !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
		select {
		case <-stop:
			return all
		case <-tick.C:
		}
	}
}

// children returns all processes below one.
func children(pid int) (all []int) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, list := range lists {
		raw, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for word := range strings.FieldsSeq(string(raw)) {
			var child int
			if _, err := fmt.Sscan(word, &child); err == nil {
				all = append(append(all, child), children(child)...)
			}
		}
	}
	return all
}
