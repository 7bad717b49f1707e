package amazonec2

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/caller"
)

// Config is what a user can choose.
type Config struct {
	AccessKey    drivers.Secret `option:"access-key" help:"access key id (default: the AWS SDK's chain of environment, profiles, SSO and roles)"`
	SecretKey    drivers.Secret `option:"secret-key" help:"secret access key"`
	SessionToken drivers.Secret `option:"session-token" help:"session token of temporary credentials"`
	Profile      string         `option:"profile" help:"profile of ~/.aws/config and ~/.aws/credentials"`
	Region       string         `option:"region" env:"AWS_DEFAULT_REGION,AWS_REGION" help:"region (default: the profile's, else us-east-1)"`
	Endpoint     string         `option:"endpoint" env:"AWS_ENDPOINT" help:"URL of the API, for VPC endpoints and clouds that speak it (default: the region's)"`
	Insecure     bool           `option:"insecure-transport" env:"AWS_INSECURE_TRANSPORT" help:"speak to the API without TLS"`
	Retries      int            `option:"retries" help:"how often a failed request is tried again; -1 for never" min:"-1" max:"100"`

	Image      string `option:"image" env:"MACHINE_AMAZONEC2_IMAGE" help:"image by alias (ubuntu-24.04, ubuntu-22.04, debian-13, debian-12, al2023) or by the path of a public SSM parameter"`
	AMI        string `option:"ami" env:"AWS_AMI" help:"image by id, instead of --amazonec2-image"`
	ImageOwner string `option:"image-owner" help:"account id or alias whose newest image of --amazonec2-image-name is taken, instead of --amazonec2-image"`
	ImageName  string `option:"image-name" help:"pattern of the image's name with * and ?"`
	SSHUser    string `option:"ssh-user" env:"AWS_SSH_USER" help:"login user (default: the image's)"`
	SSHPort    int    `option:"ssh-port" env:"AWS_SSH_PORT" help:"port of SSH" min:"1" max:"65535"`
	KeyPath    string `option:"ssh-keypath" env:"AWS_SSH_KEYPATH" help:"private key of your own to log in with; its public half is read from the file with .pub unless --amazonec2-keypair-name says that EC2 has it (default: a new key)"`
	KeyPair    string `option:"keypair-name" env:"AWS_KEYPAIR_NAME" help:"key pair that exists at EC2; goes with --amazonec2-ssh-keypath"`
	UserData   string `option:"userdata" env:"AWS_USERDATA" help:"file with cloud-init user data of your own"`

	Types          []string `option:"instance-type" env:"AWS_INSTANCE_TYPE" help:"instance type; of several, also comma-separated, the first that can be had"`
	CPUCores       int      `option:"cpu-cores" help:"cores that the instance uses, where its type leaves a choice" min:"0"`
	ThreadsPerCore int      `option:"threads-per-core" help:"threads per core, 1 or 2, where the type leaves a choice" min:"0" max:"2"`
	CPUCredits     string   `option:"cpu-credits" help:"what burstable types do when their credits are used up (default: the account's setting)" oneof:"standard,unlimited"`
	EBSOptimized   bool     `option:"use-ebs-optimized-instance" help:"throughput for EBS of its own, on old types where it costs extra"`
	Monitoring     bool     `option:"monitoring" help:"detailed monitoring, at a price"`
	IAMProfile     string   `option:"iam-instance-profile" env:"AWS_INSTANCE_PROFILE" help:"name or ARN of the IAM instance profile"`

	DeviceName string `option:"device-name" env:"AWS_DEVICE_NAME" help:"name of the root device (default: the image's)"`
	RootSize   int    `option:"root-size" env:"AWS_ROOT_SIZE" help:"size of the root volume in GiB" min:"1" max:"65536"`
	VolumeType string `option:"volume-type" env:"AWS_VOLUME_TYPE" help:"type of the root volume"`
	VolumeIOPS int    `option:"volume-iops" help:"I/O operations per second of the root volume (default: the volume type's)" min:"0"`
	Throughput int    `option:"volume-throughput" help:"MiB per second of a gp3 root volume (default: the volume type's)" min:"0"`
	KMSKey     string `option:"kms-key" help:"key that the root volume is encrypted with (default: the account's for EBS)"`

	VPC           string   `option:"vpc-id" env:"AWS_VPC_ID" help:"VPC (default: the region's default VPC)"`
	Subnets       []string `option:"subnet-id" env:"AWS_SUBNET_ID" help:"subnet; of several the first with room and capacity (default: of the VPC)"`
	Zones         []string `option:"zone" env:"AWS_ZONE" help:"availability zone, whole or its letter; of several the first with capacity (default: any)"`
	Groups        []string `option:"security-group" env:"AWS_SECURITY_GROUP" help:"security group by name or id, made if there is none of the name; an existing one is not changed (default: one of the store's own)"`
	GroupReadOnly bool     `option:"security-group-readonly" env:"AWS_SECURITY_GROUP_READONLY" help:"make and change no security group"`
	Allow         []string `option:"allow" env:"MACHINE_AMAZONEC2_ALLOW" help:"CIDR that SSH and the engine admit (default: this computer's address)"`
	OpenPorts     []string `option:"open-port" help:"PORT[/PROTOCOL] that everybody may reach"`
	PrivateOnly   bool     `option:"private-address-only" help:"no public address"`
	UsePrivate    bool     `option:"use-private-address" help:"speak to the machine at its private address"`
	IPv6          bool     `option:"ipv6" help:"an IPv6 address besides"`
	ElasticIP     string   `option:"elastic-ip" help:"elastic IP that stays over stop and start: new, or one that exists by address or allocation id"`

	PlacementGroup string `option:"placement-group" help:"placement group"`
	Tenancy        string `option:"tenancy" help:"tenancy (default: the VPC's)" oneof:"default,dedicated,host"`
	HostID         string `option:"host-id" help:"dedicated host to run on"`
	Reservation    string `option:"capacity-reservation" help:"capacity reservation: its id, the ARN of a group, open or none"`

	Spot             bool   `option:"request-spot-instance" help:"a spot instance"`
	SpotPrice        string `option:"spot-price" help:"most to pay for it per hour, in dollars (default: the on-demand price)"`
	SpotFallback     bool   `option:"spot-fallback" help:"an on-demand instance if no spot instance can be had"`
	SpotInterruption string `option:"spot-interruption" help:"what an interruption does; with stop and hibernate it comes back when there is capacity" oneof:"terminate,stop,hibernate"`
	BlockDuration    int    `option:"block-duration-minutes" help:"spot block, which EC2 does not sell any more" min:"0"`

	TagList string   `option:"tags" env:"AWS_TAGS" help:"tags for all that is made: KEY1,VALUE1,KEY2,VALUE2"`
	Tags    []string `option:"tag" help:"tag for all that is made: KEY=VALUE; may be repeated"`
}

const (
	defaultImage = "ubuntu-24.04"
	defaultUser  = "ubuntu"
	newAddress   = "new"
	sshPort      = 22
)

func defaults() Config {
	return Config{
		Image: defaultImage, Types: []string{"t3.micro"}, RootSize: 16, VolumeType: "gp3",
		SSHPort: sshPort, Retries: 5, SpotInterruption: "terminate",
	}
}

var (
	spotPrice    = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	placeName    = regexp.MustCompile(`^[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*$`) // of regions and zones, other clouds' too
	typeName     = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9-]+$`)
	allocationID = regexp.MustCompile(`^eipalloc-[0-9a-z]+$`)
)

// Validate returns the options that cannot be accepted.
func (c Config) Validate() error {
	var errs []error
	refuse := func(option string, err error, advice string) {
		if err != nil {
			errs = append(errs, &drivers.OptionError{Option: Name + "-" + option, Err: err, Advice: advice})
		}
	}
	c.validateAccount(refuse)
	c.validateImage(refuse)
	c.validateNetwork(refuse)
	c.validateSpot(refuse)
	for _, t := range split(c.Types) {
		if !typeName.MatchString(t) {
			refuse("instance-type", fmt.Errorf("%q is no instance type", t), "types look like t3.micro")
		}
	}
	if len(split(c.Types)) == 0 {
		refuse("instance-type", errors.New("is empty"), "types look like t3.micro")
	}
	if _, err := pairs(c.TagList); err != nil {
		refuse("tags", err, "such as team,web,stage,test")
	}
	for _, t := range c.Tags {
		_, _, err := pair(t)
		refuse("tag", err, "such as team=web")
	}
	return errors.Join(errs...)
}

type refusing func(option string, err error, advice string)

func (c Config) validateAccount(refuse refusing) {
	if (c.AccessKey == "") != (c.SecretKey == "") {
		option, other := "access-key", "secret-key"
		if c.AccessKey == "" {
			option, other = other, option
		}
		refuse(option, errors.New("goes with --"+Name+"-"+other), "")
	}
	if c.SessionToken != "" && c.AccessKey == "" {
		refuse("session-token", errors.New("goes with --amazonec2-access-key and --amazonec2-secret-key"), "")
	}
	if c.AccessKey != "" && c.Profile != "" {
		refuse("profile", errors.New("is one way to log in and --amazonec2-access-key another"), "give one of them")
	}
	if c.Region != "" && !placeName.MatchString(c.Region) {
		refuse("region", fmt.Errorf("%q is no region", c.Region), "regions look like eu-central-1")
	}
	if _, err := parseEndpoint(c.Endpoint, c.Insecure); err != nil {
		refuse("endpoint", err, "such as https://ec2.example.com:8443")
	}
}

func (c Config) validateImage(refuse refusing) {
	if (c.ImageOwner == "") != (c.ImageName == "") {
		option, other := "image-owner", "image-name"
		if c.ImageOwner == "" {
			option, other = other, option
		}
		refuse(option, errors.New("goes with --"+Name+"-"+other), "anybody can publish an image of any name")
	}
	if c.AMI != "" && c.ImageName != "" {
		refuse("ami", errors.New("is one way to name an image and --amazonec2-image-name another"), "give one of them")
	}
	if c.AMI == "" && c.ImageName == "" {
		_, err := sourceOf(c.Image)
		refuse("image", err, "name one of "+strings.Join(aliases(), ", ")+", or an AMI with --amazonec2-ami")
	}
	if c.KeyPair != "" && c.KeyPath == "" {
		refuse("keypair-name", errors.New("goes with --amazonec2-ssh-keypath, the private half"), "")
	}
}

func (c Config) validateNetwork(refuse refusing) {
	for _, z := range split(c.Zones) {
		if !placeName.MatchString(z) {
			refuse("zone", fmt.Errorf("%q is no availability zone", z), "give a letter such as a, or a zone such as eu-central-1a")
		}
	}
	_, err := caller.Prefixes(split(c.Allow))
	refuse("allow", err, "")
	for _, p := range split(c.OpenPorts) {
		_, err := parsePort(p)
		refuse("open-port", err, "such as 80, 443/tcp or 53/udp")
	}
	if e := c.ElasticIP; e != "" && e != newAddress && !allocationID.MatchString(e) {
		if a, err := netip.ParseAddr(e); err != nil || !a.Is4() {
			refuse("elastic-ip", fmt.Errorf("%q is none", e), "give new, an address, or an allocation id such as eipalloc-0123456789abcdef0")
		}
	}
	if c.ElasticIP != "" && c.PrivateOnly {
		refuse("elastic-ip", errors.New("is a public address, and --amazonec2-private-address-only wants none"), "")
	}
	if c.GroupReadOnly && len(split(c.Groups)) == 0 {
		refuse("security-group-readonly", errors.New("needs --amazonec2-security-group"), "name a group that exists")
	}
}

func (c Config) validateSpot(refuse refusing) {
	if c.SpotPrice != "" && !spotPrice.MatchString(c.SpotPrice) {
		refuse("spot-price", fmt.Errorf("%q is no price", c.SpotPrice), "such as 0.05")
	}
	if c.SpotFallback && !c.Spot {
		refuse("spot-fallback", errors.New("goes with --amazonec2-request-spot-instance"), "")
	}
}

// parseEndpoint returns the URL of an API; empty: none given.
func parseEndpoint(s string, insecure bool) (string, error) {
	if s == "" {
		return "", nil
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", errors.New("is no URL") // what is there may hold a password
	}
	if u.User != nil {
		return "", errors.New("holds a user, which is not for there")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("has scheme %s, not https", u.Scheme)
	}
	if insecure {
		u.Scheme = "http"
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}
