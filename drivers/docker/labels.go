package docker

// Labels of what the driver makes.
const (
	labelPrefix  = "com.github.hostsmith.machine."
	labelStore   = labelPrefix + "store"   // id of the store
	labelMachine = labelPrefix + "name"    // name of the machine
	labelCreator = labelPrefix + "creator" // version of the program
	labelNetwork = labelPrefix + "network" // name of the network
	labelAddress = labelPrefix + "address" // fixed address on it, with the length of the prefix
	labelRights  = labelPrefix + "rights"  // what the container may do
	labelNode    = labelPrefix + "node"    // of images: suite and flavour
)

// labels returns the labels of something that belongs to the machine alone.
func (d *driver) labels() map[string]string {
	return map[string]string{
		labelStore:   d.env.StoreID,
		labelMachine: d.env.Machine,
		labelCreator: d.env.Creator,
	}
}

// owns tells whether labels are those of this machine.
func (d *driver) owns(labels map[string]string) bool {
	return labels[labelStore] == d.env.StoreID && labels[labelMachine] == d.env.Machine
}
