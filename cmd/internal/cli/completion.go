package cli

import (
	_ "embed"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

//go:embed completion/bash
var bashCompletion string

//go:embed completion/zsh
var zshCompletion string

//go:embed completion/fish
var fishCompletion string

//go:embed completion/powershell
var powershellCompletion string

func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a completion script for a shell", ArgsUsage: "bash|zsh|fish|powershell",
		Description: "Commands, options, machines and swarms are completed. To load it:\n\n" +
			"   bash         source <(" + a.name + " completion bash)\n" +
			"   zsh          source <(" + a.name + " completion zsh)\n" +
			"   fish         " + a.name + " completion fish | source\n" +
			"   powershell   " + a.name + " completion powershell | Out-String | Invoke-Expression\n\n" +
			"Bash gets two things more: " + a.name + " use [NAME], which has the docker client of the shell use a machine, and a\n" +
			"prompt that shows which one that is: PS1='\\h$(__" + functionName(a.name) + "_ps1 \" [%s]\")\\$ '.",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("name one shell: bash, zsh, fish or powershell")
			}
			scripts := map[string]string{
				"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion,
				"powershell": powershellCompletion, "pwsh": powershellCompletion,
			}
			script, ok := scripts[c.Args().First()]
			if !ok {
				return usagef("no completion for shell %q: there are bash, zsh, fish and powershell", c.Args().First())
			}
			_, err := io.WriteString(a.Stdout, strings.NewReplacer("@NAME@", a.name, "@FUNC@", functionName(a.name)).Replace(script))
			return err
		},
	}
}

// functionName is the program's name as part of the name of a shell's function.
func functionName(program string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(program)
}
