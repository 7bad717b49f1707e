package cli

import (
	"os/exec"
	"runtime"

	"github.com/urfave/cli/v2"
)

func (a *app) mountCommand() *cli.Command {
	return &cli.Command{
		Name: "mount", Usage: "mount a folder of a machine here, or unmount it", ArgsUsage: "[[USER@]MACHINE:]PATH [MOUNTPOINT]",
		Description: "Runs the local sshfs with the machine's key and known hosts. The mount point is the same path unless\nanother is given.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "unmount", Aliases: []string{"u"}, Usage: "unmount"},
		},
		Action: a.mount,
	}
}

func (a *app) mount(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return usagef("Improper number of arguments").hint("%s MACHINE:PATH [MOUNTPOINT]", c.Command.HelpName)
	}
	from := parsePlace(c.Args().First())
	if from.machine == "" {
		from.machine = defaultMachine
	}
	to := c.Args().Get(1)
	if to == "" {
		to = from.path
	}
	if c.Bool("unmount") {
		path, args, err := unmounter()
		if err != nil {
			return err
		}
		return a.spawn(c.Context, path, append(args, to))
	}
	path, err := needs("sshfs", "mount feature")
	if err != nil {
		return err
	}
	// sshfs has connected when it goes to the background, so the configuration may go then.
	config, clean, err := a.logins(c, from.machine)
	if err != nil {
		return err
	}
	defer clean()
	return a.spawn(c.Context, path, []string{"-F", config, from.arg(), to})
}

// unmounter is the program that unmounts what sshfs mounted.
func unmounter() (path string, args []string, err error) {
	if runtime.GOOS == "linux" {
		for _, program := range []string{"fusermount", "fusermount3"} {
			if path, err := exec.LookPath(program); err == nil {
				return path, []string{"-u"}, nil
			}
		}
		_, err := needs("fusermount", "unmount option")
		return "", nil, err
	}
	path, err = needs("umount", "unmount option")
	return path, nil, err
}
