package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmLabelCommand() *cli.Command {
	return &cli.Command{
		Name: "label", Usage: "set and take away labels of nodes", ArgsUsage: "[NAME...] KEY=VALUE|KEY-...",
		Description: "KEY=VALUE sets a label, KEY- takes it away. Placement constraints of services go by them:\n" +
			"node.labels.KEY==VALUE.",
		Flags:  memberFlags(),
		Action: a.swarmLabel,
	}
}

func (a *app) swarmLabel(c *cli.Context) error {
	names, req, err := labelWords(c.Args().Slice())
	if err != nil {
		return err
	}
	if len(req.Set)+len(req.Unset) == 0 {
		return usagef("no label given").hint("%s NAME... KEY=VALUE, or KEY- to take a label away", c.Command.HelpName)
	}
	return a.swarmNodes(c, names, req)
}

// labelWords takes apart which machines and which labels. No machine's name has a = or ends in a hyphen.
func labelWords(words []string) (names []string, req lifecycle.NodesRequest, err error) {
	req = lifecycle.NodesRequest{Verb: lifecycle.Label, Set: map[string]string{}}
	for _, w := range words {
		key, value, set := strings.Cut(w, "=")
		gone, unset := strings.CutSuffix(w, "-")
		switch {
		case set && key == "", !set && unset && gone == "":
			return nil, req, usagef("%s: a label has a key", w)
		case set:
			req.Set[key] = value
		case unset:
			req.Unset = append(req.Unset, gone)
		default:
			names = append(names, w)
		}
	}
	for _, key := range req.Unset {
		if _, set := req.Set[key]; set {
			return nil, req, usagef("label %s is to be set and to be taken away", key)
		}
	}
	return names, req, nil
}
