package swarmboot

import (
	"cmp"
	"context"
	"fmt"
	"net"
	slash "path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ListDir is where the masters of classic swarms have the lists of members that machine keeps. It is below the
// docker folder, which the manager's container sees.
const ListDir = "/etc/docker/machine-swarm"

var listName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

// ListURL is the discovery URL of a list of members that machine keeps.
func ListURL(name string) string { return "file://" + slash.Join(ListDir, name) }

// OwnList returns the file of such a URL; false: the members of the swarm are another's to list.
func OwnList(discovery string) (file string, ok bool) {
	file, ok = strings.CutPrefix(discovery, "file://")
	if !ok || slash.Dir(file) != ListDir || !listName.MatchString(slash.Base(file)) {
		return "", false
	}
	return file, true
}

// ClassicMember is an engine of a classic swarm.
type ClassicMember struct {
	Name string // machine name
	Addr string // address:port
}

// List is a list of members as the manager's file discovery reads it.
func List(members []ClassicMember) string {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b ClassicMember) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Addr, b.Addr)) })
	var b strings.Builder
	b.WriteString("# Members of this swarm. machine keeps the list: what is changed here by hand does not stay.\n")
	for _, m := range sorted {
		fmt.Fprintf(&b, "%s # %s\n", m.Addr, m.Name)
	}
	return b.String()
}

// ParseList returns the addresses in a list.
func ParseList(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, expand(line)...)
		}
	}
	return out
}

// ParseNodes returns the addresses of a nodes:// URL.
func ParseNodes(discovery string) []string {
	list, _ := strings.CutPrefix(discovery, "nodes://")
	var out []string
	for _, addr := range strings.Split(list, ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			out = append(out, expand(addr)...)
		}
	}
	return out
}

var addressRange = regexp.MustCompile(`\[(\d+):(\d+)\]`)

// expand writes a range such as 10.0.0.[1:3]:2376 out, as the manager does.
func expand(pattern string) []string {
	m := addressRange.FindStringSubmatchIndex(pattern)
	if m == nil {
		return []string{pattern}
	}
	from, err1 := strconv.Atoi(pattern[m[2]:m[3]])
	to, err2 := strconv.Atoi(pattern[m[4]:m[5]])
	if err1 != nil || err2 != nil || to-from > 1<<16 {
		return []string{pattern}
	}
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, pattern[:m[0]]+strconv.Itoa(i)+pattern[m[1]:])
	}
	return out
}

// MemberAddr is an engine's address as a list has it.
func MemberAddr(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// listScript has $s for the rights that the login user lacks. The manager reads either the former list or the new one.
const listScript = `set -e
if [ "$(id -u)" = 0 ]; then s=; else s='sudo -n'; fi
$s sh -c '`

// WriteList puts a list on a host, in one move. A list that is there already is left alone.
func WriteList(ctx context.Context, r Runner, file string, members []ClassicMember) error {
	script := listScript + fmt.Sprintf(`set -e
f=%s
mkdir -p "${f%%/*}"
t=$(mktemp "${f%%/*}/.new.XXXXXX")
trap "rm -f $t" EXIT
cat >"$t"
cmp -s "$t" "$f" && exit 0
chmod 0644 "$t"
mv -f "$t" "$f"
sync "${f%%/*}" 2>/dev/null || true'`, file)
	if err := r.Run(ctx, script, strings.NewReader(List(members)), nil); err != nil {
		return fmt.Errorf("write list of members %s: %w", file, err)
	}
	return nil
}

// ReadList reads a list from a host.
func ReadList(ctx context.Context, r Runner, file string) ([]string, error) {
	var out strings.Builder
	if err := r.Run(ctx, listScript+"cat "+file+"'", nil, &out); err != nil {
		return nil, fmt.Errorf("read list of members %s: %w", file, err)
	}
	return ParseList(out.String()), nil
}

// RemoveList takes a list from a host that is a master no more.
func RemoveList(ctx context.Context, r Runner, file string) error {
	if err := r.Run(ctx, listScript+fmt.Sprintf("rm -f %s; rmdir %s 2>/dev/null || true'", file, slash.Dir(file)), nil, nil); err != nil {
		return fmt.Errorf("remove list of members %s: %w", file, err)
	}
	return nil
}
