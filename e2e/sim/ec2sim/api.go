package ec2sim

import (
	_ "embed"
	"encoding/json"
	"strings"
)

// apiJSON is what api.py takes from botocore's description of EC2 (Apache License 2.0).
//
//go:embed api.json
var apiJSON []byte

// api describes the requests and answers of EC2.
type api struct {
	Actions map[string][2]string `json:"actions"` // shapes of the request and the answer
	Filters map[string][]string  `json:"filters"` // names, by action; "tag:" is any tag
	Shapes  map[string]*shape    `json:"shapes"`
}

// shape is a structure, a list, or a string of certain values.
type shape struct {
	Members map[string]string `json:"members"` // name to "query xml ref [required]"
	List    string            `json:"list"`
	Item    string            `json:"item"`
	Enum    []string          `json:"enum"`

	members map[string]member
	queries map[string]string // query name to member
}

type member struct {
	query, xml, ref string
	required        bool
}

func readAPI() (*api, error) {
	a := &api{}
	if err := json.Unmarshal(apiJSON, a); err != nil {
		return nil, err
	}
	for _, s := range a.Shapes {
		if s.Members == nil {
			continue
		}
		s.members, s.queries = map[string]member{}, map[string]string{}
		for name, line := range s.Members {
			words := strings.Fields(line)
			s.members[name] = member{words[0], words[1], words[2], len(words) > 3}
			s.queries[words[0]] = name
		}
	}
	return a, nil
}
