package swarmboot

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// What of the Engine API is used here, by the API's own names.
type (
	engineInfo struct {
		Name          string
		ServerVersion string
		DockerRootDir string
		Swarm         struct {
			LocalNodeState   string
			NodeID           string
			NodeAddr         string
			Error            string
			ControlAvailable bool
			RemoteManagers   []remoteManager
			Cluster          *clusterInfo
		}
	}
	remoteManager struct {
		NodeID string
		Addr   string
	}
	objectVersion struct{ Index uint64 }
	clusterInfo   struct {
		ID           string
		DataPathPort int // 0: of a swarm that is older than the choice
	}
	clusterObject struct {
		clusterInfo
		Version                objectVersion
		Spec                   clusterSpec
		JoinTokens             struct{ Worker, Manager joinToken }
		TLSInfo                tlsInfo
		RootRotationInProgress bool
	}
	tlsInfo struct {
		TrustRoot           string // PEM
		CertIssuerPublicKey string // base64 of its DER; of the next authority while a rotation goes on
	}
	nodeSpec struct {
		Name         string `json:",omitempty"`
		Labels       map[string]string
		Role         Role
		Availability string
	}
	nodeObject struct {
		ID          string
		Version     objectVersion
		Spec        nodeSpec
		Description struct {
			Hostname string
			Engine   struct{ EngineVersion string }
			TLSInfo  tlsInfo
		}
		Status struct {
			State   string
			Message string
			Addr    string
		}
		ManagerStatus *struct {
			Leader       bool
			Reachability string
			Addr         string
		}
	}
	taskObject struct {
		ID        string
		Name      string
		ServiceID string
		NodeID    string
		Slot      int
		Version   objectVersion
		Status    struct {
			State   string
			Message string
			Err     string
		}
		DesiredState string
		Spec         struct{ ContainerSpec *struct{ Image string } }
	}
	initSpec struct {
		CAConfig struct {
			NodeCertExpiry time.Duration `json:",omitempty"` // 0: as it is, or the engine's default
			ForceRotate    uint64        `json:",omitempty"` // taken as it is
		}
		EncryptionConfig struct{ AutoLockManagers bool } // taken as it is
	}
	initRequest struct {
		ListenAddr      string
		AdvertiseAddr   string
		DataPathAddr    string    `json:",omitempty"`
		DefaultAddrPool []string  `json:",omitempty"`
		SubnetSize      int       `json:",omitempty"`
		DataPathPort    int       `json:",omitempty"`
		Availability    string    `json:",omitempty"`
		Spec            *initSpec `json:",omitempty"`
		ForceNewCluster bool      `json:",omitempty"`
	}
	joinRequest struct {
		ListenAddr    string
		AdvertiseAddr string
		DataPathAddr  string `json:",omitempty"`
		RemoteAddrs   []string
		JoinToken     joinToken
		Availability  string `json:",omitempty"`
	}
)

// dataPathPort is the UDP port of traffic between containers.
func (c clusterInfo) dataPathPort() int { return cmp.Or(c.DataPathPort, DataPathPort) }

// joinToken is a join token; it goes into request bodies and nowhere else.
type joinToken string

// String hides the token from every fmt verb that prints text.
func (joinToken) String() string { return "[join token]" }

// GoString hides it from %#v.
func (joinToken) GoString() string { return "[join token]" }

// apiError is what an engine answered instead of doing it.
type apiError struct {
	status  int
	message string
}

var grpcPrefix = regexp.MustCompile(`rpc error: code = \w+ desc = `)

// Error leaves out the names of the transport between managers.
func (e *apiError) Error() string   { return grpcPrefix.ReplaceAllString(e.message, "") }
func (e *apiError) StatusCode() int { return e.status }
func (e *apiError) Message() string { return e.message }

var secrets = regexp.MustCompile(`SWM(TKN|KEY)-[0-9A-Za-z+/=-]+`)

func redact(s string) string { return secrets.ReplaceAllString(s, "SWM$1-[redacted]") }

// call is the one place that calls an engine. Its errors carry no token, whatever the engine
// or the transport put into theirs.
func call(ctx context.Context, e Engine, method, path string, in, out any) error {
	err := e.Do(ctx, method, path, in, out)
	if err == nil {
		return nil
	}
	var answer interface {
		error
		StatusCode() int
		Message() string
	}
	if errors.As(err, &answer) {
		text := strings.TrimSpace(answer.Message())
		if text == "" {
			text = strings.ToLower(http.StatusText(answer.StatusCode()))
		}
		return &apiError{status: answer.StatusCode(), message: redact(text)}
	}
	if text := err.Error(); secrets.MatchString(text) {
		clean := errors.New(redact(text))
		if ctx.Err() != nil {
			return errors.Join(clean, context.Cause(ctx))
		}
		return clean
	}
	return err
}

func info(ctx context.Context, e Engine) (engineInfo, error) {
	var i engineInfo
	err := call(ctx, e, http.MethodGet, "/info", nil, &i)
	return i, err
}

func status(err error) int {
	var a *apiError
	if errors.As(err, &a) {
		return a.status
	}
	return 0
}

func says(err error, texts ...string) bool {
	var a *apiError
	if !errors.As(err, &a) {
		return false
	}
	for _, t := range texts {
		if strings.Contains(a.message, t) {
			return true
		}
	}
	return false
}

// outOfSequence: someone else changed the object since it was read.
func outOfSequence(err error) bool { return says(err, "update out of sequence") }

// noLeader: the managers are electing, or have lost their quorum.
func noLeader(err error) bool {
	return says(err, "does not have a leader", "no leader", "no elected leader", "code = Unavailable",
		"code = DeadlineExceeded", "context deadline exceeded", "raft proposal dropped", "code = Canceled")
}

// notInSwarm: the engine has left, or never was a member.
func notInSwarm(err error) bool { return says(err, "not part of a swarm", "is not a swarm") }

// inBackground: the engine goes on joining although it answered.
func inBackground(err error) bool { return says(err, "Timeout was reached before node") }
