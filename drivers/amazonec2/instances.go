package amazonec2

import (
	"context"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// instance returns what EC2 knows of an instance, and whether it knows it.
func (a *account) instance(ctx context.Context, id string) (types.Instance, bool, error) {
	i, found, err := a.instances.Get(ctx, id)
	if err != nil {
		return i, false, fmt.Errorf("find instance %s: %w", id, err)
	}
	return i, found, nil
}

// askInstances asks for many instances by a filter: by their ids, one that is
// unknown would fail them all.
func (a *account) askInstances(ctx context.Context, ids []string) (map[string]types.Instance, error) {
	if len(ids) == 1 {
		return a.askInstance(ctx, ids[0])
	}
	all := map[string]types.Instance{}
	list, err := a.findInstances(ctx, filter("instance-id", ids...))
	if unfiltered(err) {
		for _, id := range ids {
			one, err := a.askInstance(ctx, id)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, one)
		}
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		all[aws.ToString(i.InstanceId)] = i
	}
	return all, nil
}

func (a *account) askInstance(ctx context.Context, id string) (map[string]types.Instance, error) {
	out, err := do(ctx, a.describeInstances, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if says(err, "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if aws.ToString(i.InstanceId) == id {
				return map[string]types.Instance{id: i}, nil
			}
		}
	}
	return nil, nil
}

// unfiltered tells whether a provider refused a filter that it does not have.
func unfiltered(err error) bool { return says(err, "InvalidParameterValue", "InvalidFilter") }

func (a *account) findInstances(ctx context.Context, filters ...types.Filter) ([]types.Instance, error) {
	in := &ec2.DescribeInstancesInput{Filters: filters}
	var all []types.Instance
	for {
		out, err := do(ctx, a.describeInstances, in)
		if err != nil {
			return nil, err
		}
		for _, r := range out.Reservations {
			all = append(all, r.Instances...)
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}
