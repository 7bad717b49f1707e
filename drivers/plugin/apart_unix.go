//go:build unix && !linux

package plugin

import "syscall"

// apart has a plugin not be interrupted with this process. If this process is killed, heartbeats stay away and the
// plugin ends by itself.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
