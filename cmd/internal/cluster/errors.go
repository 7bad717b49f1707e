package cluster

import "errors"

// Errors that callers decide on.
var (
	ErrFile  = errors.New("cluster file")
	ErrOwned = errors.New("machine belongs to another project")
)
