package swarmboot_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/swarmboot"
)

// answers is an engine that answers by method and the beginning of the path, else with 404.
type answers struct {
	by     map[string]string
	stream []byte
	asked  []string
}

type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string   { return r.text }
func (r *refusal) StatusCode() int { return r.code }
func (r *refusal) Message() string { return r.text }

func (a *answers) Do(_ context.Context, method, path string, _, out any) error {
	a.asked = append(a.asked, method+" "+path)
	for call, answer := range a.by {
		if bare, _, _ := strings.Cut(method+" "+path, "?"); bare != strings.TrimSuffix(call, "?") {
			continue
		}
		if text, no := strings.CutPrefix(answer, "500 "); no {
			return &refusal{500, text}
		}
		return json.Unmarshal([]byte(answer), out)
	}
	return &refusal{404, "not found: " + path}
}

func (a *answers) Stream(_ context.Context, method, path string) (io.ReadCloser, error) {
	a.asked = append(a.asked, method+" "+path)
	return io.NopCloser(bytes.NewReader(a.stream)), nil
}

func frame(kind byte, text string) []byte {
	head := make([]byte, 8, 8+len(text))
	head[0] = kind
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

func logWorld() *answers {
	const task = `{"ID":"t1","Version":{"Index":3},"ServiceID":"s1","Slot":1,"NodeID":"n1","DesiredState":"running","Status":{"State":"running"}}`
	const lost = `{"ID":"t2","Version":{"Index":4},"ServiceID":"s1","Slot":2,"NodeID":"n2","DesiredState":"running","Status":{"State":"running"}}`
	const homeless = `{"ID":"t3","Version":{"Index":5},"ServiceID":"s1","Slot":3,"DesiredState":"running","Status":{"State":"pending","Err":"no suitable node"}}`
	const service = `{"ID":"s1","Spec":{"Name":"web","TaskTemplate":{"ContainerSpec":{}}}}`
	return &answers{by: map[string]string{
		"GET /services/web": service, "GET /services/s1": service,
		"GET /tasks?": "[" + task + "," + lost + "," + homeless + "]", "GET /tasks/t1": task, "GET /tasks/t2": lost,
		"GET /nodes/n1": `{"ID":"n1","Description":{"Hostname":"w1"},"Status":{"State":"ready"}}`,
		"GET /nodes/n2": `{"ID":"n2","Description":{"Hostname":"w2"},"Status":{"State":"down"}}`,
	}}
}

const ofTask = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1 "

func TestLogs(t *testing.T) {
	t.Parallel()
	e := logWorld()
	e.stream = slices.Concat(frame(1, ofTask+"GET / 200\n"), frame(2, ofTask+"a warning, with = and ,\n"), frame(1, ofTask+"\n"),
		frame(3, "error from daemon in stream: rpc error: code = Unknown desc = warning: node n2 is not available"), frame(1, "odd\n"))
	var got, notes []string
	read := func(w swarmboot.LogsWish) error {
		got, notes, e.asked = nil, nil, nil
		return swarmboot.Logs(t.Context(), e, w, func(l swarmboot.LogLine) error {
			got = append(got, l.Task+"@"+l.Node+" "+l.Stream+": "+l.Text)
			return nil
		}, func(text string) { notes = append(notes, text) })
	}
	if err := read(swarmboot.LogsWish{Of: "web", Tail: 5, Since: 99, Follow: true}); err != nil {
		t.Fatal(err)
	}
	want := []string{"web.1@w1 stdout: GET / 200", "web.1@w1 stderr: a warning, with = and ,", "web.1@w1 stdout: ", "@ stdout: odd"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want = []string{
		"the logs of web.2 cannot be had: its node w2 is down",
		"web.3 runs nowhere: no suitable node",
		"error from daemon in stream: warning: node w2 is not available",
	}
	if !slices.Equal(notes, want) {
		t.Errorf("got notes %q, want %q", notes, want)
	}
	if last := e.asked[len(e.asked)-1]; last != "GET /services/s1/logs?details=1&follow=1&since=99&stderr=1&stdout=1&tail=5" {
		t.Errorf("asked %s", last)
	}
	for of, path := range map[string]string{"t1": "/tasks/t1/logs", "web.1": "/tasks/t1/logs", "s1": "/services/s1/logs"} {
		if err := read(swarmboot.LogsWish{Of: of, Tail: -1}); err != nil || !slices.Contains(e.asked, "GET "+path+"?details=1&stderr=1&stdout=1&tail=all") {
			t.Errorf("%s: %v, asked %q", of, err, e.asked)
		}
	}
	for _, of := range []string{"nobody", "web.9", "nobody.1"} {
		if err := read(swarmboot.LogsWish{Of: of}); !errors.Is(err, swarmboot.ErrNoService) {
			t.Errorf("%s: got %v", of, err)
		}
	}
	e.stream = slices.Concat(frame(1, "2026-01-02T03:04:05Z "+ofTask+"hello\n"), frame(1, ofTask)[:12])
	if err := read(swarmboot.LogsWish{Of: "web.1", Timestamps: true}); err != nil || !slices.Equal(got, []string{"web.1@w1 stdout: 2026-01-02T03:04:05Z hello"}) {
		t.Errorf("got %q, %v", got, err)
	}
	e.by["GET /services/s1"] = `{"ID":"s1","Spec":{"Name":"web","TaskTemplate":{"ContainerSpec":{"TTY":true}}}}`
	e.stream = []byte(ofTask + "raw\r\n" + ofTask + "end")
	if err := read(swarmboot.LogsWish{Of: "t1"}); err != nil || !slices.Equal(got, []string{"web.1@w1 stdout: raw", "web.1@w1 stdout: end"}) {
		t.Errorf("got %q, %v", got, err)
	}
	e.by["GET /services/s1"] = `{"ID":"s1","Spec":{"Name":"web"}}`
	if err := read(swarmboot.LogsWish{Of: "t1"}); err == nil {
		t.Error("text that is no frame was taken for one")
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	e := &answers{by: map[string]string{
		"POST /containers/prune": `{"ContainersDeleted":["a","b"],"SpaceReclaimed":10}`,
		"POST /networks/prune":   `{"NetworksDeleted":["n"]}`,
		"POST /images/prune":     `{"ImagesDeleted":[{"Untagged":"x"},{"Deleted":"sha256:1"}],"SpaceReclaimed":100}`,
		"POST /volumes/prune":    `{"VolumesDeleted":null,"SpaceReclaimed":1000}`,
		"POST /build/prune":      `{"CachesDeleted":["c"],"SpaceReclaimed":10000}`,
	}}
	got, err := swarmboot.Prune(t.Context(), e, swarmboot.PruneWish{})
	if want := (swarmboot.Pruned{Containers: 2, Networks: 1, Images: 1, Cache: 1, Space: 10110}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if slices.Contains(e.asked, "POST /volumes/prune") || !slices.Contains(e.asked, `POST /images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D`) {
		t.Errorf("asked %q", e.asked)
	}
	e.by["POST /networks/prune"], e.asked = "500 a prune operation is already running", nil
	got, err = swarmboot.Prune(t.Context(), e, swarmboot.PruneWish{AllImages: true, Volumes: true})
	if err == nil || !strings.Contains(err.Error(), "networks/prune: a prune operation is already running") || got.Space != 11110 {
		t.Errorf("got %+v, %v", got, err)
	}
	if !slices.Contains(e.asked, "POST /volumes/prune") || !slices.Contains(e.asked, `POST /images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D`) {
		t.Errorf("asked %q", e.asked)
	}
}

func TestPrunable(t *testing.T) {
	t.Parallel()
	const (
		containers = `[{"State":"running","SizeRw":1},{"State":"exited","SizeRw":2},{"State":"created"}]`
		images     = `[{"RepoTags":["a:1"],"Containers":1,"Size":10},{"RepoTags":["b:1"],"Containers":0,"Size":20},{"RepoTags":["<none>:<none>"],"Size":50,"SharedSize":10}]`
		volumes    = `[{"UsageData":{"RefCount":0,"Size":100}},{"UsageData":{"RefCount":1,"Size":200}},{"Labels":{"com.docker.volume.anonymous":""},"UsageData":{"RefCount":0,"Size":400}}]`
		caches     = `[{"InUse":true,"Size":1000},{"Size":2000},{"Shared":true,"Size":4000}]`
	)
	old := `{"Containers":` + containers + `,"Images":` + images + `,"Volumes":` + volumes + `,"BuildCache":` + caches + `}`
	now := `{"ContainerUsage":{"Items":` + containers + `},"ImageUsage":{"Items":` + images + `},"VolumeUsage":{"Items":` + volumes + `},"BuildCacheUsage":{"Items":` + caches + `}}`
	for _, c := range []struct {
		df, api string
		wish    swarmboot.PruneWish
		want    swarmboot.Pruned
	}{
		{old, "1.41", swarmboot.PruneWish{}, swarmboot.Pruned{Containers: 2, Images: 1, Cache: 1, Space: 2042}},
		{now, "1.52", swarmboot.PruneWish{}, swarmboot.Pruned{Containers: 2, Images: 1, Cache: 1, Space: 2042}},
		{old, "1.41", swarmboot.PruneWish{AllImages: true, Volumes: true}, swarmboot.Pruned{Containers: 2, Images: 2, Volumes: 2, Cache: 2, Space: 6562}},
		{now, "1.52", swarmboot.PruneWish{AllImages: true, Volumes: true}, swarmboot.Pruned{Containers: 2, Images: 2, Volumes: 1, Cache: 2, Space: 6462}},
	} {
		e := &answers{by: map[string]string{"GET /system/df": c.df, "GET /version": `{"ApiVersion":"` + c.api + `"}`}}
		if got, err := swarmboot.Prunable(t.Context(), e, c.wish); err != nil || got != c.want {
			t.Errorf("API %s, %+v: got %+v, %v, want %+v", c.api, c.wish, got, err, c.want)
		}
	}
}
