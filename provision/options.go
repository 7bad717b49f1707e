package provision

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

func (e Engine) port() int {
	if e.Port == 0 {
		return DefaultPort
	}
	return e.Port
}

func (e Engine) repoURL() string {
	if e.RepoURL == "" {
		return "https://download.docker.com/linux"
	}
	return strings.TrimRight(e.RepoURL, "/")
}

// defaultInstallURL is docker-machine's, which stored it with every machine.
const defaultInstallURL = "https://get.docker.com"

func (e Engine) installURL() string {
	if e.InstallURL == "" {
		return defaultInstallURL
	}
	return e.InstallURL
}

// asksForScript tells whether an install script is asked for by its URL alone.
func (e Engine) asksForScript() bool {
	return e.Source == SourceAuto && e.installURL() != defaultInstallURL
}

// flag is one dockerd flag.
type flag struct {
	name  string // without dashes
	value string
	bare  bool // no value was given
}

func (f flag) word() string {
	if f.bare {
		return "--" + f.name
	}
	return "--" + f.name + "=" + f.value
}

var (
	flagName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

const optionAdvice = "see dockerd --help for the flags of the engine; one is given as --engine-opt flag=value"

// Check tells whether the options of e are well formed, which needs no host. Whether the engine knows
// them it tells itself, on the host, before it is restarted. The error wraps ErrOption.
func (e Engine) Check() error {
	_, _, err := e.flags()
	return err
}

// flags returns the engine options that are passed as flags, and e with those moved to its
// fields that have one: the engine refuses an option that is given in two ways.
func (e Engine) flags() ([]flag, Engine, error) {
	if e.Port < 0 || e.Port > 65535 {
		return nil, e, refuse(ErrOption, "", "port %d", e.Port)
	}
	if e.Version != "" && !versionWanted.MatchString(e.Version) {
		return nil, e, refuse(ErrOption, "give a version such as 28.5.2, or a prefix such as 28", "version %q", e.Version)
	}
	if !slices.Contains([]Source{SourceAuto, SourceRepo, SourceDistro, SourceScript, SourceKeep}, e.Source) {
		return nil, e, refuse(ErrOption, "the sources are repo, distro, script and keep", "source %q", e.Source)
	}
	e.Labels = slices.Clone(e.Labels)
	e.InsecureRegistries = slices.Clone(e.InsecureRegistries)
	e.RegistryMirrors = slices.Clone(e.RegistryMirrors)
	var flags []flag
	for _, option := range e.Options {
		f, err := parseFlag(option)
		if err != nil {
			return nil, e, err
		}
		switch f.name {
		case "label":
			e.Labels = append(e.Labels, f.value)
		case "insecure-registry":
			e.InsecureRegistries = append(e.InsecureRegistries, f.value)
		case "registry-mirror":
			e.RegistryMirrors = append(e.RegistryMirrors, f.value)
		case "storage-driver":
			if e.StorageDriver != "" && e.StorageDriver != f.value {
				return nil, e, refuse(ErrOption, "", "storage driver is both %q and %q", e.StorageDriver, f.value)
			}
			e.StorageDriver = f.value
		default:
			flags = append(flags, f)
		}
	}
	return flags, e, e.checkFields()
}

func parseFlag(option string) (flag, error) {
	name, value, ok := strings.Cut(option, "=")
	if i := strings.IndexByte(name, ' '); i >= 0 { // "dns 192.0.2.1", as docker-machine took it
		name, value, ok = option[:i], strings.TrimSpace(option[i:]), true
	}
	f := flag{name: name, value: value, bare: !ok}
	if !flagName.MatchString(name) {
		return f, refuse(ErrOption, optionAdvice, "%q: a flag's name has lower-case letters, digits and dashes, and none at its beginning", option)
	}
	if !printable(value) {
		return f, refuse(ErrOption, optionAdvice, "%q: control characters have no place in it", option)
	}
	if managed(name) {
		return f, refuse(ErrOption, "leave it out: the engine always gets the machine's own TLS files and configuration", "%q is not yours to set", name)
	}
	return f, nil
}

// managed names the flags that would take the engine away from its machine.
func managed(name string) bool {
	return slices.Contains([]string{"tls", "tlsverify", "tlscacert", "tlscert", "tlskey", "config-file", "validate", "version", "help"}, name)
}

func (e Engine) checkFields() error {
	for _, l := range e.Labels {
		if k, _, ok := strings.Cut(l, "="); !ok || k == "" || !printable(l) {
			return refuse(ErrOption, "give labels as key=value", "label %q", l)
		}
	}
	for _, r := range e.InsecureRegistries {
		if r == "" || !printable(r) || strings.ContainsAny(r, " \t") {
			return refuse(ErrOption, "give a registry as host:port or as a CIDR", "insecure registry %q", r)
		}
	}
	for _, m := range e.RegistryMirrors {
		if u, err := url.Parse(m); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || !printable(m) {
			return refuse(ErrOption, "give a mirror as https://host", "registry mirror %q", m)
		}
	}
	if e.StorageDriver != "" && !flagName.MatchString(e.StorageDriver) {
		return refuse(ErrOption, "such as overlay2", "storage driver %q", e.StorageDriver)
	}
	for _, kv := range e.Env {
		// The value may be a password.
		if k, v, ok := strings.Cut(kv, "="); !ok || !envName.MatchString(k) || !printable(v) {
			return refuse(ErrOption, "give environment variables as NAME=value", "environment variable %q", k)
		}
	}
	for name, v := range map[string]string{"HTTP proxy": e.HTTPProxy, "HTTPS proxy": e.HTTPSProxy, "no-proxy list": e.NoProxy} {
		if !printable(v) {
			return refuse(ErrOption, "", "%s has control characters", name)
		}
	}
	for name, v := range map[string]string{"repository URL": e.repoURL(), "install script URL": e.installURL()} {
		if u, err := url.Parse(v); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(v, " \"'\\") {
			return refuse(ErrOption, "give it as https://host/path", "%s %q", name, v)
		}
	}
	return nil
}

// environment returns the engine's variables in order; a proxy that is also given
// as a variable is that variable's.
func (e Engine) environment() []string {
	env := slices.Clone(e.Env)
	for _, p := range []struct{ name, value string }{
		{"HTTP_PROXY", e.HTTPProxy}, {"HTTPS_PROXY", e.HTTPSProxy}, {"NO_PROXY", e.NoProxy},
	} {
		given := slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(strings.ToUpper(kv), p.name+"=") })
		if p.value != "" && !given {
			env = append(env, p.name+"="+p.value)
		}
	}
	return env
}
