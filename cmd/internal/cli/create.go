package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
	"github.com/hostsmith/machine/store"
)

func (a *app) createCommand(withFlags bool) *cli.Command {
	c := &cli.Command{
		Name: "create", Usage: "create machines", ArgsUsage: "NAME...",
		Description: "Makes a host with a driver, installs Docker Engine on it, secures it with TLS, and joins it to a\n" +
			"swarm if asked to. A create that did not finish is continued by the same command, or undone by " + a.name + " rm.\n" +
			"The options of a driver: " + a.name + " create -d DRIVER --help",
		Action: a.create,
	}
	if withFlags {
		c.Flags = createFlags()
		if driver, ok := c.Flags[0].(*cli.StringFlag); ok && a.legacy {
			driver.Usage = "`DRIVER` to create the host with (default: virtualbox) [$MACHINE_DRIVER]"
		}
		c.Flags = append(c.Flags, driverFlags(a.table(), c.Flags)...)
	}
	return c
}

// createFlags are the options of create that every driver has.
func createFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Usage: "`DRIVER` to create the hosts with (default: one whose check passes) [$MACHINE_DRIVER]"},
		&cli.StringSliceFlag{Name: "tls-san", Usage: "further name or `ADDRESS` that the engine's certificate is good for; may be repeated"},
		&cli.StringFlag{Name: "userdata", Usage: "`FILE` with cloud-init user data for the host"},
		&cli.BoolFlag{Name: "docker-context", Usage: "make a docker context of the machine's name"},
		&cli.BoolFlag{Name: "rm-on-failure", Usage: "remove what a failed create has made"},
		&cli.BoolFlag{Name: "no-store-secrets", Usage: "do not store the driver's secret options: later commands need them in their environment [$MACHINE_NO_STORE_SECRETS]"},
		parallelFlag(),
		dryRunFlag(),
		outputFlag(),
	}
	flags = append(flags, engineFlags()...)
	return append(flags, createSwarmFlags()...)
}

func (a *app) create(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		return usagef("No machine name specified").hint("%s NAME...", c.Command.HelpName)
	}
	if a.legacy {
		if err := onlyOne(c.Args().Slice()); err != nil {
			return err
		}
	}
	t := a.worker(c)
	req, err := a.createRequest(c)
	if err != nil {
		return err
	}
	if req.Driver == "" {
		why := ""
		if req.Driver, why, err = t.DefaultDriver(c.Context, a.legacy); err != nil {
			return err
		}
		t.Note(c.Context, fmt.Sprintf("driver %s: %s", req.Driver, why))
	}
	req.Driver = realName(a.catalog(), req.Driver)
	if req.Options, err = a.driverValues(c.Context, req.Driver); err != nil {
		return err
	}
	if a.legacy {
		req.Engine.Port = legacyEnginePort(req.Engine.Port, req.Options)
	}
	if c.Bool("dry-run") {
		plans, err := t.PlanCreate(c.Context, req)
		if err != nil {
			return err
		}
		return a.printPlans(plans, asJSON)
	}
	results, err := t.Create(c.Context, req)
	t.progress.Close()
	if perr := a.printCreated(results, asJSON); err == nil {
		return perr
	}
	return a.creating(err)
}

// creating puts docker-machine's words before the errors that it put them before.
func (a *app) creating(err error) error {
	errs := flatten(err)
	for i, e := range errs {
		r := reasonOf(e)
		own := errors.Is(e, store.ErrExist) || errors.Is(e, lifecycle.ErrCheck) || errors.Is(e, store.ErrLocked)
		onHost := provisions(r.ID) && !errors.Is(e, lifecycle.ErrUsage) // such as an option that the engine refuses
		if !own && (r.Exit != lifecycle.ExitUsage || errors.Is(e, store.ErrName) || onHost) {
			if a.legacy {
				e = legacyCreating(e)
			}
			errs[i] = fmt.Errorf("Error creating machine: %w", e) //nolint:revive,staticcheck // docker-machine's words
		}
	}
	return errors.Join(errs...)
}

// createRequest reads the options of create, all but the driver's.
func (a *app) createRequest(c *cli.Context) (lifecycle.CreateRequest, error) {
	req := lifecycle.CreateRequest{
		Names:           c.Args().Slice(),
		Driver:          c.String("driver"),
		SANs:            c.StringSlice("tls-san"),
		DockerContext:   c.Bool("docker-context"),
		RemoveOnFailure: c.Bool("rm-on-failure"),
		NoPreflight:     c.Bool("no-preflight"),
		RotateTokens:    c.Bool("swarm-rotate-tokens"),
	}
	var err error
	if req.NoStoreSecrets, err = a.noStoreSecrets(c); err != nil {
		return req, err
	}
	if req.Engine, err = a.engineOptions(c); err != nil {
		return req, err
	}
	if req.Swarm, req.Classic, err = a.createSwarmOptions(c); err != nil {
		return req, err
	}
	if file := c.String("userdata"); file != "" {
		if req.UserData, err = os.ReadFile(file); err != nil {
			return req, usagef("--userdata: %v", err)
		}
	}
	return req, nil
}

// noStoreSecrets tells what the flag says, else the environment.
func (a *app) noStoreSecrets(c *cli.Context) (bool, error) {
	const flag, env = "no-store-secrets", "MACHINE_NO_STORE_SECRETS"
	v := a.Getenv(env)
	if c.IsSet(flag) || v == "" {
		return c.Bool(flag), nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, usagef("Error parsing boolean value from %s: %v", env, err)
	}
	return b, nil
}

// printCreated prints the results: how to use the machines, or JSON.
func (a *app) printCreated(results []lifecycle.Created, asJSON bool) error {
	if asJSON {
		return a.printJSON(results)
	}
	if a.globals.mode == ui.Quiet {
		return nil
	}
	var summary, hints strings.Builder
	for _, r := range results {
		if r.Error != "" || r.URL == "" {
			continue
		}
		fmt.Fprintf(&summary, "%s: ready in %s%s\n", r.Name, ui.Elapsed(r.Total), phases(r))
		fmt.Fprintf(&hints, "To see how to connect your Docker Client to the Docker Engine running on this virtual machine, run: %s env %s\n", a.name, r.Name)
	}
	if a.globals.mode != ui.JSON {
		if _, err := fmt.Fprint(a.Stderr, summary.String()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(a.Stdout, hints.String())
	return err
}

// phases tells where the time of a create went.
func phases(r lifecycle.Created) string {
	var parts []string
	for _, p := range r.Phases {
		if p.Took >= 50*time.Millisecond {
			parts = append(parts, p.Phase+" "+ui.Elapsed(p.Took))
		}
	}
	if r.Trips > 0 {
		parts = append(parts, fmt.Sprintf("%d SSH round trips", r.Trips))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
