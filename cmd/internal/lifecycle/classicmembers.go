package lifecycle

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/hostsmith/machine/swarmboot"
)

// ClassicCreate returns a discovery URL that no swarm has: machine keeps the list of its members.
func (m *Manager) ClassicCreate() (id, discovery string, err error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", "", err
	}
	id = hex.EncodeToString(b[:])
	return id, swarmboot.ListURL(id), nil
}

// ClassicMembers returns the addresses of the members of a classic swarm, by its discovery URL, its id, its name or a member's name.
func (m *Manager) ClassicMembers(ctx context.Context, name string) ([]string, error) {
	discovery := name
	if !strings.Contains(name, "://") {
		s, ok := m.findClassic(name)
		if ok {
			discovery = s.discovery
		} else if s, ok := m.classicOf(swarmboot.ListURL(name)); ok {
			discovery = s.discovery
		} else if _, err := m.findCluster(name); err == nil {
			return nil, &KindError{fmt.Sprintf("%q is in Swarm mode: its members are told by machine swarm status %s", name, name)}
		} else {
			return nil, fmt.Errorf("%w: there is no classic swarm %q", ErrNoSwarm, name)
		}
	}
	if base, token, ok := ownService(discovery); ok {
		return askService(ctx, http.DefaultClient, base, token)
	}
	file, own := swarmboot.OwnList(discovery)
	switch {
	case strings.HasPrefix(discovery, "nodes://"):
		return swarmboot.ParseNodes(discovery), nil
	case !own:
		return nil, &swarmboot.HintError{
			Err:    fmt.Errorf("%w: the members of %s are known to the discovery service only", ErrKind, discovery),
			Advice: "ask it by way of a machine that reaches it: docker run --rm " + classicImage + " list " + discovery,
		}
	}
	s, _ := m.classicOf(discovery)
	for _, rec := range s.masters {
		members, err := m.readList(ctx, rec.Name, file)
		if err == nil {
			return members, nil
		}
		m.Note(ctx, fmt.Sprintf("master %s does not tell its list: %v", rec.Name, err))
	}
	var members []string // as the next master would have them
	for _, member := range m.listed(s, "") {
		members = append(members, member.Addr)
	}
	return members, nil
}

func (m *Manager) readList(ctx context.Context, name, file string) ([]string, error) {
	conn, err := m.Dial(ctx, name)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return swarmboot.ReadList(ctx, conn, file)
}
