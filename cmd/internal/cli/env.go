package cli

import (
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"
)

func (a *app) envCommand() *cli.Command {
	return &cli.Command{
		Name: "env", Usage: "print shell commands that point the docker client at a machine", ArgsUsage: "[NAME]",
		Description: "The output is for the shell's eval, after the engine has answered over TLS:\n\n" +
			"   eval $(" + a.name + " env NAME)",
		Flags: []cli.Flag{
			swarmEndpointFlag(),
			&cli.StringFlag{Name: "shell", Usage: "`SHELL` to print for: bash, zsh, sh, fish, powershell, cmd, tcsh or emacs (default: found out)"},
			&cli.BoolFlag{Name: "unset", Aliases: []string{"u"}, Usage: "print commands that undo it; takes no name"},
			&cli.BoolFlag{Name: "no-proxy", Usage: "add the machine's address to NO_PROXY"},
		},
		Action: a.env,
	}
}

func (a *app) env(c *cli.Context) error {
	sh := shellOf(a.shellName(c.String("shell")))
	var settings []setting
	if c.Bool("unset") {
		if c.Args().Present() {
			return usagef("Expected no machine name when the -u flag is present")
		}
		settings = a.unsetSettings(c.Bool("no-proxy"))
	} else {
		t := a.manager(c)
		name, err := machine(c, t)
		if err != nil {
			return err
		}
		ep, err := t.Endpoint(c.Context, name, c.Bool("swarm"))
		if err != nil {
			return a.connecting("Error checking TLS connection", name, err)
		}
		settings = a.settings(endpoint(ep), c.Bool("no-proxy"))
	}
	out, err := sh.script(settings, a.argv)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.Stdout, out)
	return err
}

// endpoint is lifecycle's, as far as the environment shows it.
type endpoint struct {
	Machine  string
	URL      string
	IP       string
	CertPath string
	TLS      bool
}

// setting is a variable to set or, without a value, to unset.
type setting struct {
	name  string
	value string
	unset bool
}

// settings point a docker client at an engine.
func (a *app) settings(ep endpoint, noProxy bool) []setting {
	out := []setting{
		{name: "DOCKER_TLS_VERIFY", value: "1", unset: !ep.TLS},
		{name: "DOCKER_HOST", value: ep.URL},
		{name: "DOCKER_CERT_PATH", value: ep.CertPath, unset: !ep.TLS},
		{name: "DOCKER_MACHINE_NAME", value: ep.Machine},
	}
	if runtime.GOOS == "windows" {
		out = append(out, setting{name: "COMPOSE_CONVERT_WINDOWS_PATHS", value: "true"})
	}
	if noProxy {
		name, value := a.noProxy()
		host := ep.IP
		if u, err := url.Parse(ep.URL); err == nil && host == "" {
			host = u.Hostname()
		}
		out = append(out, setting{name: name, value: withHost(value, host)})
	}
	return out
}

func (a *app) unsetSettings(noProxy bool) []setting {
	names := []string{"DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_MACHINE_NAME"}
	if runtime.GOOS == "windows" {
		names = append(names, "COMPOSE_CONVERT_WINDOWS_PATHS")
	}
	if noProxy {
		name, _ := a.noProxy()
		names = append(names, name)
	}
	out := make([]setting, len(names))
	for i, n := range names {
		out[i] = setting{name: n, unset: true}
	}
	return out
}

// noProxy returns the variable in use and its value.
func (a *app) noProxy() (name, value string) {
	for _, name := range []string{"no_proxy", "NO_PROXY"} {
		if v := a.Getenv(name); v != "" {
			return name, v
		}
	}
	return "NO_PROXY", ""
}

// withHost adds host to a list unless it is in it.
func withHost(list, host string) string {
	if list == "" {
		return host
	}
	for _, h := range strings.Split(list, ",") {
		if strings.TrimSpace(h) == host {
			return list
		}
	}
	return fmt.Sprintf("%s,%s", list, host)
}

// shellName is the shell asked for, else the one that the user works in.
func (a *app) shellName(given string) string {
	if given != "" {
		return given
	}
	if runtime.GOOS == "windows" && a.Getenv("__fish_bin_dir") != "" {
		return "fish"
	}
	if sh := a.Getenv("SHELL"); sh != "" {
		return sh
	}
	return parentShell()
}
