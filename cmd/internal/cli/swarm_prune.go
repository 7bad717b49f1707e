package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmPruneCommand() *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "free space on all nodes of a swarm", ArgsUsage: "[SWARM|NAME]",
		Description: "Removes stopped containers, which the swarm keeps of its past tasks, with their logs, networks that no container\n" +
			"uses, images without a name and what builds left, as docker system prune does on one host. --dry-run tells what\n" +
			"would go, networks aside. A node that does not answer is named, and the others are pruned.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all-images", Usage: "all images that no container uses, not those without a name only"},
			&cli.BoolFlag{Name: "volumes", Usage: "volumes without a name that no container uses; of engines before release 23 those with names too"},
			yesFlag(),
			parallelFlag(), dryRunFlag(), outputFlag(),
		},
		Action: a.swarmPrune,
	}
}

func (a *app) swarmPrune(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() > 1 {
		return usagef("expected one swarm or machine name as an argument")
	}
	req := lifecycle.PruneRequest{Swarm: c.Args().First(), AllImages: c.Bool("all-images"), Volumes: c.Bool("volumes"), DryRun: c.Bool("dry-run")}
	if !req.DryRun && !c.Bool("y") {
		if err := a.confirmPrune(c.Context, req); err != nil {
			return err
		}
	}
	done, err := a.worker(c).SwarmPrune(c.Context, req)
	a.tool.progress.Close()
	if len(done) == 0 {
		return err
	}
	if asJSON {
		return errors.Join(a.printJSON(done), err)
	}
	rows := [][]string{{"MACHINE", "CONTAINERS", "NETWORKS", "IMAGES", "VOLUMES", "CACHE", "SPACE"}}
	var sum lifecycle.Pruned
	for _, p := range done {
		if p.Error != "" {
			rows = append(rows, []string{p.Machine, "-", "-", "-", "-", "-", "does not answer"})
			continue
		}
		rows = append(rows, prunedRow(p))
		sum.Containers += p.Containers
		sum.Networks += p.Networks
		sum.Images += p.Images
		sum.Volumes += p.Volumes
		sum.Cache += p.Cache
		sum.Space += p.Space
	}
	sum.Machine = "TOTAL"
	return errors.Join(a.printTable(append(rows, prunedRow(sum))), err)
}

func prunedRow(p lifecycle.Pruned) []string {
	row := []string{p.Machine}
	for _, n := range []int{p.Containers, p.Networks, p.Images, p.Volumes, p.Cache} {
		row = append(row, strconv.Itoa(n))
	}
	return append(row, bytesWord(p.Space))
}

// bytesWord is a size as docker prints it: with decimal units.
func bytesWord(n int64) string {
	v, unit := float64(n), 0
	for v >= 1000 && unit < 4 {
		v /= 1000
		unit++
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + []string{"B", "kB", "MB", "GB", "TB"}[unit]
}

func (a *app) confirmPrune(ctx context.Context, req lifecycle.PruneRequest) error {
	what := []string{"stopped containers", "unused networks", "build caches", "images without a name"}
	if req.AllImages {
		what[3] = "all unused images"
	}
	if req.Volumes {
		what = append(what, "unused volumes with their data")
	}
	if _, err := fmt.Fprintf(a.Stderr, "About to remove on all nodes: %s\n", strings.Join(what, ", ")); err != nil {
		return err
	}
	return a.confirmed(ctx, "Are you sure? (y/n): ")
}
