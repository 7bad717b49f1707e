package lifecycle

import (
	"cmp"

	"github.com/hostsmith/machine/store"
)

// createFlags are the options of create that all drivers have, as docker-machine gave them to its drivers: with its
// defaults, lists only if they were given.
func createFlags(rec store.Record) map[string]any {
	e, s := rec.HostOptions.EngineOptions, rec.HostOptions.SwarmOptions
	flags := map[string]any{
		"driver":                rec.DriverName,
		"engine-install-url":    cmp.Or(e.InstallURL, "https://get.docker.com"),
		"engine-storage-driver": e.StorageDriver,
		"swarm":                 s.Agent || s.IsSwarm && !s.Master,
		"swarm-addr":            s.Address,
		"swarm-discovery":       s.Discovery,
		"swarm-experimental":    s.IsExperimental,
		"swarm-host":            cmp.Or(s.Host, "tcp://0.0.0.0:3376"),
		"swarm-image":           cmp.Or(s.Image, "swarm:latest"),
		"swarm-master":          s.Master,
		"swarm-strategy":        cmp.Or(s.Strategy, "spread"),
	}
	for name, list := range map[string][]string{
		"engine-env":               e.Env,
		"engine-insecure-registry": e.InsecureRegistry,
		"engine-label":             e.Labels,
		"engine-opt":               e.ArbitraryFlags,
		"engine-registry-mirror":   e.RegistryMirror,
		"swarm-join-opt":           s.ArbitraryJoinFlags,
		"swarm-opt":                s.ArbitraryFlags,
		"tls-san":                  rec.HostOptions.AuthOptions.ServerCertSANs,
	} {
		if len(list) > 0 {
			flags[name] = list
		}
	}
	return flags
}
