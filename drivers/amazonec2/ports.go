package amazonec2

import (
	"context"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// OpenPorts implements drivers.PortOpener. The rules are those of the store's group, which is removed with its last machine.
func (d *driver) OpenPorts(ctx context.Context, ports []drivers.Port) error {
	st := d.state.Value.Groups
	rules := func(self string) []rule {
		var all []rule
		for _, p := range ports {
			if p.Peers {
				all = append(all, rule{p.Protocol, p.Number, self})
			}
		}
		return all
	}
	if len(st.Ours) == 0 || d.cfg.GroupReadOnly {
		d.env.Note(ctx, fmt.Sprintf("security groups %s stay as they are; they must admit %s", strings.Join(d.groupNames(), ", "), describe(rules("members"), "members")))
		return nil
	}
	a, _, err := d.find(ctx)
	if err != nil {
		return err
	}
	return d.readmitTo(ctx, a, rules)
}
