package virtualbox

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// vm is what the long list of virtual machines says of one.
type vm struct {
	UUID    string
	Name    string
	State   string // in VirtualBox's words
	Config  string // path of the settings file
	Lost    bool   // its settings cannot be read
	Marks   map[string]string
	Nets    []string     // names of the host-only interfaces and networks that it is on
	Ports   []int        // on this computer that lead to it
	Disks   []attachment // disks and drives with something in them
	WhyLost string
}

// attachment is a medium at a controller's port.
type attachment struct {
	Controller   string
	Port, Device int
	Path         string
}

var (
	// A machine's name stands far from the key, a shared folder's does not.
	nameLine       = regexp.MustCompile(`^Name: {4,}(.*)$`)
	nicLine        = regexp.MustCompile(`^NIC \d+:.* Attachment: Host.[Oo]nly (?:Interface|Network) '(.*?)', Cable connected:`)
	ruleLine       = regexp.MustCompile(`^NIC \d+ Rule\(\d+\):.* host port = (\d+), guest ip`)
	controllerLine = regexp.MustCompile(`^#\d+: '(.*)', Type: `)
	portLine       = regexp.MustCompile(`^ +Port (\d+), Unit (\d+): `)
	locationLine   = regexp.MustCompile(`^ +Location: "(.*)"$`)
	oldDiskLine    = regexp.MustCompile(`^(.+) \((\d+), (\d+)\): (.+) \(UUID: [0-9a-f-]{36}\)$`) // before 7.0
)

// parseVMs reads the answer to list --long vms. Of a UUID that comes twice the
// first counts.
func parseVMs(out string) map[string]vm {
	all := map[string]vm{}
	var block []string
	end := func() {
		if v, ok := parseVM(block); ok {
			if _, twice := all[v.UUID]; !twice {
				all[v.UUID] = v
			}
		}
		block = nil
	}
	for _, line := range splitLines(out) {
		if nameLine.MatchString(line) {
			end()
		}
		block = append(block, line)
	}
	end()
	return all
}

// parseVM reads the lines on one virtual machine.
func parseVM(lines []string) (vm, bool) {
	if len(lines) == 0 {
		return vm{}, false
	}
	m := nameLine.FindStringSubmatch(lines[0])
	if m == nil {
		return vm{}, false
	}
	v := vm{Name: m[1], Lost: m[1] == "<inaccessible!>"}
	var at attachment
	var description []string
	describing := false
	for _, line := range lines[1:] {
		if describing {
			if describing = line != "* Guest:" && line != "Guest:"; describing {
				description = append(description, line)
			}
			continue
		}
		describing = line == "Description:"
		v.read(line, &at)
	}
	v.Marks = localvm.ParseMarks(strings.Join(description, "\n"))
	return v, v.UUID != ""
}

// read takes what it can from a line. at is the controller and port of the lines
// before.
func (v *vm) read(line string, at *attachment) {
	if key, value, ok := strings.Cut(line, ":"); ok {
		value = strings.TrimSpace(value)
		switch {
		case key == "UUID" && v.UUID == "":
			v.UUID = value
		case (key == "Config file" || key == "Settings file") && v.Config == "":
			v.Config = value
		case key == "State" && v.State == "":
			v.State, _, _ = strings.Cut(value, " (since")
		case key == "Access error details":
			v.WhyLost = value
		}
	}
	if m := nicLine.FindStringSubmatch(line); m != nil {
		v.Nets = append(v.Nets, m[1])
	} else if m := ruleLine.FindStringSubmatch(line); m != nil {
		if port, err := strconv.Atoi(m[1]); err == nil {
			v.Ports = append(v.Ports, port)
		}
	} else if m := controllerLine.FindStringSubmatch(line); m != nil {
		at.Controller = m[1]
	} else if m := portLine.FindStringSubmatch(line); m != nil {
		at.Port, _ = strconv.Atoi(m[1])
		at.Device, _ = strconv.Atoi(m[2])
	} else if m := locationLine.FindStringSubmatch(line); m != nil {
		at.Path = m[1]
		v.Disks = append(v.Disks, *at)
	} else if m := oldDiskLine.FindStringSubmatch(line); m != nil {
		port, _ := strconv.Atoi(m[2])
		device, _ := strconv.Atoi(m[3])
		v.Disks = append(v.Disks, attachment{m[1], port, device, m[4]})
	}
}

// stateOf says a state in the words of all drivers. It knows the words of the long
// list and those of showvminfo --machinereadable.
func stateOf(s string) drivers.State {
	switch strings.ReplaceAll(strings.ToLower(s), " ", "") {
	case "running", "livesnapshotting", "teleporting", "deletingsnapshotonline", "deletingsnapshotlive":
		return drivers.Running
	case "paused", "teleportingpausedvm", "onlinesnapshotting", "deletingsnapshotpaused", "deletingsnapshotlivepaused":
		return drivers.Paused
	case "saved", "aborted-saved", "abortedsaved":
		return drivers.Saved
	case "poweredoff", "poweroff", "aborted", "teleported":
		return drivers.Stopped
	case "starting", "restoring":
		return drivers.Starting
	case "stopping", "saving":
		return drivers.Stopping
	case "":
		return drivers.None
	case "gurumeditation", "stuck":
		return drivers.Error
	}
	return drivers.Stopped // settings are changed, snapshots taken or restored: it does not run
}
