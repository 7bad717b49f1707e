package provision

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// configuration is what the engine's files should be.
type configuration struct {
	layout    layout
	json      []byte // daemon.json; nil: none
	record    []byte
	jsonNews  bool
	jsonKeys  []string // what is ours in it
	options   []byte   // drop-in or options file; nil: none
	byHost    bool     // options has unitMark in it
	listens   bool     // options names an address
	flagWords []string // of the engine options, to be tried on the engine
}

const configAdvice = "take the setting out of the host's own configuration, or leave the host's engine as it is and reach it over SSH"

// configure decides where each setting goes: into daemon.json, or on the command line if the
// host has it there already, for the engine refuses to have it in both.
func configure(f Facts, e Engine, flags []flag, unitChanges bool) (configuration, error) {
	l, err := layoutOf(f)
	if err != nil {
		return configuration{}, err
	}
	c := configuration{layout: l}
	words := f.words()
	current, err := parseObject(f.DaemonJSON)
	if err != nil {
		return c, refuse(ErrConfig, "mend the file; the engine does not start with it either", "%s: %s", daemonJSON, err)
	}
	theirs := unmerge(slices.Clone(current), parseRecord(f.Record))
	if err := foreignTLS(f, theirs, words, l.tlsDir); err != nil {
		return c, err
	}
	settings := e.settings(f, flags, l.tlsDir)
	var s service
	s.env = e.environment()

	hosts, inFile := theirs.get("hosts")
	onLine := listens(words)
	switch {
	case l.init == "boot2docker": // DOCKER_HOST
	case inFile && onLine:
		return c, refuse(ErrConfig, configAdvice, "hosts are set in daemon.json (%s) and on the command line of docker.service", hosts)
	case inFile:
		settings = append(settings, setting{key: "hosts", list: []string{e.listen()}})
	default:
		s.flags = append(s.flags, "-H", e.listen())
	}
	if l.init == "openrc" {
		s.flags = append([]string{"-H", unixSocket}, s.flags...)
	}

	var inJSON []setting
	for _, one := range settings {
		placed, err := one.place(words, l.json, &s)
		if err != nil {
			return c, err
		}
		if !placed {
			inJSON = append(inJSON, one)
		}
	}
	for _, one := range flags {
		if err := one.conflict(theirs, words); err != nil {
			return c, err
		}
		s.flags = append(s.flags, one.word())
		c.flagWords = append(c.flagWords, one.word())
	}
	if l.json {
		c.json, c.record, c.jsonNews, err = mergeDaemonJSON(f.DaemonJSON, f.Record, inJSON)
		if err != nil {
			return c, refuse(ErrConfig, configAdvice, "%s: %s", daemonJSON, err)
		}
		for _, one := range inJSON {
			name := one.key
			if strings.HasPrefix(name, "tls") {
				name = "TLS"
			}
			if !slices.Contains(c.jsonKeys, name) {
				c.jsonKeys = append(c.jsonKeys, name)
			}
		}
	}
	return c, c.setOptions(f, e, s, words, unitChanges)
}

func (c *configuration) setOptions(f Facts, e Engine, s service, words []string, unitChanges bool) (err error) {
	switch c.layout.init {
	case "systemd":
		switch {
		case s.empty():
		case unitChanges || f.ExecStart == "":
			c.options, c.byHost = s.dropIn(unitMark), true
		case s.listens() && !listens(words):
			c.options = s.dropIn(f.ExecStart + " -H " + unixSocket)
		default:
			c.options = s.dropIn(f.ExecStart)
		}
		c.listens = s.listens()
	case "openrc":
		c.options = s.openRC(f.OurOptions)
	default:
		c.options, err = s.boot2docker(c.layout.tlsDir, e.listen(), e.StorageDriver)
	}
	return err
}

// settings are what goes to daemon.json, in the order in which it stands there.
func (e Engine) settings(f Facts, flags []flag, tlsDir string) []setting {
	all := []setting{
		{key: "tlsverify", flag: "tlsverify", value: true},
		{key: "tlscacert", flag: "tlscacert", value: path.Join(tlsDir, "ca.pem")},
		{key: "tlscert", flag: "tlscert", value: path.Join(tlsDir, "server.pem")},
		{key: "tlskey", flag: "tlskey", value: path.Join(tlsDir, "server-key.pem")},
	}
	for _, l := range []setting{
		{key: "labels", flag: "label", list: e.Labels},
		{key: "insecure-registries", flag: "insecure-registry", list: e.InsecureRegistries},
		{key: "registry-mirrors", flag: "registry-mirror", list: e.RegistryMirrors},
	} {
		if len(l.list) > 0 {
			all = append(all, l)
		}
	}
	if e.StorageDriver != "" {
		all = append(all, setting{key: "storage-driver", flag: "storage-driver", value: e.StorageDriver})
	}
	logs := slices.ContainsFunc(flags, func(f flag) bool { return f.name == "log-driver" || f.name == "log-opt" })
	if _, set := flagValues(f.words(), "--log-driver", "--log-opt"); set {
		logs = true
	}
	// A full disk is what unrotated logs end in; a file that the user wrote has its own policy.
	rec := parseRecord(f.Record)
	_, before := rec.Settings["log-driver"]
	if ours := f.DaemonJSON == nil || rec.Created; ours && (!e.Gentle || before) && !logs {
		all = append(all,
			setting{key: "log-driver", flag: "log-driver", value: "json-file"},
			setting{key: "log-opts", flag: "log-opt", value: struct {
				Size string `json:"max-size"`
				File string `json:"max-file"`
			}{"10m", "3"}})
	}
	return all
}

// place puts a setting on the command line if it must be there.
func (one setting) place(words []string, json bool, s *service) (placed bool, err error) {
	theirs, found := flagValues(words, "--"+one.flag)
	if !found && json || one.flag == "" {
		return false, nil
	}
	if one.list != nil {
		for _, v := range one.list {
			if !slices.Contains(theirs, v) {
				s.flags = append(s.flags, "--"+one.flag+"="+v)
			}
		}
		return true, nil
	}
	want := fmt.Sprint(one.value)
	switch {
	case !found && (strings.HasPrefix(one.flag, "tls") || strings.HasPrefix(one.flag, "log-") || one.flag == "storage-driver"):
		return true, nil // boot2docker's profile has variables for them, and rotates logs itself
	case found && !slices.Contains(theirs, want) && one.flag != "tlsverify":
		return false, refuse(ErrConfig, configAdvice, "docker.service is started with --%s=%s, and must be with %s", one.flag, strings.Join(theirs, ","), want)
	}
	return true, nil
}

// conflict tells whether the host sets what an engine option sets, too.
func (f flag) conflict(theirs object, words []string) error {
	const advice = "leave the option out, or take the setting out of the host's own configuration"
	for _, key := range []string{f.name, f.name + "s", strings.TrimSuffix(f.name, "y") + "ies"} {
		if value, ok := theirs.get(key); ok {
			return refuse(ErrOption, advice, "--%s is also set in %s, as %s", f.name, daemonJSON, clip(string(value), 100))
		}
	}
	if values, found := flagValues(words, "--"+f.name); found && !slices.Contains(values, f.value) && !repeatable(f.name) {
		return refuse(ErrOption, advice, "--%s is also set on the command line of docker.service, as %s", f.name, strings.Join(values, ","))
	}
	return nil
}

// repeatable names the flags that add up.
func repeatable(name string) bool {
	return slices.Contains([]string{
		"add-runtime", "authorization-plugin", "default-address-pool", "default-ulimit", "dns", "dns-opt",
		"dns-search", "exec-opt", "host", "log-opt", "network-control-plane-mtu", "node-generic-resource", "storage-opt", "feature",
	}, name)
}

// foreignTLS refuses to take away an identity or a plain address that others use.
func foreignTLS(f Facts, theirs object, words []string, tlsDir string) error {
	plain, _ := flagValues(words, "-H", "--host")
	if hosts, ok := theirs.get("hosts"); ok {
		plain = append(plain, strings.FieldsFunc(string(hosts), func(r rune) bool { return strings.ContainsRune("[]\", \n\t", r) })...)
	}
	_, secured := theirs.get("tlscacert")
	_, onLine := flagValues(words, "--tlscacert")
	for _, h := range plain {
		if strings.HasPrefix(h, "tcp://") && !secured && !onLine {
			return refuse(ErrConfig, configAdvice, "the engine serves %s without TLS, and its clients would be refused with it", h)
		}
	}
	if (secured || onLine) && f.Record == nil && f.OurOptions == nil && len(f.TLSHashes) > 0 {
		if value, _ := theirs.get("tlscacert"); bytes.Contains(value, []byte(tlsDir+"/ca.pem")) || onLine {
			return refuse(ErrConfig, configAdvice, "the engine has TLS files of another authority in %s", tlsDir)
		}
	}
	return nil
}

var errTLS = errors.New("TLS material is incomplete")
