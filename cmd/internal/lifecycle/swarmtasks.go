package lifecycle

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// failedLately is how long a task that failed is told of.
const failedLately = 10 * time.Minute

// failing tells whether a task failed a short while ago, or is about to be tried again.
func (j *judgement) failing(t swarmboot.Task) bool {
	return (t.State == "failed" || t.State == "rejected") && (t.Desired == "running" || j.Now.Sub(t.At) < failedLately)
}

// services counts tasks by service and by node.
func (j *judgement) services() {
	tasks := map[string][]swarmboot.Task{}
	for _, t := range j.Picture.Tasks {
		tasks[t.ServiceID] = append(tasks[t.ServiceID], t)
	}
	for _, s := range j.Picture.Services {
		j.service(s, tasks[s.ID])
	}
	slices.SortStableFunc(j.v.TaskList, func(a, b SwarmTask) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), compareNames(a.Name, b.Name), a.Since.Compare(b.Since))
	})
}

// compareNames orders web.2 before web.10.
func compareNames(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

func (j *judgement) service(s swarmboot.Service, tasks []swarmboot.Task) {
	out := SwarmService{Name: shown(s.Name), Mode: s.Mode, Image: shown(s.Image), Wanted: s.Replicas, Update: s.Update}
	var last time.Time
	shall := 0
	for _, t := range tasks {
		failing := j.failing(t)
		if t.Desired == "running" {
			shall++
			if t.State == "running" {
				out.Running++
			}
		}
		if failing {
			out.Failing++
			for i := range j.v.Nodes {
				if j.v.Nodes[i].ID == t.NodeID {
					j.v.Nodes[i].Failing++
				}
			}
		}
		if t.Error != "" && (failing || t.Desired == "running") && !t.At.Before(last) {
			out.Error, last = shown(t.Error), t.At
		}
		if failing || t.Desired == "running" || !t.Ended() {
			j.v.TaskList = append(j.v.TaskList, j.task(out.Name, t))
		}
	}
	if s.Mode != "replicated" {
		out.Wanted = shall
	}
	j.v.Services = append(j.v.Services, out)
	advice := "docker $(machine config --swarm " + j.Cluster.Name + ") service ps --no-trunc " + out.Name +
		"; machine swarm logs --swarm " + j.Cluster.Name + " " + out.Name
	because := ""
	if out.Error != "" {
		because = ": " + out.Error
	}
	job := s.Mode == "replicated-job" || s.Mode == "global-job"
	switch {
	case out.Failing > 0:
		j.find(SeverityWarning, serviceFailing, out.Name, advice, "%d of %d tasks run, %d failed in the last %d minutes%s",
			out.Running, out.Wanted, out.Failing, int(failedLately.Minutes()), because)
	case out.Running < out.Wanted && !job:
		j.find(SeverityWarning, serviceShort, out.Name, advice, "%d of %d tasks run%s", out.Running, out.Wanted, because)
	}
}

func (j *judgement) task(service string, t swarmboot.Task) SwarmTask {
	out := SwarmTask{
		Name: service + "." + strconv.Itoa(t.Slot), Service: service, NodeID: t.NodeID, State: t.State, Desired: t.Desired,
		Error: shown(t.Error), Since: t.At.UTC(),
	}
	for _, n := range j.v.Nodes {
		if n.ID == t.NodeID && t.NodeID != "" {
			out.Node = n.Name()
		}
	}
	if t.Slot == 0 {
		out.Name = service + "." + cmp.Or(out.Node, t.NodeID, t.ID)
	}
	return out
}
