package swarmboot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// UnlockKey opens locked managers; it goes to where the user wants it, into request bodies, and nowhere else.
type UnlockKey string

// String hides the key from every fmt verb that prints text.
func (UnlockKey) String() string { return "[unlock key]" }

// GoString hides it from %#v.
func (UnlockKey) GoString() string { return "[unlock key]" }

// Autolocked asks a manager whether managers of its swarm need a key when their engines start.
func Autolocked(ctx context.Context, manager Engine) (bool, error) {
	c, err := clusterOf(ctx, manager)
	if err != nil {
		return false, fmt.Errorf("ask whether the swarm locks: %w", err)
	}
	return c.autolocks()
}

func (c *clusterObject) autolocks() (bool, error) {
	var e struct{ AutoLockManagers bool }
	err := c.Spec.read("EncryptionConfig", &e)
	return e.AutoLockManagers, err
}

// SetAutolock makes managers need a key from their engines' next start on, or not need it any more. Nothing is written
// when the swarm is so already.
func SetAutolock(ctx context.Context, manager Engine, on bool) error {
	err := updateCluster(ctx, manager, "", func(c *clusterObject) (bool, error) {
		is, err := c.autolocks()
		if err != nil || is == on {
			return false, err
		}
		return true, c.Spec.set("EncryptionConfig", map[string]any{"AutoLockManagers": on})
	})
	if err != nil {
		return fmt.Errorf("set autolock: %w", err)
	}
	return nil
}

// UnlockKeyOf asks a manager for the key; empty: its swarm does not lock.
func UnlockKeyOf(ctx context.Context, manager Engine) (UnlockKey, error) {
	var answer struct{ UnlockKey UnlockKey }
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		err := leaderless(call(ctx, manager, http.MethodGet, "/swarm/unlockkey", nil, &answer))
		return err == nil, err
	})
	if err != nil {
		return "", fmt.Errorf("ask for the unlock key: %w", err)
	}
	return answer.UnlockKey, nil
}

// RotateUnlockKey has the managers make another key. One that is down takes it over when it is back, and until
// then needs the former one.
func RotateUnlockKey(ctx context.Context, manager Engine) error {
	err := updateCluster(ctx, manager, "rotateManagerUnlockKey=true", func(c *clusterObject) (bool, error) {
		is, err := c.autolocks()
		if err == nil && !is {
			err = ErrNotLocking
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("rotate the unlock key: %w", err)
	}
	return nil
}

// Locked reports whether an engine waits for the key.
func (s Seen) Locked() bool { return s.Reachable && s.State == "locked" }

// Unlock gives a locked engine the key and waits until it is in its swarm again. An engine that is not locked is fine.
// ErrUnlockKey: the key is another one. Managers of which most are locked have to be unlocked at the same time, because
// each waits for a leader.
func Unlock(ctx context.Context, e Engine, key UnlockKey) error {
	err := call(ctx, e, http.MethodPost, "/swarm/unlock", struct{ UnlockKey string }{string(key)}, nil)
	switch {
	case err == nil, says(err, "swarm is not locked"):
	case says(err, "invalid key", "not a valid key", "unlock key") || status(err) == http.StatusUnauthorized || status(err) == http.StatusForbidden:
		return ErrUnlockKey
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case status(err) != 0 && !noLeader(err) && !inBackground(err):
		return fmt.Errorf("unlock: %w", err)
	}
	// An answer that got lost, or came early: the engine's state tells what it was.
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		i, err := info(ctx, e)
		if err == nil && i.Swarm.LocalNodeState == "error" {
			return false, unhealing{errors.New(redact(i.Swarm.Error))}
		}
		return err == nil && i.Swarm.LocalNodeState == "active" && i.Swarm.ControlAvailable, err
	})
	if err != nil {
		return fmt.Errorf("wait for the unlocked manager: %w", err)
	}
	return nil
}
