package ec2sim

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// wildcard matches EC2's filters and IAM's actions: * is anything, ? one
// character, and a backslash takes that meaning away.
func wildcard(pattern, s string) bool {
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '*':
			rest := pattern[1:]
			for i := 0; i <= len(s); i++ {
				if wildcard(rest, s[i:]) {
					return true
				}
			}
			return false
		case s == "":
			return false
		case c == '\\' && len(pattern) > 1:
			if pattern = pattern[1:]; pattern[0] != s[0] {
				return false
			}
		case c != '?' && c != s[0]:
			return false
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}

// filter is one of a request's filters.
type filter struct {
	name string
	any  []string
}

// maxFilterValues is how many values all filters of a request may have.
const maxFilterValues = 200

// filters reads a request's filters. Those that EC2 does not have for the action are refused.
func (k *call) filters() ([]filter, error) {
	var all []filter
	n := 0
	for _, f := range k.p.list("Filters") {
		one := filter{f.str("Name"), f.strs("Values")}
		if len(one.any) == 0 {
			return nil, fault("InvalidParameterValue", "The filter '%s' has no values", one.name)
		}
		name := one.name
		if strings.HasPrefix(name, "tag:") {
			name = "tag:"
		}
		if !slices.Contains(k.c.api.Filters[k.action], name) {
			return nil, fault("InvalidParameterValue", "The filter '%s' is invalid", one.name)
		}
		all = append(all, one)
		n += len(one.any)
	}
	if n > maxFilterValues {
		return nil, fault("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
	}
	return all, nil
}

func notSimulatedFilter(f filter) error {
	return fault("NotSimulated", "the simulator does not act on the filter %s", f.name)
}

// passes tells whether an entity passes all filters.
func passes[T entity](k *call, t T, filters []filter) (bool, error) {
	for _, f := range filters {
		values, ok := tagValues(t.base().tags, f.name)
		if !ok {
			if values, ok = t.values(k, f.name); !ok {
				return false, notSimulatedFilter(f)
			}
		}
		hit := slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(f.any, func(pattern string) bool { return wildcard(pattern, v) })
		})
		if !hit {
			return false, nil
		}
	}
	return true, nil
}

func tagValues(tags map[string]string, name string) ([]string, bool) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if v, has := tags[key]; has {
			return []string{v}, true
		}
		return nil, true
	}
	if name == "tag-key" {
		return slices.Collect(maps.Keys(tags)), true
	}
	return nil, false
}

// listing says how a Describe action names its ids.
type listing struct {
	ids     string // the parameter's member name
	prefix  string // of ids
	noun    string // as in "The instance ID 'i-1' does not exist"
	code    string // as in "InvalidInstanceID"
	paged   string // the largest page; empty: not paged
	smaller int    // the smallest page
}

// describe returns what a Describe request asks for, and the next page's token.
func describe[T entity](k *call, all []T, l listing) ([]T, any, error) {
	ids := k.p.strs(l.ids)
	filters, err := k.filters()
	if err != nil {
		return nil, nil, err
	}
	size, from, err := k.page(l, len(ids) > 0)
	if err != nil {
		return nil, nil, err
	}
	if err := k.check(); err != nil {
		return nil, nil, err
	}
	chosen, err := byIDs(k, all, ids, l)
	if err != nil {
		return nil, nil, err
	}
	var next any
	early := size > 0 && !k.p.has("MaxResults")
	if early {
		chosen, next = cut(k, chosen, from, size)
	}
	var found []T
	for _, t := range chosen {
		ok, err := passes(k, t, filters)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			found = append(found, t)
		}
	}
	if !early {
		found, next = cut(k, found, from, size)
	}
	return found, next, nil
}

func byIDs[T entity](k *call, all []T, ids []string, l listing) ([]T, error) {
	var chosen []T
	if len(ids) == 0 {
		for _, t := range all {
			if t.visible(k) {
				chosen = append(chosen, t)
			}
		}
		return chosen, nil
	}
	var missing []string
	for _, id := range ids {
		if err := l.wellFormed(id); err != nil {
			return nil, err
		}
		t, ok := seen(k, all, id)
		if !ok {
			missing = append(missing, id)
		} else if !slices.Contains(chosen, t) {
			chosen = append(chosen, t)
		}
	}
	if len(missing) > 0 {
		return nil, l.notFound(missing...)
	}
	return chosen, nil
}

func (l listing) wellFormed(id string) error {
	if hex, ok := strings.CutPrefix(id, l.prefix+"-"); ok && regexp.MustCompile("^([0-9a-f]{8}|[0-9a-f]{17})$").MatchString(hex) {
		return nil
	}
	code := l.code + ".Malformed"
	if l.code == "InvalidGroup" {
		code = "InvalidGroupId.Malformed"
	}
	return fault(code, "Invalid id: \"%s\" (expecting \"%s-...\")", id, l.prefix)
}

func (l listing) notFound(ids ...string) error {
	if len(ids) == 1 {
		return fault(l.code+".NotFound", "The %s '%s' does not exist", l.noun, ids[0])
	}
	return fault(l.code+".NotFound", "The %ss '%s' do not exist", l.noun, strings.Join(ids, ", "))
}

// page reads which page is wanted.
func (k *call) page(l listing, ids bool) (size, from int, err error) {
	if l.paged == "" {
		return 0, 0, nil
	}
	largest, _ := strconv.Atoi(l.paged)
	size = k.p.num("MaxResults", 0)
	if !ids && !k.p.has("MaxResults") {
		size = k.c.config.Page
	}
	if k.p.has("MaxResults") {
		if ids {
			return 0, 0, fault("InvalidParameterCombination", "The parameter %sSet cannot be used with the parameter maxResults", strings.TrimSuffix(l.noun, " ID"))
		}
		if size < l.smaller {
			return 0, 0, fault("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", size, l.smaller)
		}
		size = min(size, largest)
	}
	if t := k.p.str("NextToken"); t != "" {
		b, err := base64.StdEncoding.DecodeString(t)
		if err != nil {
			return 0, 0, fault("InvalidNextToken", "The token '%s' is invalid", t)
		}
		n, err := strconv.Atoi(strings.TrimPrefix(string(b), k.action+"/"))
		if err != nil {
			return 0, 0, fault("InvalidNextToken", "The token '%s' is invalid", t)
		}
		from = n
	}
	return size, from, nil
}

// cut returns a page and the token of the next one.
func cut[T any](k *call, all []T, from, size int) ([]T, any) {
	all = all[min(from, len(all)):]
	if size == 0 || len(all) <= size {
		return all, nil
	}
	return all[:size], base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s/%d", k.action, from+size))
}
