package vmwarevsphere

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Config is what a user can choose.
type Config struct {
	VCenter    string         `option:"vcenter" env:"VSPHERE_VCENTER" required:"true" help:"vCenter or ESXi host: a name, an address or a URL such as https://vcenter.example.com/sdk"`
	Port       int            `option:"vcenter-port" env:"VSPHERE_VCENTER_PORT" help:"port of the vCenter" min:"1" max:"65535"`
	Username   string         `option:"username" env:"VSPHERE_USERNAME" help:"user to log in as, such as machine@vsphere.local"`
	Password   drivers.Secret `option:"password" help:"password of the user (default: VSPHERE_PASSWORD of each command's environment, which is not stored)"`
	Thumbprint string         `option:"thumbprint" env:"VSPHERE_THUMBPRINT" help:"SHA-256 or SHA-1 fingerprint that the vCenter's certificate must have, as hex with or without colons"`
	CAFile     string         `option:"ca-file" env:"VSPHERE_CA_FILE" help:"PEM file with the authorities that the vCenter's certificate may be signed by (default: the system's)"`
	Insecure   bool           `option:"insecure" env:"VSPHERE_INSECURE" help:"accept any certificate of the vCenter, also an attacker's"`

	CreationType   string `option:"creation-type" env:"VSPHERE_CREATION_TYPE" help:"where the machine comes from (default: what the other options say)" oneof:"template,vm,library,ova,legacy"`
	CloneFrom      string `option:"clone-from" env:"VSPHERE_CLONE_FROM" help:"template or virtual machine to clone, by name or inventory path; with a content library the name of the item"`
	LinkedClone    bool   `option:"linked-clone" env:"VSPHERE_LINKED_CLONE" help:"clone by reference to the source's current snapshot instead of copying its disks"`
	ContentLibrary string `option:"content-library" env:"VSPHERE_CONTENT_LIBRARY" help:"content library that has the item --vmwarevsphere-clone-from"`
	OVA            string `option:"ova" env:"VSPHERE_OVA" help:"OVA or OVF to deploy, a file or an http(s) URL"`
	ISO            string `option:"boot2docker-url" env:"VSPHERE_BOOT2DOCKER_URL" help:"ISO to boot a new virtual machine from, a file, a file:// or http(s) URL"`

	CPUs     int `option:"cpu-count" env:"VSPHERE_CPU_COUNT" help:"number of virtual processors" min:"1"`
	Memory   int `option:"memory-size" env:"VSPHERE_MEMORY_SIZE" help:"memory in MiB" min:"4"`
	DiskSize int `option:"disk-size" env:"VSPHERE_DISK_SIZE" help:"size of the first disk in MiB; a larger one is kept" min:"1"`

	Datacenter       string   `option:"datacenter" env:"VSPHERE_DATACENTER" help:"datacenter (default: the only one)"`
	Cluster          string   `option:"cluster" env:"VSPHERE_CLUSTER" help:"cluster, or host that is in none, whose root resource pool is used"`
	HostSystem       string   `option:"hostsystem" env:"VSPHERE_HOSTSYSTEM" help:"host to run on, or cluster; not needed with DRS"`
	Pool             string   `option:"pool" env:"VSPHERE_POOL" help:"resource pool (default: the root of the cluster or host)"`
	Folder           string   `option:"folder" env:"VSPHERE_FOLDER" help:"folder for the virtual machine, which exists (default: the root)"`
	Datastore        string   `option:"datastore" env:"VSPHERE_DATASTORE" help:"datastore (default: for a clone that of its source, else the only one)"`
	DatastoreCluster string   `option:"datastore-cluster" env:"VSPHERE_DATASTORE_CLUSTER" help:"datastore cluster, in which storage DRS recommends a datastore"`
	StoragePolicy    string   `option:"storage-policy" env:"VSPHERE_STORAGE_POLICY" help:"storage policy of the virtual machine and its disks, by name or id"`
	Networks         []string `option:"network" env:"VSPHERE_NETWORK" help:"network of an adapter, in the order of the adapters (default: those of the source; without one VM Network)"`

	IP            []string `option:"ip" env:"VSPHERE_IP" help:"address of the first adapter with its prefix, such as 192.0.2.10/24, or NETWORK=192.0.2.10/24 for the adapter on one (default: DHCP)"`
	Gateway       []string `option:"gateway" env:"VSPHERE_GATEWAY" help:"default gateway, with --vmwarevsphere-ip; one of each family"`
	DNS           []string `option:"dns" env:"VSPHERE_DNS" help:"name server, with --vmwarevsphere-ip"`
	ClientNetwork string   `option:"client-network" env:"VSPHERE_CLIENT_NETWORK" help:"network that clients reach the machine on (default: the first)"`
	PeerNetwork   string   `option:"peer-network" env:"VSPHERE_PEER_NETWORK" help:"network that other machines reach it on, as in a swarm (default: the one of clients)"`
	IPv6          bool     `option:"ipv6" env:"VSPHERE_IPV6" help:"prefer IPv6 addresses"`

	CfgParams []string `option:"cfgparam" env:"VSPHERE_CFGPARAM" help:"configuration parameter KEY=VALUE, such as guestinfo.x=y"`
	CloudInit string   `option:"cloudinit" env:"VSPHERE_CLOUDINIT,VSPHERE_CLOUD_CONFIG" help:"user data for cloud-init, a file or an http(s) URL" alias:"vmwarevsphere-cloud-config"`
	Tags      []string `option:"tag" env:"VSPHERE_TAG" help:"tag to attach: name, category/name or id of an existing one; KEY=VALUE becomes configuration parameter machine.tag.KEY"`

	Attributes     []string `option:"custom-attribute" env:"VSPHERE_CUSTOM_ATTRIBUTE" help:"custom attribute KEY=VALUE; KEY is the name or number of an existing one"`
	VAppProtocol   string   `option:"vapp-ipprotocol" env:"VSPHERE_VAPP_IPPROTOCOL" help:"vApp IP protocol" oneof:"IPv4,IPv6"`
	VAppAllocation string   `option:"vapp-ipallocationpolicy" env:"VSPHERE_VAPP_IPALLOCATIONPOLICY" help:"vApp IP allocation policy" oneof:"dhcp,fixed,transient,fixedAllocated"`
	VAppTransport  string   `option:"vapp-transport" env:"VSPHERE_VAPP_TRANSPORT" help:"how vApp properties get into the machine" oneof:"iso,com.vmware.guestInfo"`
	VAppProperties []string `option:"vapp-property" env:"VSPHERE_VAPP_PROPERTY" help:"vApp property KEY=VALUE"`

	SSHUser string `option:"ssh-user" env:"VSPHERE_SSH_USER" help:"user to log in as, made by cloud-init if the image has none of the name"`
	SSHPort int    `option:"ssh-port" env:"VSPHERE_SSH_PORT" help:"port of SSH" min:"1" max:"65535"`

	Grace         int `option:"graceful-shutdown-timeout" env:"VSPHERE_GRACEFUL_SHUTDOWN_TIMEOUT" help:"seconds that a shutdown may take before the power is cut; 0 cuts it at once" min:"0"`
	DeployTimeout int `option:"deploy-timeout" env:"VSPHERE_DEPLOY_TIMEOUT" help:"seconds that a clone or an upload may take" min:"1"`
	ToolsTimeout  int `option:"tools-timeout" env:"VSPHERE_TOOLS_TIMEOUT" help:"seconds until VMware Tools must have told an address; 0 does not wait" min:"0"`
}

func defaults() Config {
	return Config{
		Port: 443, CPUs: 2, Memory: 2048, DiskSize: 20480,
		SSHUser: "docker", SSHPort: 22,
		Grace: 90, DeployTimeout: 1800, ToolsTimeout: 600,
	}
}

// What a machine is made from.
type origin string

const (
	fromClone   origin = "clone"
	fromLibrary origin = "library"
	fromOVA     origin = "ova"
	fromISO     origin = "iso"
)

var (
	fingerprint = regexp.MustCompile(`^([0-9A-Fa-f]{2}:?){19}([0-9A-Fa-f]{2}:?){12}?[0-9A-Fa-f]{2}$`)
	errNoOrigin = errors.New("nothing says what the machine is made from")
)

const adviceOrigin = "name a template or virtual machine with --vmwarevsphere-clone-from, an item of a content library with --vmwarevsphere-content-library and --vmwarevsphere-clone-from, " +
	"an OVA with --vmwarevsphere-ova, or an ISO with --vmwarevsphere-boot2docker-url"

// origin returns what a machine is made from.
func (c Config) origin() (origin, error) {
	bad := func(option, text string) (origin, error) {
		return "", &drivers.OptionError{Option: Name + "-" + option, Err: errors.New(text), Advice: adviceOrigin}
	}
	kind := c.CreationType
	if kind == "" {
		switch {
		case c.ContentLibrary != "":
			kind = "library"
		case c.CloneFrom != "":
			kind = "template"
		case c.OVA != "":
			kind = "ova"
		case c.ISO != "":
			kind = "legacy"
		default:
			return "", &drivers.OptionError{Option: Name + "-clone-from", Err: errNoOrigin, Advice: adviceOrigin}
		}
	}
	switch {
	case (kind == "template" || kind == "vm") && c.CloneFrom == "":
		return bad("clone-from", "is needed to clone")
	case kind == "library" && c.ContentLibrary == "":
		return bad("content-library", "is needed to deploy an item of one")
	case kind == "library" && c.CloneFrom == "":
		return bad("clone-from", "is needed to say which item of the content library")
	case kind == "ova" && c.OVA == "":
		return bad("ova", "is needed to deploy one")
	case kind == "legacy" && c.ISO == "":
		return bad("boot2docker-url", "is needed to boot from an ISO; there is no default, as boot2docker is not maintained")
	}
	switch kind {
	case "library":
		return fromLibrary, nil
	case "ova":
		return fromOVA, nil
	case "legacy":
		return fromISO, nil
	}
	return fromClone, nil
}

// Validate returns the options that cannot be accepted.
func (c Config) Validate() error {
	var errs []error
	refuse := func(option string, err error, advice string) {
		if err != nil {
			errs = append(errs, &drivers.OptionError{Option: Name + "-" + option, Err: err, Advice: advice})
		}
	}
	_, err := c.endpoint()
	refuse("vcenter", err, "such as vcenter.example.com or https://vcenter.example.com/sdk")
	if _, err := c.origin(); err != nil {
		errs = append(errs, err)
	}
	if c.Thumbprint != "" && !fingerprint.MatchString(c.Thumbprint) {
		refuse("thumbprint", errors.New("is no SHA-256 or SHA-1 fingerprint"), "openssl s_client -connect VCENTER:443 </dev/null | openssl x509 -noout -fingerprint -sha256")
	}
	if c.Insecure && (c.Thumbprint != "" || c.CAFile != "") {
		refuse("insecure", errors.New("contradicts a thumbprint or a CA file"), "")
	}
	if c.Datastore != "" && c.DatastoreCluster != "" {
		refuse("datastore-cluster", errors.New("and a datastore cannot both be chosen"), "")
	}
	if from, err := c.origin(); c.LinkedClone && err == nil && from != fromClone {
		refuse("linked-clone", errors.New("is about clones"), "")
	}
	c.validateAddress(refuse)
	for option, pairs := range map[string][]string{"cfgparam": c.CfgParams, "custom-attribute": c.Attributes, "vapp-property": c.VAppProperties} {
		for _, p := range pairs {
			if key, _, ok := strings.Cut(p, "="); !ok || key == "" {
				refuse(option, fmt.Errorf("%q is not KEY=VALUE", p), "")
			} else if option == "cfgparam" && strings.HasPrefix(strings.ToLower(key), markPrefix) {
				refuse(option, fmt.Errorf("%s: names that begin with %s are taken", key, markPrefix), "")
			} else if option == "cfgparam" && isGuestData(key) {
				refuse(option, fmt.Errorf("%s is taken by what the machine itself needs", key), "user data of your own goes into --vmwarevsphere-cloudinit, and is merged")
			}
		}
	}
	for _, t := range c.Tags {
		key, _, pair := strings.Cut(t, "=")
		switch {
		case key == "":
			refuse("tag", fmt.Errorf("%q has no name", t), "")
		case pair && strings.HasPrefix(key, "machine-"):
			refuse("tag", fmt.Errorf("%s: names that begin with machine- are taken", key), "")
		}
	}
	return errors.Join(errs...)
}
