package azuresim

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
)

// call is a request to the resource manager, taken apart.
type call struct {
	r    *http.Request
	body []byte
	who  *principal

	subscription string
	group        string
	provider     string   // such as Microsoft.Network
	types        []string // such as virtualNetworks, subnets
	names        []string // as many as types, or one fewer: a list, or an action on a resource
}

func lower(s string) string { return strings.ToLower(s) }

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// parse takes a resource manager's path apart. Its fixed words may be written in any case.
func parse(path string) (k call, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) == 0 || !strings.EqualFold(parts[0], "subscriptions") {
		return k, false
	}
	if parts = parts[1:]; len(parts) == 0 {
		return k, true
	}
	k.subscription, parts = parts[0], parts[1:]
	if len(parts) > 1 && strings.EqualFold(parts[0], "resourceGroups") {
		k.group, parts = parts[1], parts[2:]
	}
	if len(parts) > 1 && strings.EqualFold(parts[0], "providers") && (len(parts) > 2 || k.group != "") {
		k.provider, parts = parts[1], parts[2:]
	}
	for i, p := range parts {
		if i%2 == 0 {
			k.types = append(k.types, p)
		} else {
			k.names = append(k.names, p)
		}
	}
	return k, true
}

// tail is the last type, or the action on a resource.
func (k *call) tail() string {
	if len(k.types) == 0 {
		return ""
	}
	return k.types[len(k.types)-1]
}

// whole tells whether the path names one resource.
func (k *call) whole() bool { return len(k.names) == len(k.types) && len(k.types) > 0 }

// typ is the type of what is named: without the action, if there is one.
func (k *call) typ() string {
	return k.provider + "/" + strings.Join(k.types[:max(len(k.names), 1)], "/")
}

// name is that of the resource itself.
func (k *call) name() string { return k.names[len(k.names)-1] }

func (k *call) groupID() string {
	return "/subscriptions/" + Subscription + "/resourceGroups/" + k.group
}

// id is that of the resource that is named, its types as their kinds write them.
func (k *call) id(typ string) string {
	words := strings.Split(typ, "/")
	id := k.groupID() + "/providers/" + words[0]
	for i, w := range words[1:] {
		id += "/" + w + "/" + k.names[i]
	}
	return id
}

// groupOf returns the name of the group that an id lies in.
func groupOf(id string) string {
	k, _ := parse(id)
	return k.group
}

// base is the address of the endpoint as the client sees it.
func base(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}
