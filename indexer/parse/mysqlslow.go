package parse

import "bytes"

// mysqlSlow reads an entry of MySQL's log of slow queries:
//
//	# Time: 2026-11-21T08:57:47.123456Z
//	# User@Host: root[root] @ localhost []  Id: 12
//	# Query_time: 2.000123  Lock_time: 0.000001 Rows_sent: 1  Rows_examined: 100
//	SET timestamp=1795251465;
//	select sleep(2);
type mysqlSlow struct{}

func (mysqlSlow) Name() string           { return plainName }
func (mysqlSlow) Starts(first byte) bool { return first == '#' }

func (mysqlSlow) Read(p *Parser) bool {
	m := p.message[p.start:]
	if rest, ok := bytes.CutPrefix(m, []byte("# Time: ")); ok {
		var t Civil
		if matchTime(rest[skipSpaces(rest, 0, len(rest)):], &t) == 0 {
			return false
		}
		p.takeTime(&t)
		return true
	}
	if !bytes.HasPrefix(m, []byte("# User@Host: ")) { // of entries within a second of the one before
		return false
	}
	const set = "SET timestamp="
	n := bytes.Index(m, []byte(set))
	if n < 0 {
		return false
	}
	return p.timeAt(p.start+n+len(set)) > 0
}
