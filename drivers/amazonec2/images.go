package amazonec2

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/hostsmith/machine/drivers"
)

// Architectures, as EC2 calls them.
const (
	amd64 = "x86_64"
	arm64 = "arm64"
)

// source says where an image is found: by a public parameter that names the
// newest one, else by its owner and name. ARCH in them is the architecture as
// the publisher calls it.
type source struct {
	parameter string
	owner     string
	name      string
	amd64     string // the publisher's word for it
	user      string // the image's login user; empty: told by its name
}

// catalogue is the images that have an alias.
func catalogue() map[string]source {
	const canonical, debian, amazon = "099720109477", "136693071363", "137112412989"
	return map[string]source{
		"ubuntu-24.04": {"/aws/service/canonical/ubuntu/server/24.04/stable/current/ARCH/hvm/ebs-gp3/ami-id",
			canonical, "ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-ARCH-server-*", "amd64", "ubuntu"},
		"ubuntu-22.04": {"/aws/service/canonical/ubuntu/server/22.04/stable/current/ARCH/hvm/ebs-gp2/ami-id",
			canonical, "ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-ARCH-server-*", "amd64", "ubuntu"},
		"debian-13": {"/aws/service/debian/release/13/latest/ARCH", debian, "debian-13-ARCH-*", "amd64", "admin"},
		"debian-12": {"/aws/service/debian/release/12/latest/ARCH", debian, "debian-12-ARCH-*", "amd64", "admin"},
		"al2023": {"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-ARCH",
			amazon, "al2023-ami-2023.*-ARCH", "x86_64", "ec2-user"},
	}
}

func aliases() []string {
	var all []string
	for alias := range catalogue() {
		all = append(all, alias)
	}
	slices.Sort(all)
	return all
}

// sourceOf reads --amazonec2-image.
func sourceOf(s string) (source, error) {
	if strings.HasPrefix(s, "/") {
		return source{parameter: s}, nil
	}
	if found, ok := catalogue()[s]; ok {
		return found, nil
	}
	if strings.HasPrefix(s, "ami-") {
		return source{}, fmt.Errorf("%q is an id, which --amazonec2-ami takes", s)
	}
	return source{}, fmt.Errorf("%q is no alias of an image", s)
}

// in returns s for an architecture.
func (s source) in(arch string) source {
	word := arch
	if arch == amd64 && s.amd64 != "" {
		word = s.amd64
	}
	s.parameter = strings.ReplaceAll(s.parameter, "ARCH", word)
	s.name = strings.ReplaceAll(s.name, "ARCH", word)
	return s
}

// image is what an instance boots from.
type image struct {
	id, name string
	arch     string
	root     string // name of the root device
	size     int    // of the root volume in GiB, at least
	user     string // login user
}

// image returns the image for an architecture, by what the user chose.
func (a *account) image(ctx context.Context, c Config, arch string) (image, error) {
	key := fmt.Sprintf("%q %q %q %q %s", c.AMI, c.ImageOwner, c.ImageName, c.Image, arch)
	return a.images.Get(ctx, key, func(ctx context.Context) (image, error) {
		switch {
		case c.AMI != "":
			return a.imageByID(ctx, c.AMI, "")
		case c.ImageName != "":
			return a.imageByName(ctx, source{owner: c.ImageOwner, name: c.ImageName}, arch)
		}
		s, err := sourceOf(c.Image)
		if err != nil {
			return image{}, &drivers.OptionError{Option: Name + "-image", Err: err}
		}
		return a.imageOf(ctx, s.in(arch), arch)
	})
}

// imageOf finds an image by its parameter, or by its name where the parameter
// cannot be had: a cloud may only speak like EC2, and a policy may not allow it.
func (a *account) imageOf(ctx context.Context, s source, arch string) (image, error) {
	id, err := a.parameter(ctx, s)
	if err == nil {
		return a.imageByID(ctx, id, s.user)
	}
	if s.name == "" || context.Cause(ctx) != nil {
		return image{}, fmt.Errorf("find image %s: %w", s.parameter, err)
	}
	found, byName := a.imageByName(ctx, s, arch)
	if errors.Is(byName, errMissing) {
		return image{}, &drivers.HintError{
			Err:    fmt.Errorf("find image: %w; %w", err, byName),
			Advice: "name an image that is there: --" + Name + "-ami, another --" + Name + "-image, or --" + Name + "-image-owner with --" + Name + "-image-name",
		}
	}
	if byName != nil {
		return image{}, fmt.Errorf("find image: %w; %w", byName, err)
	}
	return found, nil
}

// parameter returns the image's id that a parameter holds. Where there is
// another way to find the image, it is not asked for with much patience.
func (a *account) parameter(ctx context.Context, s source) (string, error) {
	patience := func(o *ssm.Options) {
		if s.name != "" {
			o.RetryMaxAttempts = 2
		}
	}
	out, err := a.getParameter(ctx, &ssm.GetParameterInput{Name: aws.String(s.parameter)}, patience)
	if err != nil {
		return "", fault(ctx, err)
	}
	if out.Parameter == nil || aws.ToString(out.Parameter.Value) == "" {
		return "", errors.New("GetParameter: empty answer")
	}
	return aws.ToString(out.Parameter.Value), nil
}

func (a *account) imageByID(ctx context.Context, id, user string) (image, error) {
	out, err := do(ctx, a.describeImages, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err == nil && len(out.Images) == 0 {
		err = fmt.Errorf("%w in %s", errMissing, a.region)
	}
	if says(err, "InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable") || errors.Is(err, errMissing) {
		err = &drivers.HintError{Err: err, Advice: "an image belongs to a region, and may be another account's alone: aws ec2 describe-images --region " + a.region}
	}
	if err != nil {
		return image{}, fmt.Errorf("find image %s: %w", id, err)
	}
	return imageFrom(out.Images[0], user)
}

// imageByName returns the newest image of a name.
func (a *account) imageByName(ctx context.Context, s source, arch string) (image, error) {
	in := &ec2.DescribeImagesInput{Owners: []string{s.owner}, Filters: []types.Filter{
		filter("name", s.name), filter("architecture", arch),
	}}
	var newest types.Image
	for {
		out, err := do(ctx, a.describeImages, in)
		if err != nil {
			return image{}, fmt.Errorf("find image %s of %s: %w", s.name, s.owner, err)
		}
		for _, i := range out.Images {
			usable := i.ImageId != nil && i.RootDeviceType != types.DeviceTypeInstanceStore && (i.State == "" || i.State == types.ImageStateAvailable)
			if usable && aws.ToString(i.CreationDate) >= aws.ToString(newest.CreationDate) {
				newest = i
			}
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	if newest.ImageId == nil {
		return image{}, &drivers.HintError{
			Err:    fmt.Errorf("find image %s of %s for %s: %w in %s", s.name, s.owner, arch, errMissing, a.region),
			Advice: "aws ec2 describe-images --owners " + s.owner + " --region " + a.region + " lists what is there",
		}
	}
	return imageFrom(newest, s.user)
}

func imageFrom(i types.Image, user string) (image, error) {
	found := image{
		id: aws.ToString(i.ImageId), name: aws.ToString(i.Name), arch: string(i.Architecture),
		root: aws.ToString(i.RootDeviceName), user: user,
	}
	if i.RootDeviceType == types.DeviceTypeInstanceStore {
		return image{}, fmt.Errorf("image %s (%s): %w: its root device is no EBS volume", found.id, found.name, drivers.ErrUnsupported)
	}
	for _, m := range i.BlockDeviceMappings {
		if found.root == "" && m.Ebs != nil { // the root comes first
			found.root = aws.ToString(m.DeviceName)
		}
		if aws.ToString(m.DeviceName) == found.root && m.Ebs != nil {
			found.size = int(aws.ToInt32(m.Ebs.VolumeSize))
		}
	}
	if found.user == "" {
		found.user = userOf(found.name)
	}
	return found, nil
}

// userOf guesses the login user of an image by its name. A wrong guess does no
// harm: the user is made.
func userOf(name string) string {
	name = strings.ToLower(name)
	for _, known := range [][2]string{{"ubuntu", "ubuntu"}, {"debian", "admin"}, {"al2023", "ec2-user"}, {"amzn", "ec2-user"}, {"rhel", "ec2-user"}, {"almalinux", "ec2-user"}, {"rocky", "rocky"}, {"fedora", "fedora"}} {
		if strings.Contains(name, known[0]) {
			return known[1]
		}
	}
	return defaultUser
}

// machineType is what is known of an instance type.
type machineType struct {
	name string
	arch []string // that it runs
}

func (a *account) machineType(ctx context.Context, name string) (machineType, error) {
	return a.types.Get(ctx, name, func(ctx context.Context) (machineType, error) {
		out, err := do(ctx, a.describeTypes, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(name)}})
		if err == nil && len(out.InstanceTypes) == 0 {
			err = errMissing
		}
		if says(err, "InvalidInstanceType") {
			err = fmt.Errorf("%w: %w", errMissing, err)
		}
		if errors.Is(err, errMissing) {
			return machineType{}, &drivers.OptionError{
				Option: Name + "-instance-type", Err: fmt.Errorf("%s in %s: %w", name, a.region, err),
				Advice: "aws ec2 describe-instance-types --region " + a.region + " lists them",
			}
		}
		if dispensable(err) {
			return machineType{name: name, arch: []string{archByName(name)}}, nil
		}
		if err != nil {
			return machineType{}, fmt.Errorf("find instance type %s: %w", name, err)
		}
		t := machineType{name: name}
		if p := out.InstanceTypes[0].ProcessorInfo; p != nil {
			for _, arch := range p.SupportedArchitectures {
				t.arch = append(t.arch, string(arch))
			}
		}
		if len(t.arch) == 0 {
			t.arch = []string{archByName(name)}
		}
		return t, nil
	})
}

// gravitons are the types with Arm processors: a1, and those whose name has a g
// after the generation, such as t4g, m7gd, im4gn, c6gn and g5g:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-type-names.html
var gravitons = regexp.MustCompile(`^(a1|[a-z]+[0-9]+[a-z]*g[a-z]*(-[a-z0-9]+)*)\.`)

// archByName tells the architecture of a type by its name.
func archByName(name string) string {
	if gravitons.MatchString(name) {
		return arm64
	}
	return amd64
}

// imageFor returns the image for an instance type.
func (a *account) imageFor(ctx context.Context, c Config, t machineType) (image, error) {
	arch := amd64
	if !slices.Contains(t.arch, amd64) && slices.Contains(t.arch, arm64) {
		arch = arm64
	}
	i, err := a.image(ctx, c, arch)
	if err != nil {
		return i, err
	}
	if len(t.arch) > 0 && i.arch != "" && !slices.Contains(t.arch, i.arch) {
		return i, &drivers.OptionError{
			Option: Name + "-instance-type",
			Err:    fmt.Errorf("%s runs %s, and image %s (%s) is for %s", t.name, strings.Join(t.arch, ", "), i.id, i.name, i.arch),
			Advice: "choose a type or an image of the other's architecture",
		}
	}
	return i, nil
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}
