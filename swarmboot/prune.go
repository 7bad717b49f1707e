package swarmboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// PruneWish says what goes besides stopped containers, networks that no container uses, images without a name, and what a build left.
type PruneWish struct {
	AllImages bool // all images that no container uses
	Volumes   bool // volumes that no container uses: those without a name; engines before release 23 take the others too
}

// Pruned is what went, or would go, on one node.
type Pruned struct {
	Containers int   `json:"containers"`
	Networks   int   `json:"networks"`
	Images     int   `json:"images"`
	Volumes    int   `json:"volumes"`
	Cache      int   `json:"cache"` // entries of the build cache
	Space      int64 `json:"space"` // bytes
}

// Prune removes from an engine what nothing uses. What went before an error is in the result.
func Prune(ctx context.Context, e Engine, w PruneWish) (Pruned, error) {
	var p Pruned
	var said struct {
		ContainersDeleted, NetworksDeleted, VolumesDeleted, CachesDeleted []string
		ImagesDeleted                                                     []struct{ Deleted string }
		SpaceReclaimed                                                    int64
	}
	filter := func(key, value string) string {
		text, _ := json.Marshal(map[string][]string{key: {value}}) // strings
		return "?filters=" + url.QueryEscape(string(text))
	}
	calls := []string{"/containers/prune", "/networks/prune"}
	if w.Volumes {
		calls = append(calls, "/volumes/prune")
	}
	calls = append(calls,
		"/images/prune"+filter("dangling", strconv.FormatBool(!w.AllImages)),
		"/build/prune?all="+strconv.FormatBool(w.AllImages))
	var errs []error
	for _, path := range calls {
		said.SpaceReclaimed = 0
		if err := call(ctx, e, http.MethodPost, path, nil, &said); err != nil {
			what, _, _ := strings.Cut(path, "?")
			errs = append(errs, fmt.Errorf("%s: %w", strings.TrimPrefix(what, "/"), err))
			continue
		}
		p.Space += said.SpaceReclaimed
	}
	p.Containers, p.Networks, p.Volumes, p.Cache = len(said.ContainersDeleted), len(said.NetworksDeleted), len(said.VolumesDeleted), len(said.CachesDeleted)
	for _, i := range said.ImagesDeleted {
		if i.Deleted != "" {
			p.Images++ // the others are names and layers
		}
	}
	return p, errors.Join(errs...)
}

// usage is what of an answer about disk usage is used here. Engines of API 1.52 and later tell it as items.
type usage struct {
	Containers []container
	Images     []image
	Volumes    []volume
	BuildCache []cache

	ContainerUsage  *struct{ Items []container }
	ImageUsage      *struct{ Items []image }
	VolumeUsage     *struct{ Items []volume }
	BuildCacheUsage *struct{ Items []cache }
}

type (
	container struct {
		State  string
		SizeRw int64
	}
	image struct {
		RepoTags         []string
		Containers       int
		Size, SharedSize int64
	}
	volume struct {
		Labels    map[string]string
		UsageData *struct{ RefCount, Size int64 }
	}
	cache struct {
		InUse, Shared bool
		Size          int64
	}
)

// Prunable tells what Prune would remove, as far as an engine tells: networks are not counted, nor images that only stopped
// containers use.
func Prunable(ctx context.Context, e Engine, w PruneWish) (Pruned, error) {
	var p Pruned
	var u usage
	if err := call(ctx, e, http.MethodGet, "/system/df?verbose=1", nil, &u); err != nil {
		return p, err
	}
	u.flatten()
	for _, c := range u.Containers {
		if !slices.Contains([]string{"running", "paused", "restarting", "removing"}, c.State) {
			p.Containers++
			p.Space += c.SizeRw
		}
	}
	for _, i := range u.Images {
		if i.Containers == 0 && (w.AllImages || i.dangling()) {
			p.Images++
			p.Space += i.Size - max(i.SharedSize, 0)
		}
	}
	for _, c := range u.BuildCache {
		if !c.InUse && (w.AllImages || !c.Shared) {
			p.Cache++
			p.Space += c.Size
		}
	}
	if !w.Volumes {
		return p, nil
	}
	var version struct {
		APIVersion string `json:"ApiVersion"`
	}
	if err := call(ctx, e, http.MethodGet, "/version", nil, &version); err != nil {
		return p, err
	}
	for _, v := range u.Volumes {
		if v.UsageData != nil && v.UsageData.RefCount == 0 && (v.anonymous() || takesNamed(version.APIVersion)) {
			p.Volumes++
			p.Space += max(v.UsageData.Size, 0)
		}
	}
	return p, nil
}

func (u *usage) flatten() {
	if u.ContainerUsage != nil && u.Containers == nil {
		u.Containers = u.ContainerUsage.Items
	}
	if u.ImageUsage != nil && u.Images == nil {
		u.Images = u.ImageUsage.Items
	}
	if u.VolumeUsage != nil && u.Volumes == nil {
		u.Volumes = u.VolumeUsage.Items
	}
	if u.BuildCacheUsage != nil && u.BuildCache == nil {
		u.BuildCache = u.BuildCacheUsage.Items
	}
}

func (i image) dangling() bool {
	return len(i.RepoTags) == 0 || slices.Equal(i.RepoTags, []string{"<none>:<none>"})
}

func (v volume) anonymous() bool {
	_, ok := v.Labels["com.docker.volume.anonymous"]
	return ok
}

// takesNamed reports whether an engine of an API version prunes volumes that have names: those before 1.42 do.
func takesNamed(version string) bool {
	_, minor, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(minor)
	return err == nil && n < 42
}
