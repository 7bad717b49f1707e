package provision

import (
	"slices"
	"strings"
)

// distribution is what there is to know of a distribution to get an engine on it.
type distribution struct {
	ids     []string // ID of os-release; other distributions name it in ID_LIKE
	repo    string   // folder in Docker's repository; empty: Docker has none for it
	release release  // the folder within it
	pkg     string   // the distribution's own engine; empty: none
	fixed   string   // why no engine can be installed or changed; empty: it can
}

// release is how Docker's repository names a distribution's releases.
type release int

const (
	byCodename release = iota // bookworm
	byMajor                   // 9
)

// distributions is the whole table. The first row that has the host's ID, or else the
// first ID_LIKE that a row has, decides.
func distributions() []distribution {
	const image = "its engine is part of the system image"
	return []distribution{
		{ids: []string{"debian"}, repo: "debian", release: byCodename, pkg: "docker.io"},
		{ids: []string{"raspbian"}, repo: "raspbian", release: byCodename, pkg: "docker.io"},
		{ids: []string{"ubuntu"}, repo: "ubuntu", release: byCodename, pkg: "docker.io"},

		{ids: []string{"fedora"}, repo: "fedora", release: byMajor, pkg: "moby-engine"},
		{ids: []string{"rhel"}, repo: "rhel", release: byMajor},
		{ids: []string{"centos", "rocky", "almalinux", "ol"}, repo: "centos", release: byMajor},
		{ids: []string{"amzn"}, pkg: "docker"}, // calls itself like Fedora, but Docker's packages do not fit

		{ids: []string{"opensuse", "opensuse-leap", "opensuse-tumbleweed", "suse"}, pkg: "docker"},
		{ids: []string{"sles", "sled"}, pkg: "docker"},

		{ids: []string{"arch"}, pkg: "docker"},
		{ids: []string{"alpine"}, pkg: "docker"},

		{ids: []string{"flatcar", "coreos"}, fixed: image},
		{ids: []string{"boot2docker"}, fixed: image},
	}
}

// distributionOf returns the host's row of the table.
func distributionOf(f Facts) (distribution, bool) {
	table := distributions()
	for _, id := range append([]string{f.ID}, f.IDLike...) {
		for _, d := range table {
			if slices.Contains(d.ids, id) {
				return d, true
			}
		}
	}
	return distribution{}, false
}

// repoFolder returns where Docker's repository has packages for the host, such as
// debian/bookworm or centos/9; empty: nowhere.
func (d distribution) repoFolder(f Facts) (distro, release string) {
	if d.repo == "" || !slices.Contains([]string{"amd64", "arm64", "armhf", "ppc64le", "s390x"}, f.Arch) {
		return "", ""
	}
	switch d.release {
	case byCodename:
		release = f.Codename
		if f.VersionID == "" && f.ID == "debian" {
			release = "" // testing and unstable
		}
	case byMajor:
		release, _, _ = strings.Cut(f.VersionID, ".")
	}
	if release == "" {
		return "", ""
	}
	return d.repo, release
}

// name says what a host runs, for messages.
func (f Facts) name() string {
	if f.ID == "" {
		return "host without os-release"
	}
	return strings.TrimSpace("ID=" + f.ID + " VERSION_ID=" + f.VersionID)
}
