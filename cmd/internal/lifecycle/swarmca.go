package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// SigningKey is the private key of an authority; nothing prints it.
type SigningKey = swarmboot.SigningKey

// rotateCALimit is for how long a rotation is waited for. The managers need seconds where all nodes are up.
const rotateCALimit = 5 * time.Minute

// RotateTokensRequest asks for new join tokens.
type RotateTokensRequest struct {
	Swarm  string // or a member; empty: the only one
	Role   string // manager or worker; empty: both
	DryRun bool
}

// SwarmRotateTokens replaces the join tokens of a swarm. Nobody is told the new ones: they are fetched at use.
func (m *Manager) SwarmRotateTokens(ctx context.Context, req RotateTokensRequest) (swarm string, planned []Planned, err error) {
	if r := req.Role; r != "" && r != string(swarmboot.Manager) && r != string(swarmboot.Worker) {
		return "", nil, fmt.Errorf("%w: role %q is neither manager nor worker", ErrUsage, r)
	}
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return "", nil, err
	}
	eng, via, err := m.aManager(ctx, c, "")
	if err != nil {
		return c.Name, nil, err
	}
	defer eng.close()
	if req.DryRun {
		what := "both join tokens"
		if req.Role != "" {
			what = "the join token of " + req.Role + "s"
		}
		return c.Name, []Planned{{Machine: via.rec.Name, Steps: []string{"replace " + what + " of swarm " + c.Name}}}, nil
	}
	return c.Name, nil, m.rotateTokens(ctx, c.Name, eng, req.Role)
}

func (m *Manager) rotateTokens(ctx context.Context, swarm string, eng *engine, role string) error {
	return m.Step(ctx, "rotate join tokens of "+swarm, func(ctx context.Context) error {
		return swarmboot.RotateTokens(ctx, eng, swarmboot.Role(role))
	})
}

// CertExpiryRequest asks for another life of the certificates of nodes.
type CertExpiryRequest struct {
	Swarm  string // or a member; empty: the only one
	Expiry time.Duration
	DryRun bool
}

// SwarmCertExpiry sets how long certificates that nodes get from now on are good for.
func (m *Manager) SwarmCertExpiry(ctx context.Context, req CertExpiryRequest) (swarm string, planned []Planned, err error) {
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return "", nil, err
	}
	eng, via, err := m.aManager(ctx, c, "")
	if err != nil {
		return c.Name, nil, err
	}
	defer eng.close()
	a, err := swarmboot.AuthorityOf(ctx, eng)
	if err != nil {
		return c.Name, nil, err
	}
	if req.DryRun {
		p := Planned{Machine: via.rec.Name}
		if a.Expiry != req.Expiry {
			p.Steps = []string{fmt.Sprintf("make certificates that nodes of swarm %s get from now on good for %s instead of %s", c.Name, req.Expiry, a.Expiry)}
		}
		return c.Name, []Planned{p}, nil
	}
	if a.Expiry == req.Expiry {
		m.Note(ctx, "certificates of nodes are good for "+req.Expiry.String()+" already")
		return c.Name, nil, nil
	}
	if err := swarmboot.SetCertExpiry(ctx, eng, req.Expiry); err != nil {
		return c.Name, nil, err
	}
	m.Note(ctx, "nodes keep the certificates that they have until they renew them, after half of their life or more; swarm rotate-ca renews all at once")
	return c.Name, nil, nil
}

// RotateCARequest asks for another authority of a swarm.
type RotateCARequest struct {
	Swarm  string        // or a member; empty: the only one
	Cert   string        // of the authority to take over, PEM; empty: the managers make one
	Key    SigningKey    // of Cert
	Expiry time.Duration // of certificates of nodes; 0: as it is
	DryRun bool
}

// RotatedCA is a rotation that is through.
type RotatedCA struct {
	Swarm   string `json:"swarm"`
	Nodes   int    `json:"nodes"`
	Root    string `json:"root"` // SHA-256 of the certificate that all nodes trust now
	Resumed bool   `json:"resumed,omitempty"`
}

// rotatingCA is what a rotation remembers. A certificate is no secret; its key is not kept.
type rotatingCA struct {
	Number uint64
	Cert   string        `json:",omitempty"`
	Expiry time.Duration `json:",omitempty"`
}

// SwarmRotateCA replaces the authority of a swarm and waits until each node has a certificate of the next one and trusts
// it alone. A rotation that did not end is gone on with, and never ordered twice.
func (m *Manager) SwarmRotateCA(ctx context.Context, req RotateCARequest) (RotatedCA, []Planned, error) {
	if err := (swarmboot.Rotation{Cert: req.Cert}).Check(m.Now()); err != nil {
		return RotatedCA{}, nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return RotatedCA{}, nil, err
	}
	eng, via, err := m.aManager(ctx, c, "")
	if err != nil {
		return RotatedCA{}, nil, err
	}
	defer eng.close()
	if req.DryRun {
		p, err := planRotateCA(ctx, eng, c, req)
		p.Machine = via.rec.Name
		return RotatedCA{}, []Planned{p}, err
	}
	out := RotatedCA{Swarm: c.Name}
	if out.Resumed, err = m.orderRotation(ctx, eng, c.Name, req); err != nil {
		return out, nil, err
	}
	// Without the lock: nodes that hold it up may be taken out meanwhile.
	wait, cancel := within(ctx, m.Wait.Swarm, rotateCALimit, "wait for the nodes' certificates")
	defer cancel()
	err = m.Step(wait, "wait until each node has a certificate of the new authority", func(ctx context.Context) error {
		return swarmboot.WaitCertified(ctx, eng, func(now swarmboot.Certified) {
			out.Nodes = now.Nodes
			m.Note(ctx, now.String())
		})
	})
	if err != nil {
		return out, nil, fmt.Errorf("rotate the authority of swarm %q: %w", c.Name, err)
	}
	a, err := swarmboot.AuthorityOf(ctx, eng)
	if err != nil {
		return out, nil, err
	}
	out.Root = fingerprint(a.Root)
	return out, nil, m.endRotation(ctx, c.Name, a.Rotations)
}

// orderRotation records the intent and gives the order, each unless a command before did.
func (m *Manager) orderRotation(ctx context.Context, eng *engine, swarm string, req RotateCARequest) (resumed bool, err error) {
	txn, cluster, err := m.lockCluster(ctx, swarm)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	a, err := swarmboot.AuthorityOf(ctx, eng)
	if err != nil {
		return false, err
	}
	op, err := begin(m, txn, &cluster, rotateCAOperation, "swarm rotate-ca "+swarm, rotatingCA{Number: a.Rotations + 1, Cert: req.Cert, Expiry: req.Expiry})
	if err != nil {
		return false, err
	}
	r := op.State.rotation(req.Key)
	switch {
	case op.Resumed && req.Cert != "" && req.Cert != r.Cert:
		return true, fmt.Errorf("%w: the rotation begun %s is to another authority", ErrOperation, cluster.Operation.Begun.Format("2006-01-02 15:04"))
	case op.Resumed && r.Ordered(a):
		m.Note(ctx, "goes on with the rotation begun "+cluster.Operation.Begun.Format("2006-01-02 15:04"))
	case op.Resumed && r.Cert != "" && req.Key == "":
		return true, fmt.Errorf("%w: the rotation begun before was not ordered yet: give --ca-cert and --ca-key again", ErrUsage)
	}
	err = m.Step(ctx, "have the managers rotate the authority", func(ctx context.Context) error { return swarmboot.RotateCA(ctx, eng, r) })
	var refused interface{ StatusCode() int }
	if errors.As(err, &refused) && !op.Resumed {
		if a, aerr := swarmboot.AuthorityOf(ctx, eng); aerr == nil && !r.Ordered(a) {
			err = errors.Join(err, op.end()) // nothing was begun
		}
	}
	return op.Resumed, err
}

func (s rotatingCA) rotation(key SigningKey) swarmboot.Rotation {
	return swarmboot.Rotation{Number: s.Number, Cert: s.Cert, Key: key, Expiry: s.Expiry}
}

// endRotation forgets the rotation, which another command may have done already, and keeps how many there were.
func (m *Manager) endRotation(ctx context.Context, swarm string, rotations uint64) (err error) {
	txn, cluster, err := m.lockCluster(ctx, swarm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if cluster.Operation == nil || cluster.Operation.Kind != rotateCAOperation {
		return nil
	}
	cluster.Operation, cluster.Rotations = nil, rotations
	return txn.Put(cluster)
}

func planRotateCA(ctx context.Context, eng *engine, c store.Cluster, req RotateCARequest) (Planned, error) {
	a, err := swarmboot.AuthorityOf(ctx, eng)
	if err != nil {
		return Planned{}, err
	}
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return Planned{}, err
	}
	state := rotatingCA{Number: a.Rotations + 1, Cert: req.Cert, Expiry: req.Expiry}
	if before, err := pending[rotatingCA](c, rotateCAOperation); err != nil {
		return Planned{}, err
	} else if before != nil {
		state = *before
	}
	return Planned{Steps: swarmboot.PlanRotation(a, members, state.rotation(req.Key))}, nil
}

// fingerprint is the SHA-256 of a certificate.
func fingerprint(cert string) string {
	data := []byte(cert)
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}
