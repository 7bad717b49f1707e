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
	location  string        // of the shared store; empty: it is a folder
	shared    lifecycle.SharedConfig

	passwordFile string // of etcd
}

// globalFlags are accepted before the command, and after it unless the command has an
// option of the same name. Their environment variables are read by readGlobals, which knows no
// environment but the one given.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "debug", Aliases: []string{"D"}, Usage: "log what is done on stderr [$MACHINE_DEBUG]"},
		&cli.StringFlag{Name: "storage-path", Aliases: []string{"s"}, Usage: "`DIR` of the store (default: ~/.docker/machine), or etcd://HOST[,HOST]/PREFIX of one that a team shares [$MACHINE_STORAGE_PATH]"},
		&cli.StringFlag{Name: "tls-ca-cert", Usage: "`FILE` with the CA certificate that a new store takes over [$MACHINE_TLS_CA_CERT]"},
		&cli.StringFlag{Name: "tls-ca-key", Usage: "`FILE` with the CA's private key that a new store takes over [$MACHINE_TLS_CA_KEY]"},
		&cli.StringFlag{Name: "tls-client-cert", Usage: "`FILE` with the client certificate that a new store takes over [$MACHINE_TLS_CLIENT_CERT]"},
		&cli.StringFlag{Name: "tls-client-key", Usage: "`FILE` with the client's private key that a new store takes over [$MACHINE_TLS_CLIENT_KEY]"},
		&cli.BoolFlag{Name: "native-ssh", Usage: "speak SSH without OpenSSH's ssh [$MACHINE_NATIVE_SSH]"},
		&cli.StringFlag{Name: "progress", Usage: "how progress is shown on stderr: auto, tty, plain, json or quiet (default: auto) [$MACHINE_PROGRESS]"},
		&cli.BoolFlag{Name: "quiet", Usage: "no progress and no notes, only results and errors"},
		&cli.DurationFlag{Name: "timeout", Usage: "`TIME` that each wait for SSH, the engine or the swarm may take, such as 90s [$MACHINE_TIMEOUT]"},
		&cli.StringFlag{Name: "age-identity", Usage: "`FILE` of your age identity, which reads a shared store's secrets (default: ~/.config/machine/age-identity.txt) [$MACHINE_AGE_IDENTITY]"},
		&cli.StringFlag{Name: "etcd-cacert", Usage: "`FILE` with the authority of a shared store's etcd [$MACHINE_ETCD_CACERT]"},
		&cli.StringFlag{Name: "etcd-cert", Usage: "`FILE` with the client certificate for it [$MACHINE_ETCD_CERT]"},
		&cli.StringFlag{Name: "etcd-key", Usage: "`FILE` with the key of that certificate [$MACHINE_ETCD_KEY]"},
		&cli.StringFlag{Name: "etcd-user", Usage: "`NAME` of the user of etcd, whose password is in $MACHINE_ETCD_PASSWORD [$MACHINE_ETCD_USER]"},
		&cli.StringFlag{Name: "etcd-password-file", Usage: "`FILE` with that password instead [$MACHINE_ETCD_PASSWORD_FILE]"},
		&cli.BoolFlag{Name: "etcd-plain", Usage: "reach etcd on another computer without TLS [$MACHINE_ETCD_PLAIN]"},
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
		case a.legacy && env == "MACHINE_NATIVE_SSH": // docker-machine looked at MACHINE_DEBUG alone
			return false, nil
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
	g.shared = lifecycle.SharedConfig{
		Identity: given("age-identity", "MACHINE_AGE_IDENTITY"),
		User:     a.userName(),
		EtcdUser: given("etcd-user", "MACHINE_ETCD_USER"), EtcdPassword: a.Getenv("MACHINE_ETCD_PASSWORD"),
		CACert: given("etcd-cacert", "MACHINE_ETCD_CACERT"),
		Cert:   given("etcd-cert", "MACHINE_ETCD_CERT"),
		Key:    given("etcd-key", "MACHINE_ETCD_KEY"),
	}
	set(&g.shared.Plain, "etcd-plain", "MACHINE_ETCD_PLAIN")
	g.passwordFile = given("etcd-password-file", "MACHINE_ETCD_PASSWORD_FILE")
	location := given("storage-path", "MACHINE_STORAGE_PATH")
	if lifecycle.IsShared(location) {
		g.location = location // its folder is known when it is opened
	} else {
		g.root, g.rootErr = a.storeRoot(location)
	}
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
