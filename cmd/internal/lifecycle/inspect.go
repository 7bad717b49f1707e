package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Inspect returns a machine as docker-machine's inspect shows it, with what is ours besides. Paths
// are absolute here and nowhere in the record. A driver that does not exist keeps nobody from looking at a record.
func (m *Manager) Inspect(ctx context.Context, name string) (json.RawMessage, error) {
	rec, err := m.Store.Get(name)
	if err != nil {
		return nil, err
	}
	x := &machine{m: m, rec: rec}
	if err := x.open(); errors.Is(err, drivers.ErrUnknown) {
		m.Log.Info("no driver to ask; showing the record", "machine", name, "err", err)
	} else if err != nil {
		return nil, err
	} else if st, err := x.drv.Status(ctx); err == nil && st.Host != "" {
		x.rec.Address = x.address(st)
	} else if err != nil {
		m.Log.Info("provider did not tell the state; showing the record", "machine", name, "err", err)
	}
	driver, err := x.driverShown(rec.Driver)
	if err != nil {
		return nil, fmt.Errorf("inspect %q: configuration of the driver: %w", name, err)
	}
	host, err := x.hostShown()
	if err != nil {
		return nil, fmt.Errorf("inspect %q: %w", name, err)
	}
	return json.Marshal(map[string]any{
		"ConfigVersion": x.rec.ConfigVersion,
		"Driver":        driver,
		"DriverName":    x.rec.DriverName,
		"DriverState":   x.rec.DriverState,
		"HostOptions":   host,
		"Name":          x.rec.Name,
		"Phase":         x.rec.Phase,
		"Problem":       x.rec.Problem,
		"Created":       x.rec.Created,
		"Address":       x.rec.Address,
		"HostKey":       x.rec.SSH.HostKey,
		"Installed":     x.rec.Installed,
		"SwarmMode":     x.rec.Swarm, // not Swarm: clients that put inspect over a row of ls lost the row's column of that name
	})
}

// driverShown is the driver's configuration, by our names and by docker-machine's; where one name means two things,
// docker-machine's. stored is what the record had before the driver took it over: if docker-machine
// wrote it, all of it is shown but its secrets.
func (x *machine) driverShown(stored json.RawMessage) (map[string]any, error) {
	shown, err := objectOf(x.rec.Driver)
	if err != nil {
		return nil, err
	}
	if c, ok := x.drv.(drivers.Classic); ok {
		classic, err := objectOf(c.Classic())
		if err != nil {
			return nil, err
		}
		maps.Copy(shown, classic)
	}
	old, err := objectOf(stored)
	if err != nil {
		return nil, err
	}
	swarm := x.rec.HostOptions.SwarmOptions
	maps.Copy(shown, map[string]any{"SwarmMaster": swarm.Master, "SwarmHost": swarm.Host, "SwarmDiscovery": swarm.Discovery})
	if name, _ := old["MachineName"].(string); name != "" {
		hideSecrets(old)
		maps.Copy(shown, old)
	}
	maps.Copy(shown, map[string]any{
		"IPAddress": x.rec.Address.Host, "MachineName": x.rec.Name,
		"SSHUser": x.rec.Address.User, "SSHPort": x.rec.Address.SSHPort,
		"StorePath": x.m.Store.Root(),
	})
	if _, ok := x.drv.(drivers.Unmanaged); ok { // nobody logs in there
		shown["SSHUser"], shown["SSHPort"] = "", 0
	}
	switch _, told := old["SSHKeyPath"]; {
	case x.rec.SSH.Key != "":
		shown["SSHKeyPath"] = x.path(x.rec.SSH.Key)
	case !told:
		shown["SSHKeyPath"] = ""
	}
	maps.DeleteFunc(shown, func(key string, _ any) bool { return strings.HasPrefix(key, "machine:") }) // a plugin's, of ours
	if x.rec.Address.Peer != "" {
		shown["PrivateIPAddress"] = x.rec.Address.Peer // as docker-machine's drivers of clouds called it
	}
	return shown, nil
}

// secretField matches the names under which docker-machine's drivers, ours and those that are programs of their own, recorded
// secrets. What is the path of one, or its id, is none.
var secretField = regexp.MustCompile(`(?i)(password|passwd|passphrase|secret|secret_?key|token|api_?key|access_?key|private_?key|consumer_?key|credentials?|auth)$`)

// hideSecrets empties the texts of a record that are secrets. They stay there, and texts: a template or a client that reads
// one gets what docker-machine recorded where the environment had the secret, and takes it for none.
func hideSecrets(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if _, ok := value.(string); ok && secretField.MatchString(name) {
				v[name] = ""
				continue
			}
			hideSecrets(value)
		}
	case []any:
		for _, e := range v {
			hideSecrets(e)
		}
	}
}

// classicShown is o with what docker-machine recorded where nothing was asked for.
func classicShown(o SwarmOptions) SwarmOptions {
	o.Host, o.Image, o.Strategy = cmp.Or(o.Host, classicHost), cmp.Or(o.Image, classicImage), cmp.Or(o.Strategy, classicStrategy)
	return o
}

// hostShown is HostOptions with all that docker-machine had there. What it always wrote as a list is never null.
func (x *machine) hostShown() (map[string]any, error) {
	options := x.rec.HostOptions
	options.SwarmOptions = classicShown(options.SwarmOptions)
	host, err := objectOf(options)
	if err != nil {
		return nil, err
	}
	part := func(name string, lists []string, more map[string]any) {
		p, ok := host[name].(map[string]any)
		if !ok {
			p = map[string]any{}
			host[name] = p
		}
		for _, list := range lists {
			if p[list] == nil {
				p[list] = []string{}
			}
		}
		maps.Copy(p, more)
	}
	maps.Copy(host, map[string]any{"Driver": "", "Memory": 0, "Disk": 0})
	part("EngineOptions", []string{"ArbitraryFlags", "Env", "InsecureRegistry", "Labels", "RegistryMirror"}, map[string]any{
		"Dns": nil, "GraphDir": "", "Ipv6": false, "LogLevel": "", "SelinuxEnabled": false,
	})
	part("SwarmOptions", []string{"ArbitraryFlags", "ArbitraryJoinFlags"}, map[string]any{
		"Heartbeat": 0, "Overcommit": 0, "Env": nil,
	})
	certsDir := x.m.Store.CertsDir()
	clientDir := x.m.Store.MachineDir(x.rec.Name)
	if _, ok := x.drv.(drivers.Unmanaged); ok {
		clientDir = x.credentials() // GitLab Runner takes ca.pem, cert.pem and key.pem from there
	}
	part("AuthOptions", []string{"ServerCertSANs"}, map[string]any{
		"CertDir": certsDir, "CaCertPath": filepath.Join(certsDir, caFile), "CaPrivateKeyPath": filepath.Join(certsDir, caKeyFile),
		"ClientCertPath": filepath.Join(certsDir, certFile), "ClientKeyPath": filepath.Join(certsDir, keyFile),
		"ServerCertPath": x.path(serverFile), "ServerKeyPath": x.path(serverKeyFile),
		"CaCertRemotePath": "", "ServerCertRemotePath": "", "ServerKeyRemotePath": "",
		"StorePath": clientDir,
	})
	return host, nil
}

// objectOf is a value as a JSON object; nothing is an empty one.
func objectOf(v any) (map[string]any, error) {
	data, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	object := map[string]any{}
	if len(data) == 0 {
		return object, nil
	}
	err := json.Unmarshal(data, &object)
	return object, err
}
