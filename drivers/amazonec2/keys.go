package amazonec2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// publicKey returns the key that may log in: the one of the request, or the
// public half of the user's own; empty if the user has it at EC2.
func (d *driver) publicKey(req drivers.CreateRequest) (string, error) {
	if d.cfg.KeyPair != "" {
		return "", nil
	}
	if d.cfg.KeyPath == "" {
		return req.AuthorizedKey, nil
	}
	file := d.expandHome(d.cfg.KeyPath) + ".pub"
	data, err := os.ReadFile(file)
	if err != nil {
		return "", &drivers.HintError{
			Err:    fmt.Errorf("%w: read its public half: %w", drivers.ErrKeyFile, err),
			Advice: "make it: ssh-keygen -y -f " + d.cfg.KeyPath + " > " + d.cfg.KeyPath + ".pub",
		}
	}
	return strings.TrimSpace(string(data)), nil
}

// expandHome resolves a leading ~/, which a shell leaves alone inside --flag=~/file.
func (d *driver) expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	home := d.env.Getenv("HOME")
	if !ok || home == "" {
		return path
	}
	return filepath.Join(home, rest)
}

func (d *driver) keyName() string {
	return fmt.Sprintf("machine-%s-%.8s", d.env.Machine, d.env.StoreID)
}

// ensureKey has EC2 know the key that may log in.
func (d *driver) ensureKey(ctx context.Context, a *account, public string) error {
	st := &d.state.Value.Key
	if st.ID != "" || st.Name == "" || !st.Ours {
		return nil
	}
	st.Asked = time.Now().UTC().Truncate(time.Second)
	if err := d.state.Save(); err != nil {
		return err
	}
	id, err := d.importKey(ctx, a, public)
	if definite(err) { // there is none to look for
		st.Asked = time.Time{}
		err = errors.Join(err, d.state.Save())
	}
	if err != nil {
		return fmt.Errorf("import key pair %s: %w", st.Name, err)
	}
	st.ID = id
	return d.state.Save()
}

func (d *driver) importKey(ctx context.Context, a *account, public string) (id string, err error) {
	name := d.state.Value.Key.Name
	in := &ec2.ImportKeyPairInput{
		KeyName: aws.String(name), PublicKeyMaterial: []byte(public),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeKeyPair, Tags: d.tags(name, true)}},
	}
	for range 2 {
		out, err := do(ctx, a.importKeyPair, in)
		if err == nil {
			return aws.ToString(out.KeyPairId), nil
		}
		if !says(err, "InvalidKeyPair.Duplicate") {
			return "", err
		}
		var found *types.KeyPairInfo
		late := d.settle(ctx, "key pair "+name, func(ctx context.Context) (_ bool, err error) { // not known everywhere yet
			found, err = a.findKey(ctx, name, true)
			return found != nil, err
		})
		if errors.Is(late, errUnsettled) {
			return "", err
		}
		if late != nil {
			return "", late
		}
		if !d.isMine(found.Tags) {
			return "", &drivers.HintError{Err: err, Advice: "it was not made for this machine; delete it if nobody needs it: aws ec2 delete-key-pair --key-name " + name}
		}
		if sameKey(public, aws.ToString(found.PublicKey)) {
			return aws.ToString(found.KeyPairId), nil
		}
		if err := d.deleteKey(ctx, a, aws.ToString(found.KeyPairId), name); err != nil {
			return "", err
		}
	}
	return "", errors.New("another of the same name comes back")
}

// findKey returns a key pair by its name; nil: there is none.
func (a *account) findKey(ctx context.Context, name string, public bool) (*types.KeyPairInfo, error) {
	in := &ec2.DescribeKeyPairsInput{KeyNames: []string{name}}
	if public {
		in.IncludePublicKey = aws.Bool(true)
	}
	out, err := do(ctx, a.describeKeyPairs, in)
	if says(err, "InvalidKeyPair.NotFound") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, k := range out.KeyPairs {
		if aws.ToString(k.KeyName) == name {
			return &k, nil
		}
	}
	return nil, nil
}

// deleteKey deletes a key pair by its id. A provider that does not say that it
// did may know key pairs by their names only. That is looked up if it can be.
func (d *driver) deleteKey(ctx context.Context, a *account, id, name string) error {
	if id != "" {
		out, err := do(ctx, a.deleteKeyPair, &ec2.DeleteKeyPairInput{KeyPairId: aws.String(id)})
		switch {
		case says(err, "InvalidKeyPair.NotFound"):
			return nil
		case err != nil && !says(err, "MissingParameter"), err == nil && aws.ToString(out.KeyPairId) == id:
			return err
		}
	}
	found, err := a.findKey(ctx, name, false)
	if id != "" && dispensable(err) {
		return nil
	}
	if err != nil || found == nil || aws.ToString(found.KeyPairId) != id {
		return err
	}
	_, err = do(ctx, a.deleteKeyPair, &ec2.DeleteKeyPairInput{KeyName: aws.String(name)})
	return err
}

// sameKey compares public keys without their comments.
func sameKey(x, y string) bool {
	a, b := strings.Fields(x), strings.Fields(y)
	return len(a) >= 2 && len(b) >= 2 && a[0] == b[0] && a[1] == b[1]
}

// removeKey deletes the key pair that Create imported.
func (d *driver) removeKey(ctx context.Context, a *account) error {
	st := &d.state.Value.Key
	if !st.Ours {
		return nil
	}
	theirs := false
	if st.ID == "" { // its import was not heard of
		var found *types.KeyPairInfo
		err := d.settle(ctx, "key pair "+st.Name, func(ctx context.Context) (_ bool, err error) { // it may show up late
			found, err = a.findKey(ctx, st.Name, d.state.Value.Legacy)
			return found != nil || time.Since(st.Asked) > unheardOf, err
		})
		if err != nil && !errors.Is(err, errUnsettled) {
			return fmt.Errorf("find key pair %s: %w", st.Name, err)
		}
		if theirs = found == nil || !d.isMine(found.Tags) && !(d.state.Value.Legacy && d.isImported(found)); !theirs {
			st.ID = aws.ToString(found.KeyPairId)
		}
	}
	if !theirs {
		if err := d.deleteKey(ctx, a, st.ID, st.Name); err != nil {
			return fmt.Errorf("delete key pair %s: %w", st.Name, err)
		}
	}
	*st = Key{}
	return d.state.Save()
}
