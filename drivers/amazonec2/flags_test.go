package amazonec2

import (
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// dockerMachines are the flags of docker-machine's driver: each with its
// environment variable, or - for none, and a value that scripts give it.
const dockerMachines = `
access-key                     AWS_ACCESS_KEY_ID           AKIA
secret-key                     AWS_SECRET_ACCESS_KEY       secret
session-token                  AWS_SESSION_TOKEN           token
ami                            AWS_AMI                     ami-0123456789abcdef0
region                         AWS_DEFAULT_REGION          us-east-1
vpc-id                         AWS_VPC_ID                  vpc-0123
zone                           AWS_ZONE                    a
subnet-id                      AWS_SUBNET_ID               subnet-0123
security-group-readonly        AWS_SECURITY_GROUP_READONLY true
security-group                 AWS_SECURITY_GROUP          docker-machine
open-port                      -                           8080/tcp
tags                           AWS_TAGS                    k1,v1,k2,v2
instance-type                  AWS_INSTANCE_TYPE           t2.micro
device-name                    AWS_DEVICE_NAME             /dev/sda1
root-size                      AWS_ROOT_SIZE               16
volume-type                    AWS_VOLUME_TYPE             gp2
iam-instance-profile           AWS_INSTANCE_PROFILE        role
ssh-port                       AWS_SSH_PORT                22
ssh-user                       AWS_SSH_USER                ubuntu
request-spot-instance          -                           true
spot-price                     -                           0.50
block-duration-minutes         -                           0
private-address-only           -                           true
use-private-address            -                           true
monitoring                     -                           true
use-ebs-optimized-instance     -                           true
ssh-keypath                    AWS_SSH_KEYPATH             /nonexistent/key
keypair-name                   AWS_KEYPAIR_NAME            mine
retries                        -                           5
endpoint                       AWS_ENDPOINT                localhost:4566
insecure-transport             AWS_INSECURE_TRANSPORT      true
userdata                       AWS_USERDATA                /nonexistent/data
`

// TestFlagsOfDockerMachine has all that scripts give to docker-machine be taken.
func TestFlagsOfDockerMachine(t *testing.T) {
	t.Parallel()
	options := map[string]drivers.Option{}
	for _, o := range Factory().Options() {
		options[o.Name] = o
	}
	all := drivers.Values{}
	for line := range strings.Lines(strings.TrimPrefix(dockerMachines, "\n")) {
		words := strings.Fields(line)
		name, env, value := Name+"-"+words[0], words[1], words[2]
		o, ok := options[name]
		switch {
		case !ok:
			t.Errorf("there is no --%s", name)
		case o.Secret: // the SDK reads these itself, so that they are not written down
		case env != "-" && (len(o.Env) == 0 || o.Env[0] != env):
			t.Errorf("--%s is read from %v, want %s", name, o.Env, env)
		}
		all[name] = []string{value}
	}
	if _, err := configured(t, all); err != nil {
		t.Error(err)
	}
	if len(all) != 32 {
		t.Errorf("%d flags are compared, want 32", len(all))
	}
}
