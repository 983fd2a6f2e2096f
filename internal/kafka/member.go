package kafka

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/IBM/sarama"
)

// membership is by which name a group knows its member. With a name of its own, a
// group.instance.id, a member that was killed takes up its partitions as soon as it is
// back, and nothing moves; without, they wait until the session of the dead one is over.
// A name that nobody comes back with would keep them waiting for as long. So the name is
// kept in a file, and used by those alone who find it there: whoever runs with an empty
// directory each time, such as a container without a volume, is an ordinary member.
//
//	no file -> a name is written, this run has none -> later runs: the name
//	another has the name (a copied directory): a new one is written and used
//
// One goroutine uses it.
type membership struct {
	g    *Group
	name string // in use; empty: none
	file string // that keeps it; empty: it is the configuration's, or there is none
}

// join decides by which name the group is joined.
func (m *membership) join() {
	if m.name = m.g.opts.InstanceID; m.name != "" || m.g.opts.MemberFile == "" {
		return
	}
	m.file = m.g.opts.MemberFile
	kept, err := readMember(m.file)
	switch {
	case err != nil:
		m.plain("cannot read the file of this member's name", err)
	case kept != "":
		m.name = kept
	default:
		if _, err := m.make(); err != nil {
			m.plain("cannot keep a name for this member", err)
			return
		}
		m.g.log.Info("an ordinary member of its group in this run: after a kill its partitions wait for the session timeout; the next run has a name of its own", "file", m.file)
	}
}

// fenced takes another name: one that somebody else has got is of no use.
func (m *membership) fenced() {
	old := m.name
	m.name = ""
	if m.file == "" {
		m.g.log.Error("another member of the group has the same consume.instance_id: this one goes on without; give each its own", "instance_id", old)
		return
	}
	made, err := m.make()
	if err != nil {
		m.plain("cannot keep a new name for this member", err)
		return
	}
	m.name = made
	m.g.log.Warn("another member of the group has this one's name, since data_dir was copied or is shared: this one has a new name now", "file", m.file, "old", old, "new", made)
}

// plain is when there is no name because of an error.
func (m *membership) plain(text string, err error) {
	m.g.log.Warn(text+": it is an ordinary member of its group in this run", "file", m.file, "error", err)
}

// make writes a name that nobody has.
func (m *membership) make() (string, error) {
	var b [6]byte
	rand.Read(b[:]) // never fails
	suffix := strings.TrimSuffix(filepath.Base(m.file), filepath.Ext(m.file))
	name := "sluice-" + hex.EncodeToString(b[:]) + "-" + suffix
	return name, writeMember(m.file, name)
}

// MemberFile is where a stage keeps the name of its member for a source or an output:
// in the directory that its role has locked. "" without a directory.
func MemberFile(dir, role, of string) string {
	if dir == "" {
		return ""
	}
	safe := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, role+"-"+of)
	return filepath.Join(dir, safe[:min(len(safe), 100)]+".member")
}

const memberMost = 249 // bytes of a name, by Kafka's rule

// readMember is the name in a file; "": there is none, or nothing that may be a name,
// such as what a full disk has left.
func readMember(file string) (string, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, memberMost+2))
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(b))
	if len(name) > memberMost || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "", nil
	}
	return name, nil
}

// writeMember keeps a name, all of it or none.
func writeMember(file, name string) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, name)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// leave gives up the member's place in the group at once. sarama leaves for members
// without a name; one with a name is expected to come back.
func (m *membership) leave(client sarama.Client) {
	g := m.g
	g.mu.Lock()
	session := g.current
	g.mu.Unlock()
	if m.name == "" {
		return
	}
	name, member := m.name, "" // whoever has the name
	if session != nil {
		member = session.MemberID()
	}
	reason := "stopped"
	var err error
	for try := range 3 {
		if try > 0 {
			if err = client.RefreshCoordinator(g.opts.Group); err != nil {
				continue
			}
		}
		var b *sarama.Broker
		if b, err = client.Coordinator(g.opts.Group); err != nil {
			continue
		}
		var resp *sarama.LeaveGroupResponse
		resp, err = b.LeaveGroup(&sarama.LeaveGroupRequest{
			Version: 5, GroupId: g.opts.Group, MemberId: member, Members: []sarama.MemberIdentity{{MemberId: member, GroupInstanceId: &name, Reason: &reason}},
		})
		if err != nil {
			_ = b.Close()
			continue
		}
		if err = nil; resp.Err != sarama.ErrNoError {
			err = resp.Err
		} else if len(resp.Members) == 1 && resp.Members[0].Err != sarama.ErrNoError {
			err = resp.Members[0].Err
		}
		switch {
		case err == nil, errors.Is(err, sarama.ErrUnknownMemberId), errors.Is(err, sarama.ErrFencedInstancedId), errors.Is(err, sarama.ErrGroupIDNotFound):
			return
		}
	}
	g.log.Warn("could not leave the group: the partitions wait for the session timeout, or for this member", "error", err)
}
