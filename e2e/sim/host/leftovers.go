package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ownerLabel names whom something belongs to: a process, and after a slash the
// one of its Dockers.
const ownerLabel = "machine-sim-owner"

// self is this process, told apart from an earlier one of its number by its
// start, and from one of an earlier boot.
func self() string { return fmt.Sprintf("%d-%s", os.Getpid(), born(os.Getpid())) }

// born is when a process started; empty if there is none or no telling.
func born(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before it may have spaces
	fields := strings.Fields(string(rest))
	if len(fields) < 20 {
		return ""
	}
	return fields[19] + "-" + strings.TrimSpace(string(boot))
}

// dead tells whether an owner is no more. Where there is no telling it lives.
func dead(owner string) bool {
	process, _, _ := strings.Cut(owner, "/")
	number, since, _ := strings.Cut(process, "-")
	pid, err := strconv.Atoi(number)
	return err == nil && since != "" && born(os.Getpid()) != "" && born(pid) != since
}

// sweep removes what belongs to processes that are no more.
func sweep(ctx context.Context) error {
	owners := map[string]bool{}
	for _, list := range [][]string{{"ps", "-a"}, {"network", "ls"}} {
		args := append(list, "--filter", "label="+ownerLabel, "--format", `{{.Label "`+ownerLabel+`"}}`)
		out, err := docker(ctx, nil, args...)
		if err != nil {
			return err
		}
		for owner := range strings.FieldsSeq(string(out)) {
			owners[owner] = true
		}
	}
	for owner := range owners {
		if dead(owner) {
			// Another process may be at it too; what stays is for the next one.
			_ = remove(ctx, ownerLabel+"="+owner)
		}
	}
	return nil
}

// remove removes all that bears the label. Somebody else may be removing a part
// of it, so that it tries until nothing is there.
func remove(ctx context.Context, label string) error {
	containers := func() error { return removeOnce(ctx, label, []string{"ps", "-aq"}, []string{"rm", "-fv"}) }
	networks := func() error {
		return removeOnce(ctx, label, []string{"network", "ls", "-q"}, []string{"network", "rm"})
	}
	return errors.Join(persist(ctx, containers), persist(ctx, networks))
}

func removeOnce(ctx context.Context, label string, list, rm []string) error {
	out, err := docker(ctx, nil, append(list, "--filter", "label="+label)...)
	if ids := strings.Fields(string(out)); err == nil && len(ids) > 0 {
		_, err = docker(ctx, nil, append(rm, ids...)...)
	}
	return err
}

// persist does what may fail for a while, for some seconds.
func persist(ctx context.Context, do func() error) error {
	for tries := 1; ; tries++ {
		err := do()
		if err == nil || tries == 20 {
			return err
		}
		timer := time.NewTimer(250 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
