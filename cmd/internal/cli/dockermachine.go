package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// dockerMachine is the name whose callers find docker-machine's exit codes and words.
const dockerMachine = "docker-machine"

// IsDockerMachine tells whether args, the program's name first, are those of a caller of docker-machine.
func IsDockerMachine(args []string) bool { return len(args) > 0 && isDockerMachine(calledAs(args[0])) }

// isDockerMachine tells whether a name of the program is docker-machine, or docker-machine of some platform, as
// it was downloaded. A driver plugin is none.
func isDockerMachine(name string) bool {
	return name == dockerMachine ||
		strings.HasPrefix(name, dockerMachine+"-") && !strings.HasPrefix(name, dockerMachine+"-driver-")
}

// withoutEffect are options of docker-machine that nothing here needs, and their environment variables.
func withoutEffect() map[string]string {
	return map[string]string{
		"bugsnag-api-token": "MACHINE_BUGSNAG_API_TOKEN",
		"github-api-token":  "MACHINE_GITHUB_API_TOKEN",
	}
}

// noteWithoutEffect writes into the debug log which options are there for docker-machine's sake only.
func (t *tool) noteWithoutEffect(inv *invocation, getenv func(string) string) {
	for name, env := range withoutEffect() {
		if len(inv.values(inv.globals, name)) > 0 || getenv(env) != "" {
			t.Log.Debug("accepted without effect", "option", "--"+name, "env", env)
		}
	}
}

// legacyCode is the exit code that docker-machine had: it knew no codes of usage and of locks.
func legacyCode(code int) int {
	switch code {
	case lifecycle.ExitUsage, lifecycle.ExitLocked:
		return lifecycle.ExitFailure
	}
	return code
}

// bare are the errors of usage that docker-machine did not begin with "Error: ".
var bare = regexp.MustCompile(`^(flag provided |flag needs |invalid |Invalid |Improper |Unsupported |template: |template parsing |[^ ]+: '.*' is not a )`)

// legacyText is the message of err as docker-machine had it.
func (a *app) legacyText(err error) string {
	var usage *usageError
	var named *lifecycle.MachineError
	var already *lifecycle.AlreadyError
	switch {
	case errors.As(err, &usage):
		text := err.Error()
		if bare.MatchString(text) || strings.HasPrefix(text, "Error") {
			return text
		}
		return "Error: " + text
	case errors.As(err, &already):
		return fmt.Sprintf("Machine %q is already %s.", already.Machine, already.State)
	case errors.Is(err, drivers.ErrUnknown):
		name := unknownDriver.FindStringSubmatch(err.Error())
		if name != nil {
			plain := strings.Trim(name[1], `"`)
			text := fmt.Sprintf(`Driver %q not found. Do you have the plugin binary "docker-machine-driver-%s" accessible in your PATH?`, plain, plain)
			return withoutDriver(text, err)
		}
	case errors.Is(err, drivers.ErrOption):
		text := err.Error()
		for _, e := range []error{lifecycle.ErrCheck, drivers.ErrOption} {
			text = strings.Replace(text, e.Error()+": ", "", 1)
		}
		return "Error setting machine configuration from flags provided: " + text
	case errors.Is(err, store.ErrFuture):
		doing, rest := undertaken(err.Error())
		return doing + "config version is from the future -- you should upgrade your Docker Machine client (" + rest + ")"
	}
	text := strings.TrimPrefix(a.plainText(err), lifecycle.ErrUsage.Error()+": ")
	if errors.Is(err, lifecycle.ErrNotRunning) {
		text = notRunning.ReplaceAllString(text, "Host is not running")
	}
	if m := badLookup.FindStringSubmatch(err.Error()); m != nil && errors.Is(err, store.ErrName) && !a.creates() {
		text = strings.Replace(err.Error(), m[0], a.notThere(m[1]), 1)
	}
	if errors.As(err, &named) { // docker-machine's words have the name in them
		if rest, ok := strings.CutPrefix(text, named.Machine+": "); ok && strings.Contains(rest, `"`+named.Machine+`"`) {
			return rest
		}
	}
	return text
}

// notRunning is what is said of a machine that is stopped, and about what.
var notRunning = regexp.MustCompile(`(?:machine "[^"]*": )?` + regexp.QuoteMeta(lifecycle.ErrNotRunning.Error()))

// notLoaded tells whether err says that a machine could not even be looked at.
func notLoaded(err error) bool {
	for _, e := range []error{store.ErrNotExist, store.ErrName, store.ErrCorrupt, store.ErrFuture, drivers.ErrUnknown} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// withoutDriver adds to text what a machine's driver, which is not here, was needed for.
func withoutDriver(text string, err error) string {
	what, _, ok := strings.Cut(err.Error(), ": "+lifecycle.ErrDriverless.Error())
	doing, rest := undertaken(what)
	if ok && strings.Contains(rest, " ") && !strings.HasPrefix(doing, "Error removing") { // more than the command
		return doing + text + " (" + rest + ")"
	}
	return doing + text
}

// undertaken splits an error before its cause, if it tells in docker-machine's words what was undertaken.
func undertaken(text string) (doing, cause string) {
	at := worded.FindStringSubmatchIndex(text)
	if at == nil {
		return "", text
	}
	return text[at[2]:at[3]] + ": ", text[at[1]:]
}

var worded = regexp.MustCompile(`(Error removing host "[^"]*"|error getting state for host [^ :]+)(?:: |$)`)

// unknownDriver is a driver that does not exist, wherever that is said.
var unknownDriver = regexp.MustCompile(regexp.QuoteMeta(drivers.ErrUnknown.Error()) + ` ("[^"]*")`)

// badLookup is what the store says of a name that no machine can have.
var badLookup = regexp.MustCompile(regexp.QuoteMeta(store.ErrName.Error()) + ` ("[^"]*").*$`)

// creates tells whether the command is to make something of a new name.
func (a *app) creates() bool {
	return a.inv != nil && a.inv.command() != nil && a.inv.command().Name == "create"
}

// notThere is what docker-machine said of a machine, whose name is quoted, that does not exist.
func (a *app) notThere(quoted string) string {
	return fmt.Sprintf(`Docker machine %[2]s does not exist. Use "%[1]s ls" to list machines. Use "%[1]s create" to add a new one.`, a.name, quoted)
}

// onlyOne returns why create was given more than one name: docker-machine made one machine at a time, and a
// word too many is more likely an option's value that lost its option.
func onlyOne(names []string) error {
	if len(names) > 1 {
		return usagef("Invalid command line. Found extra arguments %v", names[1:])
	}
	return nil
}

// legacyEnginePort is where the engine is to listen: docker-machine's azure had it listen where it opened a port.
func legacyEnginePort(port int, options drivers.Values) int {
	given := options["azure-docker-port"]
	if port != 0 || len(given) == 0 {
		return port
	}
	n, err := strconv.Atoi(given[len(given)-1])
	if err != nil {
		return port // the driver refuses it
	}
	return n
}

// legacyCreating puts docker-machine's words for the stage before an error of create.
func legacyCreating(err error) error {
	const driver = "create host: "
	text := err.Error()
	i := strings.Index(text, driver)
	var words string
	switch id := reasonOf(err).ID; {
	case i >= 0:
		text = text[:i] + text[i+len(driver):]
		words = "Error in driver during machine creation: "
	case provisions(id):
		words = "Error running provisioning: "
	default:
		return err
	}
	return &textError{words + text, err}
}

// provisions tells whether a failure is one of what is done on a host.
func provisions(reason string) bool {
	return slices.ContainsFunc([]string{"SSH_", "HOST_NO_", "HOST_OS_", "HOST_DISK_", "ENGINE_", "PACKAGES_", "INSTALL_", "CLOUD_", "DAEMON_"},
		func(prefix string) bool { return strings.HasPrefix(reason, prefix) })
}

// legacyRemoving puts docker-machine's words before the errors of a removal.
func legacyRemoving(err error, names []string) error {
	errs := flatten(err)
	for i, e := range errs {
		name := names[0]
		var named *lifecycle.MachineError
		if errors.As(e, &named) {
			name, e = named.Machine, named.Err
		}
		errs[i] = &lifecycle.MachineError{Machine: name, Err: &removalError{name, e}}
	}
	return errors.Join(errs...)
}

// removalError is an error of rm.
type removalError struct {
	machine string
	err     error
}

func (e *removalError) Error() string {
	return fmt.Sprintf("Error removing host %q: %v", e.machine, e.err)
}
func (e *removalError) Unwrap() error { return e.err }

// legacyForced says what a removal by force left behind: docker-machine's was a success whatever happened. An end by
// a signal is none.
func (a *app) legacyForced(ctx context.Context, err error, removed []string) error {
	if err == nil || a.interrupted(ctx, err) {
		return err
	}
	for _, e := range flatten(err) {
		a.tool.Note(ctx, a.text(e))
		var named *lifecycle.MachineError
		if errors.As(e, &named) && !slices.Contains(removed, named.Machine) {
			a.tool.Note(ctx, fmt.Sprintf("Can't remove %q", named.Machine))
		}
	}
	return nil
}
