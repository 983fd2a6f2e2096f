package shipper

import (
	"os"
	"testing"
)

func TestPlainLinesArriveOnceWithSizesThatAddUp(t *testing.T) {
	s := newSite(t).plain()
	text := lines("a", 0, 1000) + "\n" + "caf\xe9 \"q\" \\ \t\r\n" + "上海\n"
	s.append("web.log", text)
	s.start()
	s.wait(1003)
	s.append("web.log", "later\n")
	s.wait(1004)
	s.append("web.log", "unfinish")
	s.append("web.log", "ed\n")
	s.wait(1005)
	s.append("new.log", "other file\n")
	s.wait(1006)
	s.positionsDone()
	s.stop()
	s.want(append(split1(lines("a", 0, 1000)), "", "caf\uFFFD \"q\" \\ \t\r", "上海", "later", "unfinished", "other file")...)
	var bytes int64
	for _, name := range []string{"web.log", "new.log"} {
		st, err := os.Stat(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		bytes += st.Size()
	}
	if s.sizes() != bytes {
		t.Errorf("sizes add up to %d, the files have %d bytes", s.sizes(), bytes)
	}
	e := s.only("caf\uFFFD \"q\" \\ \t\r")
	if len(e.Log.Flags) != 1 || e.Log.Flags[0] != "cleaned" || e.headers["app"] != "shop" || e.headers["dc"] != "dc1" || e.headers["dataset"] != "shop" || len(e.key) != 16 {
		t.Errorf("event %+v", e)
	}
	s.start() // nothing changed, so nothing is sent again
	s.append("web.log", "after the restart\n")
	s.wait(1007)
	s.settle()
	if len(s.order) != 1007 {
		t.Errorf("%d records, want 1007", len(s.order))
	}
}
