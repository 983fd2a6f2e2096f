package bulk

import (
	"testing"

	"github.com/sluicelog/sluice/internal/kafka"
)

func TestKeepMovesRefusedItemsTogether(t *testing.T) {
	b := &Bulk{Buf: []byte("aabbbcdddd")}
	for i, end := range []int{2, 5, 6, 10} {
		v := Stored
		if i == 1 || i == 3 {
			v = Again
		}
		b.Items = append(b.Items, Item{End: end, Verdict: v, Record: kafka.View{Offset: int64(i)}})
	}
	b.Keep()
	if string(b.Buf) != "bbbdddd" || len(b.Items) != 2 || b.Items[0].End != 3 || b.Items[1].End != 7 || b.Items[1].Record.Offset != 3 || b.From(1) != 3 {
		t.Errorf("%s %+v", b.Buf, b.Items)
	}
}
