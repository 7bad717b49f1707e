package provision

import (
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// repositoryScript makes packages as Docker's repository has them out of the distribution's, and
// a repository of them below /repo, signed.
const repositoryScript = `set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends dpkg-dev gnupg apt-utils >/dev/null
mkdir -p /repo/debian/dists/bookworm/stable/binary-amd64 /repo/debian/pool /build && cd /build
apt-get -qq download docker.io
for version in 27.5.1 28.0.4 28.5.2 29.0.0; do
	rm -rf x && dpkg-deb -R docker.io_*.deb x && rm -f x/DEBIAN/md5sums x/DEBIAN/conffiles
	mkdir -p x/usr/bin && mv x/usr/sbin/dockerd x/usr/bin/dockerd.real
	printf '#!/bin/sh\ncase "$*" in *--version*) /usr/bin/dockerd.real "$@" >/dev/null && echo "Docker version %s, build 0" && exit ;; esac\nexec /usr/bin/dockerd.real "$@"\n' $version >x/usr/bin/dockerd
	chmod +x x/usr/bin/dockerd
	rm -f x/usr/bin/docker x/etc/default/docker x/etc/init.d/docker
	sed -i 's,/usr/sbin/dockerd,/usr/bin/dockerd,; s/ $DOCKER_OPTS//; /EnvironmentFile/d' x/lib/systemd/system/docker.service
	sed -i "s/^Package: .*/Package: docker-ce/; s/^Version: .*/Version: 5:$version-1~debian.12~bookworm/; /^Provides/d; /^Breaks/d; /^Recommends/d; /^Suggests/d; /^Source/d; /^Conflicts/d; /^Replaces/d; s/^Depends: /Depends: docker-ce-cli, /; /^Depends/a Conflicts: docker.io\nReplaces: docker.io" x/DEBIAN/control
	dpkg-deb -Znone -b x /repo/debian/pool/docker-ce_$version.deb >/dev/null
	rm -rf y && mkdir -p y/DEBIAN && printf 'Package: docker-ce-cli\nVersion: 5:%s-1~debian.12~bookworm\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n' $version >y/DEBIAN/control
	dpkg-deb -Znone -b y /repo/debian/pool/docker-ce-cli_$version.deb >/dev/null
done
printf 'Package: containerd.io\nVersion: 1.7.27-1\nArchitecture: amd64\nMaintainer: x <x@x>\nDepends: containerd\nDescription: x\n' >y/DEBIAN/control
dpkg-deb -Znone -b y /repo/debian/pool/containerd.io.deb >/dev/null
cd /repo/debian
dpkg-scanpackages -m pool >dists/bookworm/stable/binary-amd64/Packages 2>/dev/null
(cd dists/bookworm && apt-ftparchive -o APT::FTPArchive::Release::Suite=bookworm -o APT::FTPArchive::Release::Codename=bookworm -o APT::FTPArchive::Release::Components=stable -o APT::FTPArchive::Release::Architectures=amd64 release . >/build/Release && mv /build/Release .)
export GNUPGHOME=/build/gnupg && mkdir -m 700 $GNUPGHOME
gpg --batch -q --passphrase '' --quick-gen-key repo@x ed25519 sign never
gpg --batch -q --clearsign -o dists/bookworm/InRelease dists/bookworm/Release
gpg --batch -q --armor --export >gpg
apt-get -qq purge -y dpkg-dev gnupg >/dev/null && apt-get -qq autoremove -y >/dev/null
`

// TestHostRepository: from a mirror of Docker's repository comes the version that is asked for,
// held against every upgrade but ours.
func TestHostRepository(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	n.sh(t, repositoryScript)
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "docker", "cp", n.name+":/repo/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	base := n.serve(t, http.StripPrefix("/linux/", http.FileServer(http.Dir(dir)))) + "/linux"
	e := Engine{RepoURL: base, Version: "28"}

	_, err := n.provision(t, Engine{RepoURL: base, Version: "28.9"}, id)
	if !errors.Is(err, ErrNoPackage) || !strings.Contains(err.Error(), "5:28.0.4-1~debian.12~bookworm") {
		t.Errorf("got %v", err)
	}
	e.Version = "28.0"
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	f := n.settledPlan(t, e, id)
	if f.Package != "docker-ce" || f.Version != "28.0.4" || !f.Held || f.Dockerd != "/usr/bin/dockerd" || n.starts(t) != "1" {
		t.Errorf("got %+v", f)
	}
	if _, err := n.version(t, DefaultPort, id.client); err != nil {
		t.Error(err)
	}
	n.sh(t, "apt-get -qq -y upgrade")
	if got := n.sh(t, "dockerd --version"); !strings.Contains(got, "28.0.4") {
		t.Errorf("an upgrade by others took the engine to %s", got)
	}
	for _, c := range []struct {
		e    Engine
		want string
		err  error
	}{
		{Engine{Version: "28", Upgrade: true}, "28.5.2", nil},
		{Engine{Upgrade: true}, "29.0.0", nil},
		{Engine{Version: "28.5"}, "29.0.0", ErrDowngrade},
		{Engine{Version: "28.5", AllowDowngrade: true}, "28.5.2", nil},
		{Engine{Source: SourceDistro, AllowDowngrade: true, Version: "20"}, "20.10.24+dfsg1", nil},
		{Engine{Source: SourceRepo, Version: "27"}, "27.5.1", nil},
	} {
		c.e.RepoURL = base
		if _, err := n.provision(t, c.e, id); !errors.Is(err, c.err) {
			t.Errorf("%+v: got %v, want %v", c.e, err, c.err)
		}
		f, err := Probe(t.Context(), n, e)
		if err != nil {
			t.Fatal(err)
		}
		if c.e.Upgrade {
			n.isNewest(t, c.e)
		}
		if f.Version != c.want || !f.Held || f.EngineState != "active" {
			t.Errorf("%+v: got %s, held %v, %s", c.e, f.Version, f.Held, f.EngineState)
		}
		if _, err := n.version(t, DefaultPort, id.client); err != nil {
			t.Errorf("%+v: %v", c.e, err)
		}
	}
}

// TestHostScript: an install script is fetched, looked at and run.
func TestHostScript(t *testing.T) {
	t.Parallel()
	n, id := startNode(t), newIdentity(t)
	scripts := map[string]string{
		"/page":  "<html>not found</html>\n",
		"/fails": "#!/bin/sh\necho doing; false | true\nexit 3\n",
		"/empty": "#!/bin/sh\ntrue\n",
		"/good":  "#!/bin/bash -e\n[[ $VERSION == 20.10 ]]\napt-get -qq update\napt-get -qq install -y --no-install-recommends docker.io\n",
	}
	base := n.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := scripts[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	for path, want := range map[string]error{"/none": ErrScript, "/page": ErrScript, "/fails": ErrScript, "/empty": ErrScript} {
		_, err := n.provision(t, Engine{InstallURL: base + path}, id)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), base+path) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	e := Engine{InstallURL: base + "/good", Version: "20.10"}
	if _, err := n.provision(t, e, id); err != nil {
		t.Fatal(err)
	}
	n.settledPlan(t, e, id)
}
