package kafka

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicelog/sluice/config"
)

// memberOptions are for a group, of the name of its topic, whose dead members would keep their partitions for
// longer than any test takes.
func memberOptions(name, file string) GroupOptions {
	o := groupOptions(name)
	o.Group, o.SessionTimeout, o.MemberFile, o.DrainTimeout = name, config.Duration(5*time.Minute), file, 200*time.Millisecond
	return o
}

// waiting is how long a test waits for something: kfake is quicker than Kafka.
type waiting func(t testing.TB, what string, is func() bool)

// mortal is a cluster whose clients can be killed: it says nothing any more.
func mortal(t testing.TB, addrs []string) (c *Cluster, kill func()) {
	c = clusterAt(t, addrs...)
	var mu sync.Mutex
	var conns []net.Conn
	dead := false
	c.timing.reach = func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if dead {
			return nil, net.ErrClosed
		}
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			conns = append(conns, nc)
		}
		return nc, err
	}
	return c, func() {
		mu.Lock()
		defer mu.Unlock()
		dead = true
		for _, nc := range conns {
			nc.Close()
		}
	}
}

// tally counts the values that any member has seen.
type tally struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (s *tally) member(t testing.TB) *viewer {
	v := newViewer(t)
	v.views = func(_ context.Context, c *Claim, records []View) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range records {
			s.seen[fmt.Sprint(key(c), records[i].Offset)] = true
		}
		c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
	}
	return v
}

func (s *tally) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func named(t testing.TB, name string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "indexer-online.member")
	if err := writeMember(file, name); err != nil {
		t.Fatal(err)
	}
	return file
}

// A member with a name that was killed takes up its partitions when it is back, though
// its session is not over.
func TestKilledMemberComesBack(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(6, "killedMember"))
	killedMember(t, k.ListenAddrs(), eventually)
}

func killedMember(t *testing.T, addrs []string, wait waiting) {
	const name = "killedMember"
	all := &tally{seen: map[string]bool{}}
	put := func(n int) {
		for p := range int32(6) {
			produce(t, addrs, name, p, numbered(0, n, 10))
		}
	}
	put(10)
	file := named(t, "a-name")
	c, kill := mortal(t, addrs)
	first := all.member(t)
	join(t, c, memberOptions(name, file), first)
	second := all.member(t)
	join(t, clusterAt(t, addrs...), memberOptions(name, named(t, "b-name")), second)
	wait(t, "both have partitions", func() bool { return first.claims() > 0 && second.claims() > 0 && all.count() == 60 })
	for i := range 3 {
		kill()
		put(10)
		c, kill = mortal(t, addrs)
		join(t, c, memberOptions(name, file), all.member(t))
		wait(t, "the records of all partitions", func() bool { return all.count() == 60*(2+i) })
	}
}

// A member with a name that stops leaves its partitions to the others at once.
func TestStoppedMemberLeaves(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(6, "stoppedMember"))
	stoppedMember(t, k.ListenAddrs(), eventually)
}

func stoppedMember(t *testing.T, addrs []string, wait waiting) {
	const name = "stoppedMember"
	all := &tally{seen: map[string]bool{}}
	c := clusterAt(t, addrs...)
	file := named(t, "a-name")
	stays, goes := all.member(t), all.member(t)
	_, leave := join(t, c, memberOptions(name, file), goes)
	_, leaveOther := join(t, c, memberOptions(name, named(t, "b-name")), stays)
	wait(t, "both have partitions", func() bool { return stays.claims() > 0 && goes.claims() > 0 })
	leave()
	for p := range int32(6) {
		produce(t, addrs, name, p, numbered(0, 10, 10))
	}
	wait(t, "the records of all partitions", func() bool { return all.count() == 60 })
	leaveOther()
	if name, err := readMember(file); name != "a-name" || err != nil {
		t.Errorf("the name is %q now, %v", name, err)
	}
}

// Of two members with one name, since a directory was copied, the first takes another,
// and both read.
func TestCopiedName(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(6, "copiedName"))
	copiedName(t, k.ListenAddrs(), eventually)
}

func copiedName(t *testing.T, addrs []string, wait waiting) {
	const name = "copiedName"
	all := &tally{seen: map[string]bool{}}
	c := clusterAt(t, addrs...)
	files := []string{named(t, "same"), named(t, "same")}
	first, second := all.member(t), all.member(t)
	_, leave := join(t, c, memberOptions(name, files[0]), first)
	wait(t, "the first has all", func() bool { return first.claims() == 6 })
	_, leaveSecond := join(t, c, memberOptions(name, files[1]), second)
	wait(t, "another name", func() bool { name, _ := readMember(files[0]); return strings.HasPrefix(name, "sluice-") })
	had := first.claims()
	wait(t, "both have partitions", func() bool { return second.claims() > 0 && first.claims() > had })
	for p := range int32(6) {
		produce(t, addrs, name, p, numbered(0, 10, 10))
	}
	wait(t, "the records of all partitions", func() bool { return all.count() == 60 })
	if name, err := readMember(files[1]); name != "same" || err != nil {
		t.Errorf("the second has the name %q, %v", name, err)
	}
	leave()
	leaveSecond()
}

// The same with names of the configuration: who loses goes on without.
func TestSameInstanceID(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(4, "logs"))
	all := &tally{seen: map[string]bool{}}
	c := clusterAt(t, k.ListenAddrs()...)
	o := memberOptions("logs", "")
	o.InstanceID = "same"
	first, second := all.member(t), all.member(t)
	_, leave := join(t, c, o, first)
	eventually(t, "the first has all", func() bool { return first.claims() == 4 })
	_, leaveSecond := join(t, c, o, second)
	eventually(t, "both have partitions", func() bool { return second.claims() > 0 && first.claims() > 4 })
	leaveSecond() // leaves with its name
	for p := range int32(4) {
		produce(t, k.ListenAddrs(), "logs", p, numbered(0, 10, 10))
	}
	eventually(t, "the records of all partitions", func() bool { return all.count() == 40 })
	leave()
}

// Ten members are restarted one after the other, each with an empty directory, as
// containers without a volume are: none leaves partitions to nobody.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	const members, partitions = 10, 20
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(partitions, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	var last [partitions]atomic.Int64 // when a record of it came, ms
	var longest atomic.Int64
	start := func() func() {
		v := newViewer(t)
		v.views = func(_ context.Context, c *Claim, records []View) {
			now := time.Now().UnixMilli()
			if was := last[c.Partition()].Swap(now); was > 0 && now-was > longest.Load() {
				longest.Store(now - was)
			}
			c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
		}
		_, leave := join(t, c, memberOptions("logs", filepath.Join(t.TempDir(), "indexer-online.member")), v)
		return leave
	}
	var leaves []func()
	for range members {
		leaves = append(leaves, start())
	}
	written := 0
	write := func(what string) {
		for p := range int32(partitions) {
			produce(t, k.ListenAddrs(), "logs", p, numbered(written, 2, 10))
		}
		written += 2
		eventually(t, what, func() bool {
			return !slices.ContainsFunc(committed(t, k.ListenAddrs(), "logs", "logs", partitions), func(o int64) bool { return o != int64(written) })
		})
	}
	write("all partitions are read")
	for i := range leaves {
		leaves[i]()
		leaves[i] = start()
		write(fmt.Sprint("all partitions are read after restart ", i))
	}
	t.Logf("no partition was idle for more than %d ms", longest.Load())
	for _, leave := range leaves {
		leave()
	}
}

// Without a file a name is written and not used; what cannot be one is none; where none
// can be kept there is none.
func TestMemberName(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	used := func(o GroupOptions) string {
		t.Helper()
		g, err := NewGroup(c, o, newViewer(t))
		if err != nil {
			t.Fatal(err)
		}
		m := &membership{g: g}
		m.join()
		return m.name
	}
	file := MemberFile(t.TempDir(), "indexer", "on/line ä")
	if filepath.Base(file) != "indexer-on_line__.member" {
		t.Error(file)
	}
	if got := used(memberOptions("logs", file)); got != "" {
		t.Errorf("used %q in an empty directory", got)
	}
	kept, err := os.ReadFile(file)
	if got := used(memberOptions("logs", file)); err != nil || got == "" || got+"\n" != string(kept) || !strings.HasSuffix(got, "-indexer-on_line__") {
		t.Errorf("kept %q, %v, used %q", kept, err, got)
	}
	for _, bad := range []string{"", "\n", "a b", "ä", ".", strings.Repeat("a", 250), "a\nb"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := used(memberOptions("logs", file)); got != "" {
			t.Errorf("%q is used as %q", bad, got)
		}
		if now, err := readMember(file); err != nil || now == "" {
			t.Errorf("after %q the name is %q, %v", bad, now, err)
		}
	}
	if got := used(memberOptions("logs", filepath.Join(file, "no", "directory"))); got != "" {
		t.Errorf("used %q that is not kept", got)
	}
	o := memberOptions("logs", file)
	o.InstanceID = "mine"
	if got := used(o); got != "mine" {
		t.Errorf("used %q, want the configuration's", got)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("files %v, %v", left, err)
	}
	if MemberFile("", "indexer", "x") != "" {
		t.Error("a file without a directory")
	}
}
