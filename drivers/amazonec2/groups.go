package amazonec2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/caller"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// group is a security group.
type group struct {
	id    string
	name  string
	ours  bool // carries the store's tag
	rules map[rule]bool
}

// groupNames are the groups of the machine: ids of the user's, and names of
// those that are looked up or made.
func (d *driver) groupNames() []string {
	if names := split(d.cfg.Groups); len(names) > 0 {
		return names
	}
	return []string{fmt.Sprintf("machine-%.8s", d.env.StoreID)}
}

func isGroupID(name string) bool { return strings.HasPrefix(name, "sg-") }

// allowed returns who may reach SSH and the engine.
func (d *driver) allowed(ctx context.Context, a *account, vpc string) ([]netip.Prefix, error) {
	if words := split(d.cfg.Allow); len(words) > 0 {
		return caller.Prefixes(words)
	}
	if d.cfg.PrivateOnly || d.cfg.UsePrivate {
		return a.ranges(ctx, vpc)
	}
	from, err := a.caller(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, &drivers.HintError{Err: err, Advice: "say who may reach the machine with --" + Name + "-allow CIDR"}
	}
	return []netip.Prefix{from}, nil
}

// ensureGroups makes the groups that do not exist, and has those that are ours
// admit what the machine needs.
func (d *driver) ensureGroups(ctx context.Context, a *account, vpc string, ports []drivers.Port) error {
	from, err := d.allowed(ctx, a, vpc)
	if err != nil {
		return err
	}
	var ids, ours []string
	for _, name := range d.groupNames() {
		if isGroupID(name) {
			ids = append(ids, name)
			continue
		}
		g, err := d.ensureGroup(ctx, a, vpc, name, func(self string) []rule { return rulesFor(d.cfg, ports, from, self) })
		if err != nil {
			return err
		}
		ids = append(ids, g.id)
		if g.ours {
			ours = append(ours, g.id)
		}
	}
	if len(ours) == 0 {
		d.env.Note(ctx, fmt.Sprintf("security groups %s stay as they are; they must admit %s", strings.Join(d.groupNames(), ", "), describe(rulesFor(d.cfg, ports, from, "members"), "members")))
	}
	st := &d.state.Value.Groups
	if slices.Equal(st.IDs, ids) && slices.Equal(st.Ours, ours) {
		return nil
	}
	st.IDs, st.Ours = ids, ours
	return d.state.Save()
}

// ensureGroup returns a group, made if there is none of the name.
func (d *driver) ensureGroup(ctx context.Context, a *account, vpc, name string, rules func(self string) []rule) (*group, error) {
	known, err := a.groups.Turn(ctx, vpc+"/"+name)
	if err != nil {
		return nil, err
	}
	defer known.Done()
	if !known.Known {
		g, err := d.findOrMakeGroup(ctx, a, vpc, name)
		if err != nil {
			return nil, err
		}
		known.Value, known.Known = g, true
	}
	g := known.Value
	if !g.ours || d.cfg.GroupReadOnly {
		return g, nil
	}
	if err := d.admit(ctx, a, g, rules(g.id)); err != nil {
		known.Known = false
		return nil, err
	}
	return g, nil
}

// forgetGroups has the machine's groups looked up again.
func (d *driver) forgetGroups(a *account, vpc string) {
	for _, name := range d.groupNames() {
		a.groups.Forget(vpc + "/" + name)
	}
}

func (d *driver) findOrMakeGroup(ctx context.Context, a *account, vpc, name string) (*group, error) {
	g, err := d.findGroup(ctx, a, vpc, name)
	if g != nil || err != nil {
		return g, err
	}
	if d.cfg.GroupReadOnly {
		return nil, &drivers.OptionError{
			Option: Name + "-security-group", Err: fmt.Errorf("VPC %s has no group %s: %w", vpc, name, errMissing),
			Advice: "make it, or leave --" + Name + "-security-group-readonly out",
		}
	}
	in := &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), VpcId: aws.String(vpc), Description: aws.String("machines of one store"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: d.tags(name, false)}},
	}
	st := &d.state.Value.Groups
	st.Asked = time.Now().UTC().Truncate(time.Second)
	if err := d.state.Save(); err != nil {
		return nil, err
	}
	out, err := do(ctx, a.createGroup, in)
	if err == nil {
		return &group{id: aws.ToString(out.GroupId), name: name, ours: true, rules: map[rule]bool{}}, nil
	}
	if !says(err, "InvalidGroup.Duplicate") {
		if definite(err) { // there is none to look for
			st.Asked = time.Time{}
			err = errors.Join(err, d.state.Save())
		}
		return nil, fmt.Errorf("make security group %s: %w", name, err)
	}
	// Another machine has just made it.
	made := err
	err = d.settle(ctx, "security group "+name, func(ctx context.Context) (bool, error) {
		g, err = d.findGroup(ctx, a, vpc, name)
		return g != nil, err
	})
	if errors.Is(err, errUnsettled) {
		err = fmt.Errorf("make security group %s: %w", name, made)
	}
	return g, err
}

// findGroups returns all groups that pass the filters.
func (a *account) findGroups(ctx context.Context, filters ...types.Filter) ([]types.SecurityGroup, error) {
	in := &ec2.DescribeSecurityGroupsInput{Filters: filters}
	var all []types.SecurityGroup
	for {
		out, err := do(ctx, a.describeGroups, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.SecurityGroups...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// findGroup returns a group by its name; nil: there is none.
func (d *driver) findGroup(ctx context.Context, a *account, vpc, name string) (*group, error) {
	all, err := a.findGroups(ctx, filter("vpc-id", vpc), filter("group-name", name))
	if err != nil {
		return nil, fmt.Errorf("find security group %s: %w", name, err)
	}
	at := slices.IndexFunc(all, func(g types.SecurityGroup) bool {
		return aws.ToString(g.GroupName) == name && (g.VpcId == nil || *g.VpcId == vpc)
	})
	if at < 0 {
		return nil, nil
	}
	found := all[at]
	g := &group{
		id: aws.ToString(found.GroupId), name: name,
		ours:  tag(found.Tags, tagStore) == d.env.StoreID,
		rules: rulesIn(found.IpPermissions),
	}
	if !g.ours && len(split(d.cfg.Groups)) == 0 {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("use security group %s (%s) of VPC %s: %w: it does not carry this store's tag", name, g.id, vpc, drivers.ErrConflict),
			Advice: "name a group to use with --" + Name + "-security-group, or rename or delete that one",
		}
	}
	return g, nil
}

// admit adds the rules that a group of ours lacks.
func (d *driver) admit(ctx context.Context, a *account, g *group, rules []rule) error {
	var missing []rule
	for _, r := range rules {
		if !g.rules[r] {
			missing = append(missing, r)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	err := d.authorize(ctx, a, g.id, missing)
	if says(err, "InvalidPermission.Duplicate") { // another process added some of them: then none was added now
		for _, r := range missing {
			if err = d.authorize(ctx, a, g.id, []rule{r}); says(err, "InvalidPermission.Duplicate") {
				err = nil
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("open ports of security group %s (%s): %w", g.name, g.id, err)
	}
	rules = missing
	g.rules = maps.Clone(g.rules)
	for _, r := range rules {
		g.rules[r] = true
	}
	d.env.Note(ctx, fmt.Sprintf("security group %s (%s) admits %s", g.name, g.id, describe(rules, g.id)))
	return nil
}

func (d *driver) authorize(ctx context.Context, a *account, id string, rules []rule) error {
	_, err := do(ctx, a.authorizeIngress, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(id), IpPermissions: permissions(rules)})
	return err
}

// describe says rules in words.
func describe(rules []rule, self string) string {
	ports := map[string][]string{}
	var order []string
	for _, r := range rules {
		who := r.source
		if who == self {
			who = "its members"
		}
		if ports[who] == nil {
			order = append(order, who)
		}
		ports[who] = append(ports[who], fmt.Sprintf("%d/%s", r.port, r.protocol))
	}
	var words []string
	for _, who := range order {
		words = append(words, who+" to "+strings.Join(ports[who], ", "))
	}
	return strings.Join(words, "; ")
}

var errUnsettled = errors.New("the provider did not settle")

// settle asks again for a while, for what the provider does not know everywhere
// yet. The while bounds the asking, not the answer, and at a provider that takes
// long to answer there are still a few questions.
func (d *driver) settle(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	const fewest = 5
	begin, asked := time.Now(), 0
	return wait.Until(ctx, wait.Pace{First: d.pace.first, Most: d.pace.most}, what, func(ctx context.Context) (bool, error) {
		done, err := ask(ctx)
		asked++
		if !done && err == nil && asked >= fewest && time.Since(begin) > d.pace.settle {
			err = fmt.Errorf("wait for %s: %w", what, errUnsettled)
		}
		return done, err
	})
}

// within asks again until done, an error, or the end of a time.
func (d *driver) within(ctx context.Context, limit time.Duration, late error, what string, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	return wait.Until(ctx, wait.Pace{First: d.pace.first, Most: d.pace.most}, what, ask)
}
