package virtualbox

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// version of VirtualBox.
type version struct{ major, minor, patch int }

func (v version) String() string {
	return strconv.Itoa(v.major) + "." + strconv.Itoa(v.minor) + "." + strconv.Itoa(v.patch)
}

func (v version) atLeast(major, minor, patch int) bool {
	if v.major != major {
		return v.major > major
	}
	if v.minor != minor {
		return v.minor > minor
	}
	return v.patch >= patch
}

var versionLine = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})\.(\d{1,6})([_A-Za-z-].*)?$`)

// parseVersion reads the answer to --version. Distributions print warnings before
// it, so the last line that looks like a version is taken. warning is what came
// before it.
func parseVersion(out string) (v version, warning string, ok bool) {
	lines := splitLines(out)
	for i := len(lines) - 1; i >= 0; i-- {
		m := versionLine.FindStringSubmatch(strings.TrimSpace(lines[i]))
		if m == nil {
			continue
		}
		v.major, _ = strconv.Atoi(m[1])
		v.minor, _ = strconv.Atoi(m[2])
		v.patch, _ = strconv.Atoi(m[3])
		return v, strings.Join(strings.Fields(strings.Join(lines[:i], " ")), " "), true
	}
	return version{}, "", false
}

func splitLines(s string) []string {
	return strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
}

// parseInfo reads the answer to showvminfo --machinereadable: key=value, either of
// them perhaps in quotes. What follows a closing quote is left aside, and so are
// lines of another shape. Of a key that comes twice the first counts.
func parseInfo(out string) map[string]string {
	info := map[string]string{}
	rest := strings.ReplaceAll(out, "\r\n", "\n")
	for rest != "" {
		var key, value string
		var ok bool
		key, value, rest, ok = nextPair(rest)
		if !ok || key == "" {
			continue
		}
		if _, twice := info[key]; !twice {
			info[key] = value
		}
	}
	return info
}

// nextPair takes a pair, or a line that is none, from the front of s.
func nextPair(s string) (key, value, rest string, ok bool) {
	line, after, _ := strings.Cut(s, "\n")
	at := s
	if strings.HasPrefix(line, `"`) {
		if key, at, ok = quoted(line); !ok {
			return "", "", after, false
		}
		if !strings.HasPrefix(at, "=") {
			return "", "", after, false
		}
		at = s[len(line)-len(at)+1:]
	} else {
		i := strings.IndexByte(line, '=')
		if i < 0 {
			return "", "", after, false
		}
		key, at = strings.TrimSpace(line[:i]), s[i+1:]
	}
	if strings.HasPrefix(at, `"`) {
		if value, at, ok = quoted(at); ok { // may go on over lines, as a description does
			_, rest, _ = strings.Cut(at, "\n")
			return key, value, rest, true
		}
	}
	value, rest, _ = strings.Cut(at, "\n")
	return key, value, rest, true
}

// quoted takes a quoted text from the front of s, in which a backslash stands
// before a quote or another backslash.
func quoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", s, false
}

// record is a paragraph of "Key:   value" lines.
type record map[string]string

// parseRecords reads the answers to list hostonlyifs, hostonlynets, dhcpservers,
// hdds and dvds. first is the key that each record begins with: an empty line may
// stand within one. Indented lines are details and left aside.
func parseRecords(out, first string) []record {
	var all []record
	for _, line := range splitLines(out) {
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" || key != strings.TrimSpace(key) {
			continue
		}
		if key == first {
			all = append(all, record{})
		}
		if len(all) == 0 {
			continue
		}
		r := all[len(all)-1]
		if _, twice := r[key]; !twice {
			r[key] = strings.TrimSpace(value)
		}
	}
	return all
}

// parseLeases finds the newest address in a network that macOS gave to a MAC address, in
// its own file of leases: blocks in braces, with lines of key=value. MAC addresses have
// no leading zeros there. A guest may have told another identity than its MAC address;
// then it is known by its name.
func parseLeases(text, mac, name, cidr string) string {
	network, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	address := ""
	best := uint64(0)
	for block := range strings.SplitSeq(text, "{") {
		block, _, _ = strings.Cut(block, "}")
		lease := map[string]string{}
		for _, line := range splitLines(block) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				lease[key] = value
			}
		}
		a, err := netip.ParseAddr(lease["ip_address"])
		if err != nil || !network.Contains(a) {
			continue
		}
		ends, err := strconv.ParseUint(strings.TrimPrefix(lease["lease"], "0x"), 16, 62)
		if err != nil {
			continue
		}
		switch {
		case sameMAC(lease["hw_address"], mac):
			ends |= 1 << 63 // before any that only has the name
		case name == "" || lease["name"] != name:
			continue
		}
		if ends >= best {
			best, address = ends, a.String()
		}
	}
	return address
}

// sameMAC compares 1,8:0:27:1:aa:b with 08002701AA0B. The first number says that it is
// an address of Ethernet.
func sameMAC(hardware, mac string) bool {
	var b strings.Builder
	parts := strings.Split(strings.TrimPrefix(hardware, "1,"), ":")
	for _, p := range parts {
		if len(p) == 1 {
			b.WriteByte('0')
		}
		b.WriteString(p)
	}
	return len(parts) == 6 && strings.EqualFold(b.String(), mac)
}

// parseExtraData reads the answer to getextradata global enumerate.
func parseExtraData(out string) map[string]string {
	all := map[string]string{}
	for _, line := range splitLines(out) {
		rest, ok := strings.CutPrefix(line, "Key: ")
		if !ok {
			continue
		}
		if key, value, ok := strings.Cut(rest, ", Value: "); ok {
			all[key] = value
		}
	}
	return all
}

// prefixOf returns an address with the prefix that a mask such as 255.255.255.0
// stands for.
func prefixOf(address, mask string) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return netip.Prefix{}, false
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() {
		return netip.Prefix{}, false
	}
	b := m.As4()
	bits := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	ones := 0
	for ; bits&(1<<31) != 0; bits <<= 1 {
		ones++
	}
	if bits != 0 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, ones), true
}

// maskOf returns the mask of a prefix as 255.255.255.0.
func maskOf(p netip.Prefix) string {
	bits := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}).String()
}
