package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/provision/ssh"
)

// sshConfig writes an ssh_config with a Host block for each login, named as the machine is: each has
// its own key and known hosts, which options of scp, rsync and sshfs could not say. clean
// removes the file.
func sshConfig(logins []lifecycle.Login) (path string, clean func(), err error) {
	dir, err := os.MkdirTemp("", "machine-ssh-")
	if err != nil {
		return "", nil, fmt.Errorf("write ssh configuration: %w", err)
	}
	clean = func() { _ = os.RemoveAll(dir) } // a temporary folder
	var b strings.Builder
	for _, l := range logins {
		b.WriteString(hostBlock(l))
	}
	path = filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		clean()
		return "", nil, fmt.Errorf("write ssh configuration: %w", err)
	}
	return path, clean, nil
}

// hostBlock says in ssh_config's words what ssh.Args says in those of the command line: what follows
// -o is a line of ssh_config already.
func hostBlock(l lifecycle.Login) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s\n  HostName %s\n", l.Machine, l.Target.Host)
	if l.Target.User != "" {
		fmt.Fprintf(&b, "  User %s\n", l.Target.User)
	}
	args := ssh.Args(l.Target)
	for i, arg := range args {
		if arg == "-o" && i+1 < len(args) {
			fmt.Fprintf(&b, "  %s\n", args[i+1])
		}
	}
	return b.String()
}
