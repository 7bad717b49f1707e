package lifecycle

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/provision/ssh/sshtest"
	"github.com/hostsmith/machine/swarmboot"
)

const (
	dropIn   = "/etc/systemd/system/docker.service.d/10-machine.conf"
	unitExec = "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"
)

// facts are what the probe prints.
func (h *host) facts() [][2]string {
	state, owner := "inactive", ""
	if h.serving != nil {
		state, owner = "active", "dockerd (pid 4711)"
	}
	if h.plain && h.serving == nil {
		state = "active"
	}
	facts := [][2]string{
		{"os-release", "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"},
		{"machine", "x86_64"}, {"kernel", "6.1.0"}, {"hostname", h.name}, {"clock", strconv.FormatInt(time.Now().Unix(), 10)},
		{"uid", "0"}, {"init", "systemd"}, {"packager", "apt-get"}, {"free-etc", "9000"}, {"free-var", "9000"},
		{"dockerd", "/usr/bin/dockerd"}, {"engine-version", "Docker version " + h.version + ", build 0000000"},
		{"package", "docker-ce"}, {"package-version", "5:" + h.version + "-1~debian.12~bookworm"}, {"repository", "yes"},
		{"engine-state", state}, {"exec-start", unitExec}, {"port-owner", owner},
	}
	add := func(key, value string, is bool) {
		if is {
			facts = append(facts, [2]string{key, value})
		}
	}
	add("enabled", "enabled", h.enabled)
	add("restart-due", "yes", h.due)
	add("docker-cli", "yes", h.plain)
	add("bridged", "yes", h.files["bridge"] != "")
	for key, file := range map[string]string{"daemon-json": "/etc/docker/daemon.json", "record": "/etc/docker/machine.json", "our-options": dropIn} {
		add(key, h.files[file], h.files[file] != "")
	}
	add("ours", dropIn, h.files[dropIn] != "")
	for _, name := range []string{"ca.pem", "server.pem", "server-key.pem"} {
		data, ok := h.files["/etc/docker/"+name]
		add("tls-"+name, fmt.Sprintf("%x", sha256.Sum256([]byte(data))), ok)
	}
	return slices.DeleteFunc(facts, func(f [2]string) bool { return f[1] == "" })
}

// candidate is what the package source has, for a probe that asks.
func (h *host) candidate(script string) [][2]string {
	m := regexp.MustCompile(`(?m)^upgrade=yes want='?(.*?)'?$`).FindStringSubmatch(script)
	if m == nil {
		return nil
	}
	version := h.version // of a prefix that does not fit the newest
	if strings.HasPrefix(h.newest, m[1]) {
		version = h.newest
	}
	return [][2]string{{"candidate", "5:" + version + "-1~debian.12~bookworm"}}
}

// apply does a script's steps and says so as the script would.
func (h *host) apply(mark, script string, out io.Writer) int {
	m := regexp.QuoteMeta(mark)
	document := `(?:''|\$\(cat <<'` + m + `'\n(.*?)\n` + m + `\n\))`
	steps := regexp.MustCompile(`(?s)step_unless=` + document + `\nstep_run=` + document + `\nstep (\d+) (?:</dev/null|decode <<'` + m + `'\n(.*?)` + m + `)\n`)
	fmt.Fprintf(out, "\n%s begin\n", mark)
	for _, s := range steps.FindAllStringSubmatch(script, -1) {
		if h.w.event("before "+h.name+" does "+s[2]) != nil {
			return sshtest.Silent
		}
		fmt.Fprintf(out, "\n%s start %s\n", mark, s[3])
		stdin, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(s[4], "\n", ""))
		code := 1
		if err == nil {
			code = h.do(s[1], s[2], string(stdin), out)
		}
		fmt.Fprintf(out, "\n%s end %s %d\n", mark, s[3], code)
		if code != 0 {
			fmt.Fprintf(out, "\n%s done\n", mark)
			return code
		}
	}
	if h.w.event("after all that "+h.name+" did") != nil {
		return sshtest.Silent
	}
	fmt.Fprintf(out, "\n%s done\n", mark)
	return 0
}

func (h *host) do(unless, run, stdin string, out io.Writer) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.HasPrefix(unless, "engine_current") && !h.due && h.serving != nil {
		return 0
	}
	if strings.Contains(run, "machine-seal") {
		return h.seal(out)
	}
	for line := range strings.Lines(run) {
		words := strings.Fields(line)
		for i := range words {
			words[i] = strings.Trim(words[i], "'")
		}
		h.did = append(h.did, strings.Join(words, " "))
		code, ok := h.fail[words[0]]
		if !ok {
			code = h.call(words, stdin)
		}
		if code != 0 {
			fmt.Fprintf(out, "%s ends with %d\n", words[0], code)
			return code
		}
	}
	return 0
}

// seal takes out what is the host's own; a moment later it shuts down.
func (h *host) seal(out io.Writer) int {
	for _, name := range []string{"ca.pem", "server.pem", "server-key.pem", "machine.json"} {
		delete(h.files, "/etc/docker/"+name)
	}
	for file := range h.files {
		fmt.Fprintf(out, "left: %s\n", file)
	}
	if len(h.files) > 0 || h.serving != nil {
		return 1
	}
	h.seals++
	if h.abrupt {
		h.abrupt = false
		h.sshd.DropAll() // so that the answer is lost
	}
	h.w.running.Go(func() {
		select {
		case <-time.After(500 * time.Millisecond): // a real one waits too
		case <-h.w.t.Context().Done():
		}
		if err := h.w.provider.ShutDown(h.w.t.Context(), h.name); err == nil {
			h.w.follow()
		}
	})
	return 0
}

// call does what a function of provision's scripts does.
func (h *host) call(words []string, stdin string) int {
	name, args := words[0], append(words[1:], "", "", "")
	switch name {
	case "write_tls":
		for part := range strings.SplitSeq(strings.TrimPrefix(stdin, "== "), "\n== ") {
			file, data, _ := strings.Cut(part, "\n")
			h.files[path.Join(args[0], file)] = strings.TrimRight(data, "\n") + "\n"
		}
		h.due = true
	case "write_daemon_json":
		record, data, _ := strings.Cut(stdin, "==\n")
		h.write("/etc/docker/machine.json", record)
		h.write("/etc/docker/daemon.json", data)
	case "write_drop_in":
		unit := unitExec
		if args[1] == "with-socket" && !strings.Contains(unit, " -H") {
			unit += " -H unix:///var/run/docker.sock"
		}
		h.write(args[0], strings.ReplaceAll(stdin, "@UNIT@", unit))
	case "start_engine", "restart_engine":
		if !h.start() && name == "start_engine" {
			return 79
		}
		h.due = false
	case "stop_engine":
		h.stop()
	case "enable_engine":
		h.enabled = true
	case "restart_due":
		h.due = true
	case "rm":
		for _, file := range args {
			delete(h.files, file)
		}
	case "apt_engine": // repo PACKAGE WANT ...
		h.version = args[2]
		if h.version == "" {
			h.version = h.newest
		}
		h.due = true
	case "live_restore":
		h.files["/etc/docker/daemon.json"] = stdin
		if h.files["bridge"] = args[0]; args[0] == "off" {
			delete(h.files, "bridge")
		}
	case "check_flags":
	default:
		return 127
	}
	return 0
}

func (h *host) write(file, data string) {
	h.files[file] = data
	if data == "" {
		delete(h.files, file)
	}
	h.due = true
}

// preflight answers swarmboot's probe of the network.
func (h *host) preflight(script string, out io.Writer) int {
	fmt.Fprintf(out, "pf clock %d\n", time.Now().Add(h.ahead).Unix())
	for _, p := range regexp.MustCompile(`(?m)^peer (\d+) '([^']*)' (.*)$`).FindAllStringSubmatch(script, -1) {
		blocked := false
		for _, other := range h.w.hosts {
			other.set(func(o *host) { blocked = blocked || o.peer == p[2] && o.blocked })
		}
		for subject := range strings.FieldsSeq(p[3]) {
			switch {
			case subject == "mtu":
				fmt.Fprintf(out, "pf path %s 1500 passes\n", p[1])
			case blocked:
				fmt.Fprintf(out, "pf probe %s %s timeout\n", p[1], subject)
			default:
				fmt.Fprintf(out, "pf probe %s %s open\n", p[1], subject)
			}
		}
	}
	return 0
}

// list does to the list of a classic swarm's members what a command of swarmboot does.
func (h *host) list(command, stdin string, out io.Writer) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	file := regexp.MustCompile(regexp.QuoteMeta(swarmboot.ListDir) + `/[A-Za-z0-9.-]+`).FindString(command)
	switch {
	case strings.Contains(command, "mktemp"):
		h.files[file] = stdin
	case strings.Contains(command, "rm -f"):
		delete(h.files, file)
	default:
		text, ok := h.files[file]
		if !ok {
			return 1
		}
		_, _ = io.WriteString(out, text)
	}
	return 0
}
