package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) scpCommand() *cli.Command {
	return &cli.Command{
		Name: "scp", Usage: "copy files between machines and this computer", ArgsUsage: "[[USER@]MACHINE:]PATH [[USER@]MACHINE:]PATH",
		Description: "Runs the local scp, or rsync with --delta, with each machine's key and known hosts. Between two\nmachines the data goes through this computer.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "recursive", Aliases: []string{"r"}, Usage: "copy folders with what is in them"},
			&cli.BoolFlag{Name: "delta", Aliases: []string{"d"}, Usage: "send only what differs, with rsync"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress meter"},
		},
		Action: a.scp,
	}
}

// place is a path here or on a machine.
type place struct {
	machine string // empty: here
	user    string // empty: the machine's
	path    string
}

// parsePlace reads [[user@]machine:]path. localhost is here; what has a slash before the colon
// is a path, and so is a drive of Windows.
func parsePlace(arg string) place {
	host, path, ok := strings.Cut(arg, ":")
	if !ok || host == "" || strings.ContainsAny(host, `/\`) || runtime.GOOS == "windows" && len(host) == 1 {
		return place{path: arg}
	}
	p := place{machine: host, path: path}
	if user, machine, ok := strings.Cut(host, "@"); ok {
		p.user, p.machine = user, machine
	}
	if p.machine == "localhost" {
		return place{path: path}
	}
	return p
}

// arg is the place as scp, rsync and sshfs understand it with a configuration made by sshConfig.
func (p place) arg() string {
	switch {
	case p.machine == "":
		if !filepath.IsAbs(p.path) && (strings.HasPrefix(p.path, "-") || strings.Contains(p.path, ":")) {
			return "./" + p.path
		}
		return p.path
	case p.user != "":
		return p.user + "@" + p.machine + ":" + p.path
	}
	return p.machine + ":" + p.path
}

func (a *app) scp(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("Improper number of arguments").hint("%s SOURCE DESTINATION", c.Command.HelpName)
	}
	from, to := parsePlace(c.Args().Get(0)), parsePlace(c.Args().Get(1))
	program, feature := "scp", "scp feature"
	if c.Bool("delta") {
		program, feature = "rsync", "--delta option"
		if from.machine != "" && to.machine != "" {
			return usagef("rsync does not copy from machine to machine").hint("copy without --delta, or through a folder here")
		}
	}
	if from.machine == "" && to.machine == "" && !a.legacy { // docker-machine let scp copy them
		return usagef("neither path is on a machine").hint("%s SOURCE MACHINE:PATH", c.Command.HelpName)
	}
	path, err := needs(program, feature)
	if err != nil {
		return err
	}
	config, clean, err := a.logins(c, from.machine, to.machine)
	if err != nil {
		return err
	}
	defer clean()
	args := scpArgs(config, c.Bool("recursive"), c.Bool("quiet"))
	if program == "rsync" {
		args = rsyncArgs(config, c.Bool("recursive"), c.Bool("quiet"))
	}
	return a.spawn(c.Context, path, append(args, "--", from.arg(), to.arg()))
}

func scpArgs(config string, recursive, quiet bool) []string {
	args := []string{"-3", "-F", config}
	if recursive {
		args = append(args, "-r")
	}
	if quiet {
		args = append(args, "-q")
	}
	return args
}

func rsyncArgs(config string, recursive, quiet bool) []string {
	args := []string{"-e", "ssh -F '" + strings.ReplaceAll(config, "'", "''") + "'", "--compress", "--times", "--perms", "--links"}
	if recursive {
		args = append(args, "--recursive")
	}
	if quiet {
		return append(args, "--quiet")
	}
	return append(args, "--progress")
}

// logins finds out how to reach the machines named and writes an ssh configuration of it.
func (a *app) logins(c *cli.Context, names ...string) (config string, clean func(), err error) {
	t := a.manager(c)
	var logins []lifecycle.Login
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			continue
		}
		login, err := t.Login(c.Context, name)
		if errors.Is(err, lifecycle.ErrNotRunning) {
			return "", nil, &textError{fmt.Sprintf("Error: Cannot run SSH command: Host %q is not running", name), err}
		}
		if err != nil {
			return "", nil, err
		}
		login.Machine = name
		logins = append(logins, login)
	}
	t.progress.Close()
	return sshConfig(logins)
}
