package ssh

import (
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// Args returns the arguments that make OpenSSH's ssh (scp, rsync -e, sshfs) behave as
// Dial does: identity, known hosts, strict checking, jump host; the configuration files of the user and
// the system are not read. All are of the form -F none or -o K=V, which those tools
// share; so the port is -o Port=N. The user and the host are the caller's: user@host.
//
// The tools may ask for the passphrase of a key: it is the only question left, so BatchMode
// is the caller's choice.
func Args(t Target) []string {
	args := []string{"-F", "none"}
	for _, o := range options(t, t.port(), t.KnownHosts) {
		args = append(args, "-o", o)
	}
	if proxy := proxyCommand(t); proxy != "" {
		args = append(args, "-o", "ProxyCommand="+proxy)
	}
	return args
}

func options(t Target, port int, knownHosts ...string) []string {
	var files []string
	for _, f := range knownHosts {
		if f != "" {
			files = append(files, optionPath(f))
		}
	}
	if len(files) == 0 {
		files = []string{"none"}
	}
	every := max(int(t.keepAlive()/time.Second), 1)
	o := []string{
		"Port=" + strconv.Itoa(port),
		"UserKnownHostsFile=" + strings.Join(files, " "),
		"GlobalKnownHostsFile=/dev/null",
		"StrictHostKeyChecking=yes",
		"UpdateHostKeys=no",
		"PasswordAuthentication=no",
		"KbdInteractiveAuthentication=no",
		"ConnectTimeout=" + strconv.Itoa(int(defaultLimits().connect/time.Second)),
		"ServerAliveInterval=" + strconv.Itoa(every),
		"ServerAliveCountMax=" + strconv.Itoa(keepAliveMisses),
		"LogLevel=ERROR",
	}
	if t.Key != "" {
		o = append(o, "IdentityFile="+optionPath(t.Key), "IdentitiesOnly=yes")
	}
	return o
}

// proxyCommand is the ssh that goes through the jump host. ProxyJump would not do: OpenSSH
// gives the jump host neither the key nor the known hosts of the command line.
func proxyCommand(t Target) string {
	if t.Jump == "" {
		return ""
	}
	hop, err := t.jump()
	if err != nil {
		// Dial refuses such a target; so does this.
		return "exit 255"
	}
	words := []string{sshProgram(), "-F", "none"}
	for _, o := range options(t, hop.port, t.KnownHosts, t.ownKnownHosts()) {
		words = append(words, "-o", o)
	}
	if hop.user != "" {
		words = append(words, "-l", hop.user)
	}
	words = append(words, "-W", t.endpoint().addr(), "--", hop.host)
	for i, w := range words {
		words[i] = proxyWord(w)
	}
	return strings.Join(words, " ")
}

// optionPath writes a path as a value of -o, where words are split, quotes are read and
// percent signs expand.
func optionPath(path string) string {
	path = strings.ReplaceAll(filepath.ToSlash(path), "%", "%%")
	if !strings.ContainsFunc(path, func(r rune) bool { return strings.ContainsRune(" \t\"'\\#=", r) }) {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}

func sshProgram() string {
	if runtime.GOOS == "windows" {
		return "ssh.exe"
	}
	return "ssh"
}

// proxyWord writes one word of a ProxyCommand, in which OpenSSH expands percent signs
// before the shell reads it.
func proxyWord(w string) string {
	w = strings.ReplaceAll(w, "%", "%%")
	if runtime.GOOS == "windows" {
		return `"` + strings.ReplaceAll(w, `"`, `\"`) + `"`
	}
	return shellescape.Quote(w)
}
