package generic

import "cmp"

// classic is a machine as docker-machine's driver of the same name recorded it.
type classic struct {
	EnginePort int
	SSHKey     string
}

const enginePort = 2376 // where docker-machine's engines listened if nothing else was said

// Classic implements drivers.Classic.
func (d *driver) Classic() any {
	return classic{EnginePort: cmp.Or(d.config.EnginePort, enginePort), SSHKey: d.config.SSHKey}
}
