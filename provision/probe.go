package provision

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Probe asks the host everything Plan needs to know, in one round trip. engine says
// which port and files to look at. It changes nothing, but reads the package lists
// anew if an upgrade to what is newest is asked for.
func Probe(ctx context.Context, r Runner, engine Engine) (Facts, error) {
	mark, err := newMark()
	if err != nil {
		return Facts{}, err
	}
	var out bytes.Buffer
	// A login that is not root probes with sudo if it may, and as itself if not: Plan says what is missing.
	const login = `sh -c 'test "$(id -u)" = 0 && exec sh; sudo -n true 2>/dev/null && exec sudo -n sh; exec sh'`
	script := wholeScript(mark, "port="+strconv.Itoa(engine.port())+"\nrepository="+shellQuote(hostOf(engine.repoURL()))+"\n"+engine.probeUpgrade()+probeScript, "probe")
	if err := r.Run(ctx, login, strings.NewReader(script), &out); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return Facts{}, fmt.Errorf("probe host: %w", cause)
		}
		return Facts{}, fmt.Errorf("probe host: %w", err)
	}
	f, err := parseProbe(out.Bytes(), mark)
	if err != nil {
		return Facts{}, fmt.Errorf("probe host: %w", err)
	}
	return f, nil
}

// probeUpgrade is what the probe needs to ask for the candidate of an upgrade.
func (e Engine) probeUpgrade() string {
	if !e.Upgrade || exact(e.Version) || e.asksForScript() {
		return "upgrade=no\n"
	}
	return "upgrade=yes want=" + shellQuote(e.Version) + "\n" + aptScript + packagesScript + candidateScript
}

// parseProbe reads what the probe printed between its marks. Unknown keys are skipped.
func parseProbe(out []byte, mark string) (Facts, error) {
	_, text, ok := strings.Cut(string(out), mark+" begin\n")
	if !ok {
		return Facts{}, errors.New("the host ran no script: " + strconv.Quote(clip(string(out), 200)))
	}
	text, _, ok = strings.Cut(text, mark+" end\n")
	if !ok {
		return Facts{}, errors.New("the answer is cut short")
	}
	f := Facts{FreeVarMiB: -1, FreeEtcMiB: -1}
	for line := range strings.Lines(text) {
		key, code, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		value, err := base64.StdEncoding.DecodeString(code)
		if err != nil {
			return Facts{}, fmt.Errorf("value of %q: %w", key, err)
		}
		f.set(key, value)
	}
	return f, nil
}

func (f *Facts) set(key string, value []byte) {
	s := strings.TrimSpace(string(value))
	switch key {
	case "os-release":
		f.setOS(parseOSRelease(string(value)))
	case "machine":
		f.Arch = archOf(s)
	case "kernel":
		f.Kernel = s
	case "hostname":
		f.Hostname = s
	case "clock":
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			f.Clock = time.Unix(n, 0).UTC()
		}
	case "uid":
		if n, err := strconv.Atoi(s); err == nil {
			f.UID = n
		}
	case "sudo":
		f.Sudo = true
	case "init":
		f.Init = s
	case "packager":
		f.Packager = s
	case "cloud-init":
		f.CloudInit = s
	case "firewall":
		f.Firewall = s
	case "firewall-open":
		f.Firewall = ""
	case "free-var":
		f.FreeVarMiB = number(s)
	case "free-etc":
		f.FreeEtcMiB = number(s)
	case "ipvs":
		f.IPVS = true
	case "bridged":
		f.Bridged = true
	case "docker-cli":
		f.DockerCLI = true
	case "rootless":
		f.Rootless = strings.TrimPrefix(f.Rootless+","+s, ",")
	case "swarm":
		f.SwarmActive = true
	case "repository":
		f.RepoListed = true
	case "port-owner":
		f.PortOwner = s
	default:
		f.setEngine(key, s, value)
	}
}

func (f *Facts) setEngine(key, s string, value []byte) {
	switch name, isTLS := strings.CutPrefix(key, "tls-"); {
	case key == "dockerd":
		f.Dockerd = s
	case key == "engine-version":
		f.Version = engineVersion(s)
	case key == "package":
		f.Package = s
	case key == "package-version":
		f.PackageVersion = s
	case key == "candidate":
		f.Candidate = s
	case key == "held":
		f.Held = true
	case key == "unfinished":
		f.Unfinished = true
	case key == "engine-state":
		f.EngineState = s
	case key == "enabled":
		f.Enabled = s == "enabled" || s == "enabled-runtime" || s == "static" || s == "yes"
	case key == "stale":
		f.Stale = true
	case key == "restart-due":
		f.RestartDue = true
	case key == "exec-start":
		f.ExecStart = s
	case key == "socket":
		f.Socket = true
	case key == "drop-in":
		f.DropIns = append(f.DropIns, s)
	case key == "env-file":
		if f.EnvFiles == nil {
			f.EnvFiles = map[string]string{}
		}
		for k, v := range parseOSRelease(string(value)) {
			f.EnvFiles[k] = v
		}
	case key == "daemon-json":
		f.DaemonJSON = notNil(value)
	case key == "record":
		f.Record = notNil(value)
	case key == "ours":
		f.OurDropIn = s
	case key == "our-options":
		f.OurOptions = notNil(value)
	case key == "tls-loose":
		f.TLSLoose = append(f.TLSLoose, s)
	case isTLS:
		if f.TLSHashes == nil {
			f.TLSHashes = map[string]string{}
		}
		f.TLSHashes[name] = s
	}
}

func (f *Facts) setOS(v map[string]string) {
	f.ID, f.VersionID, f.Pretty = v["ID"], v["VERSION_ID"], v["PRETTY_NAME"]
	f.IDLike = strings.Fields(v["ID_LIKE"])
	// A derivative's own codename means nothing to the repository of the one it derives from.
	f.Codename = v["UBUNTU_CODENAME"]
	if f.Codename == "" {
		f.Codename = v["DEBIAN_CODENAME"]
	}
	if f.Codename == "" && (len(f.IDLike) == 0 || f.ID == "ubuntu" || f.ID == "raspbian") {
		f.Codename = v["VERSION_CODENAME"]
	}
}

// engineVersion reads "Docker version 20.10.24+dfsg1, build 5d6db84".
func engineVersion(s string) string {
	_, s, ok := strings.Cut(s, "version ")
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, ",")
	s, _, _ = strings.Cut(s, " ")
	return s
}

// archOf returns Debian's and Go's word for what uname -m says.
func archOf(machine string) string {
	switch machine {
	case "x86_64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "armv7l", "armv8l":
		return "armhf"
	case "i386", "i486", "i586", "i686":
		return "386"
	}
	return machine
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// notNil keeps an empty file apart from a missing one.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// clip returns the end of s, n bytes at most.
func clip(s string, n int) string {
	if len(s) > n {
		return "..." + strings.ToValidUTF8(s[len(s)-n:], "")
	}
	return s
}
