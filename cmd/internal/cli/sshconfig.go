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

// hostBlock says in ssh_config's words what ssh.Args says in those of the command line. The value
// of -o is a line of ssh_config already.
func hostBlock(l lifecycle.Login) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s\n  HostName %s\n", l.Machine, l.Target.Host)
	if l.Target.User != "" {
		fmt.Fprintf(&b, "  User %s\n", l.Target.User)
	}
	args := ssh.Args(l.Target)
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "-o":
			fmt.Fprintf(&b, "  %s\n", args[i+1])
		case "-i":
			fmt.Fprintf(&b, "  IdentityFile %s\n", quoteConfig(args[i+1]))
		case "-J":
			fmt.Fprintf(&b, "  ProxyJump %s\n", args[i+1])
		case "-p":
			fmt.Fprintf(&b, "  Port %s\n", args[i+1])
		case "-l":
			fmt.Fprintf(&b, "  User %s\n", args[i+1])
		}
	}
	return b.String()
}

// quoteConfig quotes a path for ssh_config, which expands percent signs.
func quoteConfig(path string) string {
	return `"` + strings.ReplaceAll(path, "%", "%%") + `"`
}
