package ec2sim

import (
	"context"
	"fmt"
	"strconv"
)

// spot is a request for a spot instance.
type spot struct {
	thing
	market
	instance      *instance
	kind          *instanceType
	image         *image
	state, status string
}

func (s *spot) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "spot-instance-request-id":
		return []string{s.id}, true
	case "state":
		return []string{s.state}, true
	case "status-code":
		return []string{s.status}, true
	case "type":
		return []string{s.kindOfRequest()}, true
	case "instance-id":
		if s.instance != nil {
			return []string{s.instance.id}, true
		}
		return nil, true
	}
	return nil, false
}

func (s *spot) kindOfRequest() string {
	if s.persistent {
		return "persistent"
	}
	return "one-time"
}

// open tells whether more may come of a request.
func (s *spot) open() bool { return s.state == "open" || s.state == "active" || s.state == "disabled" }

// spotPrice is a type's price per hour in dollars.
func (c *Cloud) spotPrice(t *instanceType) float64 {
	return float64(t.vcpus)*0.01 + float64(t.mib)/1024*0.002
}

func spotListing() listing {
	return listing{"SpotInstanceRequestIds", "sir", "spot instance request ID", "InvalidSpotInstanceRequestID", "1000", 5}
}

func describeSpots(k *call) (m, error) {
	found, next, err := describe(k, k.r.spots, spotListing())
	if err != nil {
		return nil, err
	}
	var all []m
	for _, s := range found {
		entry := m{
			"SpotInstanceRequestId": s.id, "State": s.state, "Type": s.kindOfRequest(), "CreateTime": s.born, "Tags": tagSet(s.tags),
			"Status":                       m{"Code": s.status, "Message": "The simulator's word: " + s.status, "UpdateTime": s.born},
			"InstanceInterruptionBehavior": s.interrupted, "ProductDescription": "Linux/UNIX", "SpotPrice": strconv.FormatFloat(max(s.price, k.c.spotPrice(s.kind)), 'f', 6, 64),
			"LaunchSpecification": m{"ImageId": s.image.id, "InstanceType": s.kind.name},
		}
		if s.instance != nil {
			entry["InstanceId"], entry["LaunchedAvailabilityZone"] = s.instance.id, s.instance.subnet.zone
		}
		all = append(all, entry)
	}
	return m{"SpotInstanceRequests": all, "NextToken": next}, nil
}

// cancelSpots ends requests. Their instances go on.
func cancelSpots(k *call) (m, error) {
	ids := k.p.strs("SpotInstanceRequestIds")
	if err := k.check(); err != nil {
		return nil, err
	}
	found, err := byIDs(k, k.r.spots, ids, spotListing())
	if err != nil {
		return nil, err
	}
	var all []m
	for _, s := range found {
		if s.open() {
			if s.state, s.status = "cancelled", "canceled-before-fulfillment"; s.instance != nil {
				s.status = "request-canceled-and-instance-running"
			}
		}
		all = append(all, m{"SpotInstanceRequestId": s.id, "State": s.state})
	}
	return m{"CancelledSpotInstanceRequests": all}, nil
}

// Interrupt takes a spot instance back, as AWS does when it needs the room.
func (c *Cloud) Interrupt(ctx context.Context, instance string) error {
	return c.act(ctx, func(k *call) (bool, error) {
		in, ok := find(k.r.instances, instance)
		if !ok {
			return false, nil
		}
		if in.spot == nil || in.state != running {
			return true, fmt.Errorf("%s is no running spot instance", instance)
		}
		code := "Server.SpotInstanceTermination"
		if in.spot.interrupted == "stop" {
			in.spot.status = "instance-stopped-no-capacity"
			k.stop(in, true, "Server.SpotInstanceShutdown", "Server.SpotInstanceShutdown: Spot instance shutdown")
			return true, nil
		}
		in.spot.state, in.spot.status = "closed", "instance-terminated-no-capacity"
		k.terminate(in, code, code+": Spot instance termination")
		return true, nil
	})
}
