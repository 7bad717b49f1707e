package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

const engineCategory = "Engine"

// engineFlags say which engine the hosts get.
func engineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "engine-version", Category: engineCategory, Usage: "`VERSION` to install, exact or a prefix such as 28.5 (default: what is there, else the newest that was tested)"},
		&cli.StringFlag{Name: "engine-source", Category: engineCategory, Usage: "`SOURCE` of the engine: repo, distro, script or keep (default: decided by what the host has)"},
		&cli.StringFlag{Name: "engine-install-url", Category: engineCategory, Usage: "`URL` of an install script to run instead; none keeps the host's engine [$MACHINE_DOCKER_INSTALL_URL]"},
		&cli.StringFlag{Name: "engine-repo-url", Category: engineCategory, Usage: "`URL` of a mirror of Docker's package repository"},
		&cli.IntFlag{Name: "engine-port", Category: engineCategory, Usage: "`PORT` that the engine listens on for TLS clients (default: 2376)"},
		&cli.StringSliceFlag{Name: "engine-opt", Category: engineCategory, Usage: "dockerd `FLAG=VALUE`; may be repeated"},
		&cli.StringSliceFlag{Name: "engine-label", Category: engineCategory, Usage: "label `KEY=VALUE` of the engine; may be repeated"},
		&cli.StringSliceFlag{Name: "engine-env", Category: engineCategory, Usage: "environment variable `NAME=VALUE` of dockerd; may be repeated"},
		&cli.StringSliceFlag{Name: "engine-insecure-registry", Category: engineCategory, Usage: "`REGISTRY` to speak to without TLS; may be repeated"},
		&cli.StringSliceFlag{Name: "engine-registry-mirror", Category: engineCategory, Usage: "`URL` of a registry mirror; may be repeated [$ENGINE_REGISTRY_MIRROR]"},
		&cli.StringFlag{Name: "engine-storage-driver", Category: engineCategory, Usage: "storage `DRIVER` (default: the engine's choice)"},
		&cli.StringFlag{Name: "engine-http-proxy", Category: engineCategory, Usage: "proxy `URL` for http"},
		&cli.StringFlag{Name: "engine-https-proxy", Category: engineCategory, Usage: "proxy `URL` for https"},
		&cli.StringFlag{Name: "engine-no-proxy", Category: engineCategory, Usage: "`HOSTS` reached without a proxy, comma-separated"},
	}
}

func (a *app) engineOptions(c *cli.Context) (lifecycle.EngineOptions, error) {
	o := lifecycle.EngineOptions{
		ArbitraryFlags:   c.StringSlice("engine-opt"),
		Env:              c.StringSlice("engine-env"),
		InsecureRegistry: c.StringSlice("engine-insecure-registry"),
		Labels:           c.StringSlice("engine-label"),
		RegistryMirror:   c.StringSlice("engine-registry-mirror"),
		StorageDriver:    c.String("engine-storage-driver"),
		InstallURL:       c.String("engine-install-url"),
		TLSVerify:        true,
		Version:          c.String("engine-version"),
		Source:           c.String("engine-source"),
		RepoURL:          c.String("engine-repo-url"),
		Port:             c.Int("engine-port"),
		HTTPProxy:        c.String("engine-http-proxy"),
		HTTPSProxy:       c.String("engine-https-proxy"),
		NoProxy:          c.String("engine-no-proxy"),
	}
	if v := a.Getenv("ENGINE_REGISTRY_MIRROR"); v != "" && !c.IsSet("engine-registry-mirror") {
		o.RegistryMirror = splitList(v)
	}
	if o.InstallURL == "" {
		o.InstallURL = a.Getenv("MACHINE_DOCKER_INSTALL_URL")
	}
	switch o.Source {
	case "", "repo", "distro", "script", "keep":
	default:
		return o, usagef("--engine-source %s: want repo, distro, script or keep", o.Source)
	}
	switch {
	case o.InstallURL == "none":
		o.InstallURL = ""
		if o.Source == "" {
			o.Source = "keep"
		}
	case o.InstallURL != "" && o.Source == "":
		o.Source = "script"
	case o.Source == "script" && o.InstallURL == "":
		return o, usagef("--engine-source script needs --engine-install-url")
	}
	if o.Port < 0 || o.Port > 65535 {
		return o, usagef("--engine-port %d: no such port", o.Port)
	}
	for _, l := range o.Labels {
		if key, _, ok := strings.Cut(l, "="); !ok || key == "" {
			return o, usagef("--engine-label %s: want KEY=VALUE", l)
		}
	}
	for _, e := range o.Env {
		if key, _, ok := strings.Cut(e, "="); !ok || key == "" {
			return o, usagef("--engine-env %s: want NAME=VALUE", e)
		}
	}
	return o, nil
}

// splitList takes the value of an environment variable that holds several apart.
func splitList(v string) []string {
	var out []string
	for _, s := range strings.Split(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
