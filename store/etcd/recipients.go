package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

const recipientsFile = "recipients"

// Recipient is somebody who can read the store's secrets.
type Recipient struct {
	Key  string `json:"key"` // age1... or ssh-ed25519 ...
	Name string `json:"name,omitempty"`
}

func (b *Backend) readTeam() (team, error) {
	resp, err := b.read("read the recipients", clientv3.OpGet(b.key(recipientsFile)))
	if err != nil {
		return team{}, err
	}
	var t team
	for _, kv := range keyValues(resp) {
		t.revision = kv.ModRevision
		if err := json.Unmarshal(kv.Value, &t); err != nil {
			return t, fmt.Errorf("read the recipients: %w: %w", store.ErrCorrupt, err)
		}
	}
	return t, nil
}

// Recipients returns whom secrets are encrypted for. pending tells that a change of them
// did not come to its end.
func (b *Backend) Recipients() (all []Recipient, pending bool, err error) {
	t, err := b.readTeam()
	return t.Keys, t.Pending, err
}

// CanSeal implements store.Sealer.
func (b *Backend) CanSeal() error {
	_, _, err := b.recipients()
	return err
}

// OwnRecipient returns the public key of the user's identity. With create, one is made if
// there is none.
func (b *Backend) OwnRecipient(create bool) (string, error) {
	file := b.config.Identity
	if _, err := os.Lstat(file); create && errors.Is(err, os.ErrNotExist) {
		if err := makeIdentity(file); err != nil {
			return "", fmt.Errorf("make age identity: %w", err)
		}
	}
	own, err := b.identities()
	if err != nil {
		return "", err
	}
	for _, one := range own {
		if one, ok := one.(*age.X25519Identity); ok {
			return one.Recipient().String(), nil
		}
	}
	return "", &store.HintError{
		Err:    fmt.Errorf("%s is not of age-keygen", file),
		Advice: "give the public key, which is in the file beside it: machine store recipients add \"$(cat " + file + ".pub)\"",
	}
}

func makeIdentity(file string) error {
	one, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	text := "# public key: " + one.Recipient().String() + "\n" + one.String() + "\n"
	return store.NewFolder(filepath.Dir(file)).Replace(filepath.Base(file), []byte(text))
}

// SetRecipients changes whom secrets are encrypted for, and encrypts what there is again: first
// the new list counts for what is written from now on, then each secret is written anew. Done
// again it goes on. Who does it must be able to read the secrets before and after.
func (b *Backend) SetRecipients(ctx context.Context, command string, change func([]Recipient) ([]Recipient, error)) (rewritten int, err error) {
	held, err := b.Acquire(ctx, "shared", command, true)
	if err != nil {
		return 0, err
	}
	defer held.Release(false)
	l := held.(*lock) //nolint:forcetypeassert // Acquire makes nothing else
	t, err := b.readTeam()
	if err != nil {
		return 0, err
	}
	if t.Keys, err = change(t.Keys); err != nil {
		return 0, err
	}
	recipients, err := b.usable(t.Keys)
	if err != nil {
		return 0, err
	}
	if _, err := l.sealAll(nil); err != nil {
		return 0, err // before anything is changed
	}
	t.Pending = true
	if t.revision, err = l.writeTeam(t); err != nil {
		return 0, err
	}
	if rewritten, err = l.sealAll(recipients); err != nil {
		return rewritten, err
	}
	t.Pending = false
	_, err = l.writeTeam(t)
	return rewritten, err
}

// usable returns the recipients, if the user is among them.
func (b *Backend) usable(keys []Recipient) ([]age.Recipient, error) {
	var texts []string
	for i, r := range keys {
		texts = append(texts, r.Key)
		if slices.ContainsFunc(keys[:i], func(o Recipient) bool { return o.Key == r.Key }) {
			return nil, fmt.Errorf("recipient %s is there twice", r.Key)
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("nobody would be left: %w", store.ErrNoRecipients)
	}
	recipients, err := parseRecipients(texts)
	if err != nil {
		return nil, err
	}
	own, err := b.identities()
	if err != nil {
		return nil, err
	}
	value, err := seal([]byte("own"), recipients)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(value), own...)
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, &store.HintError{
			Err:    fmt.Errorf("you would not be among the recipients: %w", store.ErrSealed),
			Advice: "add yourself first: machine store recipients add; somebody else of the team can remove you",
		}
	}
	return recipients, nil
}

func (l *lock) writeTeam(t team) (int64, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return 0, err
	}
	return l.commit(recipientsFile, func() (change, error) {
		return change{ops: []clientv3.Op{clientv3.OpPut(l.b.key(recipientsFile), string(data))}, value: data}, nil
	})
}

// sealAll encrypts every secret again; without recipients it sees that the user can. One that others write meanwhile is theirs: they use the
// new list.
func (l *lock) sealAll(recipients []age.Recipient) (int, error) {
	b := l.b
	resp, err := b.read("read the shared store", clientv3.OpGet(b.key(""), clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, kv := range keyValues(resp) {
		p := b.path(kv.Key)
		if !known(p) {
			continue
		}
		done, err := l.sealAgain(p, recipients)
		if err != nil {
			return n, err
		}
		if done {
			n++
		}
	}
	return n, nil
}

func (l *lock) sealAgain(p string, recipients []age.Recipient) (bool, error) {
	b := l.b
	resp, err := b.read("read "+p, clientv3.OpGet(b.key(p)))
	if err != nil {
		return false, err
	}
	for _, kv := range keyValues(resp) {
		if !sealed(kv.Value) {
			return false, nil
		}
		data, err := b.open(p, kv.Value)
		if err != nil {
			return false, err
		}
		if recipients == nil {
			return true, nil
		}
		value, err := seal(data, recipients)
		if err != nil {
			return false, err
		}
		return true, l.replaceSeen(p, kv.ModRevision, value)
	}
	return false, nil
}

// replaceSeen writes a value in the place of one that was seen; one that changed since stays.
func (l *lock) replaceSeen(p string, seen int64, value []byte) error {
	client, err := l.b.kv()
	if err != nil {
		return err
	}
	ctx, stop := l.b.within(l.b.base)
	defer stop()
	for {
		resp, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(l.key), "=", l.made), clientv3.Compare(clientv3.ModRevision(l.b.key(p)), "=", seen)).
			Then(clientv3.OpPut(l.b.key(p), string(value))).
			Else(clientv3.OpGet(l.key, clientv3.WithKeysOnly())).Commit()
		if err != nil {
			if err = l.b.failed("write "+p, err); permanent(err) || !pause(ctx) {
				return err
			}
			continue
		}
		if kvs := keyValues(resp); !resp.Succeeded && (len(kvs) == 0 || kvs[0].CreateRevision != l.made) {
			return l.lost()
		}
		return nil
	}
}

// ParseRecipient reads a public key of age's or of OpenSSH's, with a name behind it; else the error is ErrRecipient.
func ParseRecipient(text string) (Recipient, error) {
	fields := strings.Fields(text)
	var r Recipient
	switch {
	case len(fields) > 1 && strings.HasPrefix(fields[0], "ssh-"):
		r = Recipient{Key: fields[0] + " " + fields[1], Name: strings.Join(fields[2:], " ")}
	case len(fields) > 0:
		r = Recipient{Key: fields[0], Name: strings.Join(fields[1:], " ")}
	}
	if _, err := parseRecipient(r.Key); err != nil {
		return r, &store.HintError{
			Err:    store.ErrRecipient, // without the text, which may be a secret key
			Advice: "give a public key: age1... of age-keygen, or ssh-ed25519 ...",
		}
	}
	return r, nil
}
