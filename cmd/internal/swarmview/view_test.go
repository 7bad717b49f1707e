package swarmview

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

var update = flag.Bool("update", false, "rewrite golden files")

// aView is a swarm with a bit of everything, and names that would do harm where they are not escaped.
func aView() lifecycle.SwarmView {
	return lifecycle.SwarmView{
		SwarmStatus: lifecycle.SwarmStatus{
			Name: "prod", ID: "c1", Health: lifecycle.HealthWarning, AskedVia: "m1", AskedAt: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Leader: "m1",
			DataPathPort: 4789, Managers: 3, Reachable: 2, Needed: 2, CertDays: 90,
			Nodes: []lifecycle.SwarmNode{
				{Machine: "m1", ID: "n1", Hostname: "m1", Role: "manager", Availability: "drain", State: "ready", Addr: "10.0.0.1", Engine: "28.5.2", Leader: true, Reachability: "reachable"},
				{Machine: "m2", ID: "n2", Hostname: "m2", Role: "manager", Availability: "active", State: "ready", Addr: "10.0.0.2", Engine: "28.5.2", Reachability: "reachable", Tasks: 1},
				{Machine: "m3", ID: "n3", Hostname: "m3", Role: "manager", Availability: "active", State: "down", Addr: "10.0.0.3", Engine: "28.5.2", Reachability: "unreachable"},
				{Machine: "w1", ID: "n4", Hostname: "w1", Role: "worker", Availability: "active", State: "ready", Addr: "10.0.1.1", Engine: "28.5.2", Tasks: 2, Failing: 1},
				{ID: "n5", Hostname: `<script>alert("1")</script>&`, Role: "worker", Availability: "active", State: "ready", Problem: "not a machine of this store"},
			},
			Services: []lifecycle.SwarmService{
				{Name: "db", Mode: "replicated", Image: "shop/db:1@sha256:00", Wanted: 2, Running: 0, Failing: 1, Error: "task: non-zero exit (1)"},
				{Name: "web", Mode: "replicated", Image: "shop/web:1.0", Wanted: 3, Running: 3},
			},
			Findings: []lifecycle.SwarmFinding{
				{Severity: lifecycle.SeverityWarning, Kind: "node-down", Subject: "m3", Text: "down unreachable", Advice: "machine start m3; if it is lost for good: machine rm m3"},
				{Severity: lifecycle.SeverityNote, Kind: "not-active", Subject: "m1", Text: "drained: takes no new tasks", Advice: "machine swarm activate m1"},
			},
		},
		TaskList: []lifecycle.SwarmTask{
			{Name: "db.1", Service: "db", NodeID: "n4", Node: "w1", State: "failed", Desired: "shutdown", Error: "task: non-zero exit (1)"},
			{Name: "db.2", Service: "db", State: "pending", Desired: "running", Error: "no suitable node (1 node not available for new tasks)"},
			{Name: "web.1", Service: "web", NodeID: "n2", Node: "m2", State: "running", Desired: "running"},
			{Name: "web.2", Service: "web", NodeID: "n4", Node: "w1", State: "running", Desired: "running"},
			{Name: "web.3", Service: "web", NodeID: "n4", Node: "w1", State: "starting", Desired: "running"},
		},
	}
}

// silentView is a swarm of which no manager tells anything.
func silentView() lifecycle.SwarmView {
	return lifecycle.SwarmView{SwarmStatus: lifecycle.SwarmStatus{
		Name: "prod", ID: "c1", Health: lifecycle.HealthNoQuorum, Managers: 3, Reachable: 1, Needed: 2, CanLose: -1,
		Nodes: []lifecycle.SwarmNode{
			{Machine: "m1", ID: "n1", Role: "manager", State: "active", Addr: "10.0.0.1"},
			{Machine: "m2", Role: "manager", State: "no answer", Silent: "no route to host"},
		},
		Findings: []lifecycle.SwarmFinding{{Severity: lifecycle.SeverityError, Kind: "quorum-lost", Text: "quorum lost", Advice: "machine swarm recover prod"}},
	}}
}

func TestPictures(t *testing.T) {
	t.Parallel()
	for file, got := range map[string]string{
		"graph.txt":       Text(aView(), Style{}),
		"graph_ascii.txt": Text(aView(), Style{ASCII: true}),
		"graph_color.txt": Text(aView(), Style{Color: true}),
		"silent.txt":      Text(silentView(), Style{}),
		"graph.svg":       string(SVG(aView())),
		"silent.svg":      string(SVG(silentView())),
	} {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
	if strings.ContainsFunc(Text(aView(), Style{ASCII: true}), func(r rune) bool { return r > 126 }) {
		t.Error("the ASCII tree has other signs")
	}
}

// TestPictureIsXML reads the picture as a browser would: no name becomes an element of it.
func TestPictureIsXML(t *testing.T) {
	t.Parallel()
	svg := SVG(aView())
	d := xml.NewDecoder(bytes.NewReader(svg))
	elements := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.HasPrefix(strings.ToLower(a.Name.Local), "on") || a.Name.Local == "href" {
					t.Errorf("<%s> has %s", e.Name.Local, a.Name.Local)
				}
			}
		}
	}
	for name := range elements {
		if !strings.Contains(" svg title desc style rect text g circle ", " "+name+" ") {
			t.Errorf("there is a <%s>", name)
		}
	}
	if elements["desc"] != 1 || elements["circle"] != 5 {
		t.Errorf("got %v", elements)
	}
}
