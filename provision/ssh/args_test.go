package ssh_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/provision/ssh"
)

func TestArgs(t *testing.T) {
	t.Parallel()
	common := []string{
		"GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes", "UpdateHostKeys=no",
		"PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "ConnectTimeout=15",
	}
	rest := []string{"ServerAliveInterval=15", "ServerAliveCountMax=3", "LogLevel=ERROR"}
	for _, test := range []struct {
		name   string
		target ssh.Target
		want   []string // options in order; common and rest around them
		after  []string
	}{
		{"plain", ssh.Target{Host: "h", KnownHosts: "/m/known_hosts"}, []string{"Port=22", "UserKnownHostsFile=/m/known_hosts"}, nil},
		{"nothing known", ssh.Target{Host: "h"}, []string{"Port=22", "UserKnownHostsFile=none"}, nil},
		{
			"key and port",
			ssh.Target{Host: "h", Port: 2222, Key: "/m/id", KnownHosts: "/m/known_hosts"},
			[]string{"Port=2222", "UserKnownHostsFile=/m/known_hosts"},
			[]string{"IdentityFile=/m/id", "IdentitiesOnly=yes"},
		},
		{
			"unusual paths",
			ssh.Target{Host: "h", Key: `/my "own" keys/100%`, KnownHosts: "/it's/#1"},
			[]string{"Port=22", `UserKnownHostsFile="/it's/#1"`},
			[]string{`IdentityFile="/my \"own\" keys/100%%"`, "IdentitiesOnly=yes"},
		},
		{
			"jump",
			ssh.Target{
				Host: "2001:db8::1", Port: 2222, User: "u", Key: "/m/id%h x", KnownHosts: "/m/kh", Jump: "[::1]:2200",
				Getenv: env("HOME", "/home/me", "USER", "me"),
			},
			[]string{"Port=2222", "UserKnownHostsFile=/m/kh"},
			[]string{
				`IdentityFile="/m/id%%h x"`, "IdentitiesOnly=yes",
				`ProxyCommand=ssh -F none -o Port=2200 -o 'UserKnownHostsFile=/m/kh /home/me/.ssh/known_hosts' ` +
					`-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o UpdateHostKeys=no ` +
					`-o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o ConnectTimeout=15 ` +
					`-o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o LogLevel=ERROR ` +
					`-o 'IdentityFile="/m/id%%%%h x"' -o IdentitiesOnly=yes -l me -W '[2001:db8::1]:2222' -- ::1`,
			},
		},
		{"malformed jump", ssh.Target{Host: "h", Jump: "-oX", KnownHosts: "/k"}, []string{"Port=22", "UserKnownHostsFile=/k"}, []string{"ProxyCommand=exit 255"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.name == "jump" && runtime.GOOS == "windows" {
				t.Skip("the command is quoted for a POSIX shell here")
			}
			got := ssh.Args(test.target)
			want := []string{"-F", "none"}
			for _, part := range [][]string{test.want, common, rest, test.after} {
				for _, o := range part {
					want = append(want, "-o", o)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	long := ssh.Args(ssh.Target{Host: "h", KeepAlive: 500 * time.Millisecond})
	if !strings.Contains(strings.Join(long, " "), "ServerAliveInterval=1 ") {
		t.Errorf("got %q", long)
	}
}
