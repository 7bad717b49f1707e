package swarmboot

import "errors"

// Errors that callers decide on.
var (
	ErrForeign   = errors.New("node belongs to another swarm")
	ErrNoManager = errors.New("no manager of the swarm answers")
	ErrNoLeader  = errors.New("the swarm has no leader")
	ErrLocked    = errors.New("swarm is locked")
	ErrAddress   = errors.New("no usable advertise address")
	ErrQuorum    = errors.New("the swarm would lose its quorum")
	ErrNetwork   = errors.New("nodes do not reach each other")
	ErrNode      = errors.New("node does not answer")
	ErrState     = errors.New("node cannot take part in a swarm as it is")
	ErrDataPath  = errors.New("a swarm keeps the data path port that it was made with")
	ErrHealthy   = errors.New("the swarm has its quorum, and its nodes take part in it")
	ErrNoNode    = errors.New("the swarm has no such node")
	ErrAmbiguous = errors.New("several nodes have this name")
	ErrReady     = errors.New("the node is in service")
	ErrNoService = errors.New("the swarm has no such service or task")
	ErrStuck     = errors.New("the node cannot become a manager by itself")
	ErrTasks     = errors.New("tasks have not ended")
	ErrReplicas  = errors.New("services lack tasks")

	ErrClock        = errors.New("the clocks of the hosts are too far apart")
	ErrEngine       = errors.New("the engine does not fit a swarm")
	ErrRotation     = errors.New("the rotation of the swarm's authority has not ended")
	ErrUnlockKey    = errors.New("the swarm has another unlock key")
	ErrNotLocking   = errors.New("the swarm does not lock its managers")
	ErrClassic      = errors.New("classic swarm")
	ErrClassicAPI   = errors.New("engine is too new for classic Swarm")
	ErrClassicImage = errors.New("image of classic Swarm cannot be had")
)

// HintError is an error that carries advice: the next thing to do, as a
// sentence or a command. The advice is no part of the message.
type HintError struct {
	Err    error
	Advice string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Hint returns the advice.
func (e *HintError) Hint() string { return e.Advice }

func hint(err error, advice string) error { return &HintError{Err: err, Advice: advice} }

// leaderless marks what a manager says that cannot reach a majority of the managers.
func leaderless(err error) error {
	if !noLeader(err) {
		return err
	}
	return hint(&leaderError{err},
		"start managers again until more than half of them answer; if they are lost for good, "+
			"machine swarm recover NAME makes a swarm of what is left")
}

type leaderError struct{ said error }

func (e *leaderError) Error() string {
	if says(e.said, "does not have a leader") {
		return ErrNoLeader.Error() + ": too few managers are online"
	}
	return ErrNoLeader.Error() + ": " + e.said.Error()
}

func (e *leaderError) Unwrap() []error { return []error{ErrNoLeader, e.said} }
