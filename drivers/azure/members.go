package azure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// The store's machines in a virtual network are the members of an application
// security group: their own rules admit them to each other, and not their
// neighbours. All members of such a group must be in one virtual network.

// membersName is what the group of the store's machines in a virtual network is called.
func (d *driver) membersName() string {
	group, name := d.networkName()
	sum := sha256.Sum256([]byte(lower(id(d.cfg.Subscription, group, typeNetwork, name))))
	return fmt.Sprintf("docker-machine-%s-%s-%s", d.store(), d.cfg.Location, hex.EncodeToString(sum[:4]))
}

func (d *driver) membersKey() string { return "members " + lower(d.group()+"/"+d.membersName()) }

// members returns an application security group; nil: there is none.
func (a *account) members(ctx context.Context, group, name string) (*armnetwork.ApplicationSecurityGroup, error) {
	got, err := call(ctx, a, "look for application security group "+name, func(ctx context.Context) (armnetwork.ApplicationSecurityGroupsClientGetResponse, error) {
		return a.asgs.Get(ctx, group, name, nil)
	})
	if missing(err) {
		return nil, err
	}
	if err != nil {
		return nil, gone(err)
	}
	return &got.ApplicationSecurityGroup, nil
}

// ensureMembers makes the group of the store's machines unless there is one, and
// returns its id; empty: there is none to be had, or none is needed.
func (d *driver) ensureMembers(ctx context.Context, a *account) (string, error) {
	if d.cfg.NSG != "" {
		return "", nil
	}
	st := &d.state.Value
	own := id(a.subscription, st.Group, typeMembers, d.membersName())
	made, err := a.known.made.Get(ctx, d.membersKey(), func(ctx context.Context) (bool, error) {
		found, err := a.members(ctx, st.Group, d.membersName())
		switch {
		case isCode(err, http.StatusNotFound): // nobody says of what: it can be made or it cannot
		case unavailable(err):
			d.env.Log.InfoContext(ctx, "azure: no application security groups", "error", err)
			return false, nil
		case err != nil:
			return false, err
		case found != nil && !d.ours(found.Tags):
			return false, conflict(typeMembers, st.Group, d.membersName())
		case found != nil:
			return true, nil
		}
		return d.makeMembers(ctx, a, own)
	})
	if err != nil || !made {
		return "", err
	}
	return own, d.claim(&st.Members, own)
}

// makeMembers tells whether it could make the group.
func (d *driver) makeMembers(ctx context.Context, a *account, own string) (bool, error) {
	st := &d.state.Value
	before := st.Members
	if err := d.claim(&st.Members, own); err != nil {
		return false, err
	}
	name := d.membersName()
	_, err := run(ctx, a, "make application security group "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.ApplicationSecurityGroupsClientCreateOrUpdateResponse], error) {
		return a.asgs.BeginCreateOrUpdate(ctx, st.Group, name, d.membersSpec(), nil)
	})
	if unavailable(err) {
		d.env.Log.InfoContext(ctx, "azure: no application security groups", "error", err)
		return false, d.claim(&st.Members, before)
	}
	return err == nil, err
}

func (d *driver) membersSpec() armnetwork.ApplicationSecurityGroup {
	return armnetwork.ApplicationSecurityGroup{
		Location:   &d.cfg.Location,
		Tags:       d.sharedTags(),
		Properties: &armnetwork.ApplicationSecurityGroupPropertiesFormat{},
	}
}

// unavailable tells whether an endpoint does not know application security
// groups, or who logs in may not use them.
func unavailable(err error) bool {
	return missing(err) || errors.Is(err, drivers.ErrPermission)
}

// noMembers tells the user that the subnet stands for the members.
func (d *driver) noMembers(ctx context.Context, req drivers.CreateRequest, n subnet) {
	for _, p := range req.OpenPorts {
		if p.Peers && d.cfg.NSG == "" {
			d.env.Note(ctx, fmt.Sprintf("swarm ports are open to all of the subnet, %s: application security groups are not to be had here", joined(n.prefixes)))
			return
		}
	}
}

// isMember tells whether a network interface is in a group; an empty one: in none.
func isMember(nic *armnetwork.Interface, members string) bool {
	if nic.Properties == nil {
		return members == ""
	}
	in := false
	for _, c := range nic.Properties.IPConfigurations {
		if c == nil || c.Properties == nil {
			continue
		}
		for _, g := range c.Properties.ApplicationSecurityGroups {
			if g != nil && g.ID != nil && members == "" {
				return false
			}
			in = in || g != nil && g.ID != nil && same(*g.ID, members)
		}
	}
	return in || members == ""
}

// removeMembers removes a group of ours that no machine is in. Azure tells that
// by the refusal alone.
func (d *driver) removeMembers(ctx context.Context, a *account, p part) error {
	found, err := a.members(ctx, p.group, p.name)
	switch {
	case missing(err): // nobody else calls one as the driver does
	case err != nil || found == nil || !d.ours(found.Tags):
		return err
	}
	_, err = run(ctx, a, "remove application security group "+p.name, func(ctx context.Context) (*runtime.Poller[armnetwork.ApplicationSecurityGroupsClientDeleteResponse], error) {
		return a.asgs.BeginDelete(ctx, p.group, p.name, nil)
	})
	a.known.made.Forget("members " + lower(p.group+"/"+p.name))
	if missing(err) {
		return nil
	}
	return gone(err)
}

// errStays is that other machines use what is shared.
var errStays = errors.New("other machines use it")

// removeMembersOf removes the group of the store's machines in a virtual network.
// Where none of them is in the network, what still uses the group is just being
// removed, or was.
func (d *driver) removeMembersOf(network string) func(context.Context, *account, part) error {
	return func(ctx context.Context, a *account, p part) error {
		ctx, cancel := wait.Within(ctx, stillUsed, "the release of "+p.name)
		defer cancel()
		var refused error
		err := wait.Until(ctx, a.pace, "the release of "+p.name, func(ctx context.Context) (bool, error) {
			refused = d.removeMembers(ctx, a, p)
			if !isCode(refused, http.StatusBadRequest) && !isCode(refused, http.StatusConflict) {
				return refused == nil, refused
			}
			return false, d.staysIn(ctx, a, network, refused)
		})
		if err != nil && refused != nil && !errors.Is(err, errStays) && !errors.Is(err, refused) {
			return errors.Join(refused, err)
		}
		return err
	}
}

// staysIn returns errStays if the group of a virtual network's members was
// refused to be removed because there are others, by whatever code that is told.
func (d *driver) staysIn(ctx context.Context, a *account, network string, refused error) error {
	p, err := parseID(network)
	switch {
	case err == nil:
	case inUse(refused):
		return errStays
	default:
		return refused // an earlier removal has dealt with the network, which cannot tell any more
	}
	found, err := a.network(ctx, p.group, p.name)
	if err != nil || found == nil {
		return err
	}
	if inUse(refused) || d.livesIn(found) {
		return errStays
	}
	return nil
}

// livesIn tells whether a machine of the store is in a virtual network.
func (d *driver) livesIn(n *armnetwork.VirtualNetwork) bool {
	if n.Properties == nil {
		return false
	}
	for _, s := range n.Properties.Subnets {
		if s == nil || s.Properties == nil {
			continue
		}
		for _, c := range s.Properties.IPConfigurations {
			if c == nil || c.ID == nil {
				continue
			}
			if p, err := parseID(*c.ID); err == nil && strings.HasSuffix(lower(p.name), lower("-"+d.store()+endNIC)) {
				return true
			}
		}
	}
	return false
}
