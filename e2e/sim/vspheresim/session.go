package vspheresim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// sessions returns the sessions that clients have.
func (c *Cloud) sessions() []types.UserSession {
	own := c.model.Service.Context.Session
	m, ok := own.Get(*c.model.ServiceContent.SessionManager).(*simulator.SessionManager)
	if !ok {
		return nil
	}
	return m.SessionList
}

func (c *Cloud) hasSession(key string) bool {
	return slices.ContainsFunc(c.sessions(), func(s types.UserSession) bool { return s.Key == key })
}

// Sessions returns how many sessions there are.
func (c *Cloud) Sessions() int { return len(c.sessions()) }

// ExpireSessions ends all sessions, as a vCenter does with those that idle for
// half an hour and when it is restarted.
func (c *Cloud) ExpireSessions() {
	var keys []string
	for _, s := range c.sessions() {
		keys = append(keys, s.Key)
	}
	m := c.registry().SessionManager()
	m.TerminateSession(c.asked(), &types.TerminateSession{This: m.Self, SessionId: keys})
}
