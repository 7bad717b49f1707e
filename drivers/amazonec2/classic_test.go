package amazonec2

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// classicFields are a machine's fields in docker-machine's words.
func classicFields(t *testing.T, d drivers.Classic) map[string]any {
	t.Helper()
	data, err := json.Marshal(d.Classic())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func wantClassic(t *testing.T, d drivers.Classic, want map[string]any) {
	t.Helper()
	fields := classicFields(t, d)
	for name, v := range want {
		if !reflect.DeepEqual(fields[name], v) {
			t.Errorf("%s is %#v, want %#v", name, fields[name], v)
		}
	}
}

func TestClassic(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.Region, c.Zones, c.TagList, c.Tags, c.Types = "eu-west-1", []string{"b", "c"}, "a,1", []string{"b=2=3"}, []string{"t3.small", "t3.medium"}
	c.AccessKey, c.SecretKey = "hush", "hush"
	d := &driver{cfg: c, state: &drivers.Durable[State]{}}
	wantClassic(t, d, map[string]any{
		"Region": "eu-west-1", "Zone": "b", "Tags": "a,1,b,2=3", "InstanceType": "t3.small", "InstanceId": "", "ExistingKey": false, "AccessKey": "", "SecretKey": "",
	})

	// What was made says more than what was asked for.
	d.state.Value = State{
		Region: "eu-central-1", Instance: "i-1", User: "debian", Key: Key{Name: "mine"},
		Groups: Groups{VPC: "vpc-1", Names: []string{"g"}, IDs: []string{"sg-1"}},
		Launch: Launch{Image: "ami-1", Type: "t3.medium", Subnet: "subnet-1", Zone: "eu-central-1c"},
	}
	wantClassic(t, d, map[string]any{
		"Region": "eu-central-1", "Zone": "c", "InstanceType": "t3.medium", "InstanceId": "i-1", "AMI": "ami-1", "VpcId": "vpc-1", "SubnetId": "subnet-1",
		"SecurityGroupNames": []any{"g"}, "SecurityGroupIds": []any{"sg-1"}, "KeyName": "mine", "ExistingKey": true, "SSHUser": "debian",
	})
}

// TestClassicAndBack demands that a machine in docker-machine's words can be taken over as what it was.
func TestClassicAndBack(t *testing.T) {
	t.Parallel()
	d := &driver{cfg: defaults(), state: &drivers.Durable[State]{Value: State{
		Region: "eu-central-1", Instance: "i-1", User: "debian", Key: Key{Name: "ours", Ours: true}, Groups: Groups{VPC: "vpc-1"},
		Launch: Launch{Image: "ami-1", Type: "t3.medium", Subnet: "subnet-1", Zone: "eu-central-1c"},
	}}}
	data, err := json.Marshal(d.Classic())
	if err != nil {
		t.Fatal(err)
	}
	_, st, err := takeOver(data)
	want := d.state.Value
	want.Legacy, want.Launch.Zone = true, "" // which docker-machine's record has among its options
	if err != nil || !reflect.DeepEqual(st, want) {
		t.Errorf("taken over %+v, %v, want %+v", st, err, want)
	}
}
