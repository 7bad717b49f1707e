package swarmboot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// RaftLog is how far a manager's log of the swarm's changes goes, as far as its host tells. The log itself is
// encrypted and is not read.
type RaftLog struct {
	Term, Index         uint64    // of the last entry, as the engine said when it last asked for votes; 0: it did not, or led or followed since
	SnapTerm, SnapIndex uint64    // of the newest snapshot; 0: none yet
	Segment             uint64    // first entry of the newest file of the log
	Written             time.Time // when that file was written to last; zero: not told
	CertEnds            time.Time // end of the node's certificate; zero: not told
	Locked              bool      // its key is encrypted: the swarm was locked by autolock
}

// exact reports whether the last entry is known.
func (l RaftLog) exact() bool { return l.Index > 0 }

// String says for people how far the log goes.
func (l RaftLog) String() string {
	switch {
	case l.exact():
		return fmt.Sprintf("term %d, entry %d", l.Term, l.Index)
	case l.Written.IsZero():
		return "not told"
	}
	s := fmt.Sprintf("written until %s", l.Written.UTC().Format("2006-01-02 15:04:05"))
	if l.SnapIndex > 0 {
		s += fmt.Sprintf(", snapshot of entry %d", l.SnapIndex)
	}
	return s
}

// compareLogs orders logs by how new they are: as managers do it when they vote, if both tell their last entries, else
// by the files.
func compareLogs(a, b RaftLog) int {
	if a.exact() && b.exact() {
		return cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index))
	}
	return cmp.Or(cmp.Compare(a.SnapTerm, b.SnapTerm), cmp.Compare(a.SnapIndex, b.SnapIndex),
		cmp.Compare(a.Segment, b.Segment), a.Written.Compare(b.Written))
}

//go:embed raftlog.sh
var raftLogScript string

// rootShell starts a root shell that reads its script from stdin.
const rootShell = `sh -c 'test "$(id -u)" = 0 && exec sh; exec sudo -n sh'`

// ReadRaftLog asks a manager's host how far its log goes. root is the engine's folder; empty: /var/lib/docker.
func ReadRaftLog(ctx context.Context, host Runner, root string) (RaftLog, error) {
	var out bytes.Buffer
	script := "set -- " + shellWord(orElse(root, "/var/lib/docker")) + "\n" + raftLogScript
	if err := host.Run(ctx, rootShell, strings.NewReader(script), &out); err != nil {
		return RaftLog{}, fmt.Errorf("read the state of the Raft log: %w", err)
	}
	if !strings.Contains(out.String(), "rl end ") {
		return RaftLog{}, errors.New("read the state of the Raft log: the host did not tell it")
	}
	return parseRaftLog(out.String()), nil
}

// shellWord quotes a word for a POSIX shell.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var (
	votedAt   = regexp.MustCompile(`\[logterm: (\d+), index: (\d+)[^\]]*\] (?:sent|cast|rejected)`)
	startedAt = regexp.MustCompile(`newRaft .*lastindex: (\d+), lastterm: (\d+)`)
)

// parseRaftLog reads what the script wrote; what makes no sense is passed over.
func parseRaftLog(text string) RaftLog {
	var l RaftLog
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "rl" {
			continue
		}
		switch f[1] {
		case "snap":
			if term, index, ok := twoHex(strings.TrimSuffix(f[2], ".snap")); ok && index >= l.SnapIndex {
				l.SnapTerm, l.SnapIndex = term, index
			}
		case "wal":
			if _, index, ok := twoHex(strings.TrimSuffix(f[2], ".wal")); ok && index >= l.Segment {
				l.Segment = index
				if len(f) > 3 {
					if sec, err := strconv.ParseInt(f[3], 10, 64); err == nil {
						l.Written = time.Unix(sec, 0)
					}
				}
			}
		case "cert":
			l.CertEnds = certEnds(f[2])
		case "locked":
			l.Locked = true
		case "said":
			l.Term, l.Index = lastEntry(line)
		}
	}
	return l
}

// twoHex reads the two numbers of a file's name.
func twoHex(name string) (a, b uint64, ok bool) {
	first, second, _ := strings.Cut(name, "-")
	a, errA := strconv.ParseUint(first, 16, 64)
	b, errB := strconv.ParseUint(second, 16, 64)
	return a, b, errA == nil && errB == nil
}

// lastEntry is what an engine's own line tells of the last entry. After a line about a leader it may have had more.
func lastEntry(line string) (term, index uint64) {
	if m := votedAt.FindStringSubmatch(line); m != nil {
		term, _ = strconv.ParseUint(m[1], 10, 64) // digits; one too large for a log counts as not said
		index, _ = strconv.ParseUint(m[2], 10, 64)
	} else if m := startedAt.FindStringSubmatch(line); m != nil {
		index, _ = strconv.ParseUint(m[1], 10, 64)
		term, _ = strconv.ParseUint(m[2], 10, 64)
	}
	return term, index
}

func certEnds(encoded string) time.Time {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return time.Time{}
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return cert.NotAfter
}
