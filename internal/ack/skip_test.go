package ack

import "testing"

// Offsets that were passed over are finished, and those before them that were taken
// still hold the mark.
func TestSkip(t *testing.T) {
	tr := New(10)
	if !tr.Skip(20) || tr.Mark() != 20 {
		t.Fatalf("mark = %d, want 20", tr.Mark())
	}
	tr.Take(20)
	tr.Take(21)
	if tr.Skip(500) || tr.Mark() != 20 || tr.Next() != 500 {
		t.Fatalf("mark = %d, next %d, want 20, 500", tr.Mark(), tr.Next())
	}
	if tr.Skip(400) || tr.Done(100) {
		t.Error("the mark moves over what is not finished")
	}
	tr.Done(21)
	if !tr.Done(20) || tr.Mark() != 500 {
		t.Errorf("mark = %d, want 500", tr.Mark())
	}
}
