package cli

import (
	"errors"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

// globals are the options of the program as a whole.
type globals struct {
	debug     bool
	root      string // of the store, absolute
	rootErr   error  // why it is not known
	tls       lifecycle.TLSFiles
	nativeSSH bool
	mode      ui.Mode
	version   bool
	wait      time.Duration // 0: the defaults
}

// globalFlags are accepted before the command, and after it unless the command has an
// option of the same name. Their environment variables are read by readGlobals, which knows no
// environment but the one given.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "debug", Aliases: []string{"D"}, Usage: "log what is done on stderr [$MACHINE_DEBUG]"},
		&cli.StringFlag{Name: "storage-path", Aliases: []string{"s"}, Usage: "`DIR` of the store (default: ~/.docker/machine) [$MACHINE_STORAGE_PATH]"},
		&cli.StringFlag{Name: "tls-ca-cert", Usage: "`FILE` with the CA certificate that a new store takes over [$MACHINE_TLS_CA_CERT]"},
		&cli.StringFlag{Name: "tls-ca-key", Usage: "`FILE` with the CA's private key that a new store takes over [$MACHINE_TLS_CA_KEY]"},
		&cli.StringFlag{Name: "tls-client-cert", Usage: "`FILE` with the client certificate that a new store takes over [$MACHINE_TLS_CLIENT_CERT]"},
		&cli.StringFlag{Name: "tls-client-key", Usage: "`FILE` with the client's private key that a new store takes over [$MACHINE_TLS_CLIENT_KEY]"},
		&cli.BoolFlag{Name: "native-ssh", Usage: "speak SSH without OpenSSH's ssh [$MACHINE_NATIVE_SSH]"},
		&cli.StringFlag{Name: "progress", Usage: "how progress is shown on stderr: auto, tty, plain, json or quiet (default: auto) [$MACHINE_PROGRESS]"},
		&cli.BoolFlag{Name: "quiet", Usage: "no progress and no notes, only results and errors"},
		&cli.DurationFlag{Name: "timeout", Usage: "`TIME` that each wait for SSH, the engine or the swarm may take, such as 90s [$MACHINE_TIMEOUT]"},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
		&cli.StringFlag{Name: "github-api-token", Usage: "accepted for docker-machine's sake, not used", Hidden: true},
		&cli.StringFlag{Name: "bugsnag-api-token", Usage: "accepted for docker-machine's sake, not used: nothing is ever reported", Hidden: true},
	}
}

// readGlobals reads flags, then the environment. What could be read is set also when it returns an error.
func (a *app) readGlobals(inv *invocation) error {
	g := &a.globals
	given := func(name, env string) string {
		if v := inv.values(inv.globals, name); len(v) > 0 {
			return v[len(v)-1]
		}
		if env == "" {
			return ""
		}
		return a.Getenv(env)
	}
	boolean := func(name, env string) (bool, error) {
		v := given(name, env)
		if v == "" {
			return false, nil
		}
		b, err := strconv.ParseBool(v)
		switch {
		case err == nil:
		case len(inv.values(inv.globals, name)) > 0:
			return false, usagef("invalid boolean value %q for --%s", v, name)
		default:
			return false, usagef("Error parsing boolean value from %s: %v", env, err)
		}
		return b, nil
	}
	var errs []error
	set := func(to *bool, name, env string) {
		var err error
		*to, err = boolean(name, env)
		errs = append(errs, err)
	}
	var quiet bool
	set(&g.debug, "debug", "MACHINE_DEBUG")
	set(&g.nativeSSH, "native-ssh", "MACHINE_NATIVE_SSH")
	set(&quiet, "quiet", "")
	set(&g.version, "version", "")

	g.mode = ui.Auto
	if v := given("progress", "MACHINE_PROGRESS"); v != "" {
		mode, err := ui.ParseMode(v)
		if err != nil {
			errs = append(errs, usagef("%s", err.Error()))
		} else {
			g.mode = mode
		}
	}
	if quiet {
		g.mode = ui.Quiet
	}
	if v := given("timeout", "MACHINE_TIMEOUT"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			errs = append(errs, usagef("invalid time %q for --timeout", v).hint("give a number and a unit, such as 90s or 10m"))
		}
		g.wait = d
	}
	g.tls = lifecycle.TLSFiles{
		CACert:     given("tls-ca-cert", "MACHINE_TLS_CA_CERT"),
		CAKey:      given("tls-ca-key", "MACHINE_TLS_CA_KEY"),
		ClientCert: given("tls-client-cert", "MACHINE_TLS_CLIENT_CERT"),
		ClientKey:  given("tls-client-key", "MACHINE_TLS_CLIENT_KEY"),
	}
	g.root, g.rootErr = a.storeRoot(given("storage-path", "MACHINE_STORAGE_PATH"))
	return errors.Join(errs...)
}

// storeRoot returns the store's folder, absolute.
func (a *app) storeRoot(given string) (string, error) {
	if given == "" {
		home := a.home()
		if home == "" {
			return "", usagef("the store's folder is not known: HOME is not set").hint("set HOME, or give --storage-path DIR")
		}
		given = filepath.Join(home, ".docker", "machine")
	}
	return filepath.Abs(given)
}

func (a *app) home() string {
	if runtime.GOOS == "windows" {
		return a.Getenv("USERPROFILE")
	}
	if home := a.Getenv("HOME"); home != "" {
		return home
	}
	me, err := user.Current()
	if err != nil {
		return ""
	}
	return me.HomeDir
}
