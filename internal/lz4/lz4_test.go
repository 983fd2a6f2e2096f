package lz4

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/pierrec/lz4/v4"
)

// events is a Kafka batch's records as the shipper writes them: the load test's mix of
// lines from 8 containers.
func events(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open("testdata/records.bin.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// roundTrip checks that an independent reader reads back what was written, that the
// frame and what it took are bounded, and that nothing else was touched.
func roundTrip(t testing.TB, e *Encoder, src []byte) []byte {
	t.Helper()
	const before = "what was there"
	kept := bytes.Clone(src)
	out := e.AppendFrame([]byte(before), src)
	frame, ok := bytes.CutPrefix(out, []byte(before))
	if !ok {
		t.Fatal("what was in dst is not there any more")
	}
	if !bytes.Equal(src, kept) {
		t.Fatal("src was written to")
	}
	if len(frame) > Bound(len(src)) {
		t.Fatalf("%d bytes make a frame of %d, want %d at most", len(src), len(frame), Bound(len(src)))
	}
	got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(frame)))
	if err != nil {
		t.Fatalf("%d bytes cannot be read back: %v", len(src), err)
	}
	if !bytes.Equal(got, src) {
		t.Fatalf("%d bytes came back as %d others", len(src), len(got))
	}
	return frame
}

func TestRoundTrip(t *testing.T) {
	var e Encoder
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 { // short, of few letters: every way in which sequences can end
		b := make([]byte, r.IntN(400))
		letters := 1 + r.IntN(5)
		for i := range b {
			b[i] = byte('a' + r.IntN(letters))
		}
		roundTrip(t, &e, b)
	}
	for _, n := range []int{0, 1, 15, 16, 17, 19, 20, 21, 65535, 65536, 65537, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 7} {
		roundTrip(t, &e, make([]byte, n))
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		roundTrip(t, &e, b) // does not compress: stored
		for range 20 {      // and with matches at all distances and of all lengths
			if n < 100 {
				break
			}
			m := r.IntN(n / 2)
			copy(b[r.IntN(n-m):], b[r.IntN(n-m):][:m])
		}
		roundTrip(t, &e, b)
	}
	b := events(t)
	if frame := roundTrip(t, &e, b); len(frame) > len(b)*10/26 {
		t.Errorf("%d bytes of events make a frame of %d, want less than a 2.6th", len(b), len(frame))
	}
}

// Both ways of reading memory make the same frame, on each machine, whatever was
// compressed before.
func TestSameFrameEverywhere(t *testing.T) {
	var e Encoder
	b := events(t)
	e.AppendFrame(nil, b[len(b)/2:])
	sum := sha256.Sum256(e.AppendFrame(nil, b))
	const want = "6b3a7383f73a83f1"
	if got := hex.EncodeToString(sum[:8]); got != want {
		t.Errorf("frame's sum = %s, want %s", got, want)
	}
}

// With room in dst nothing is allocated; without, no more than is needed. An encoder
// is as small as its documentation says.
func TestMemory(t *testing.T) {
	e := new(Encoder)
	b := events(t)
	dst := make([]byte, 0, Bound(len(b))+blockBound(blockSize))
	if n := testing.AllocsPerRun(5, func() { e.AppendFrame(dst, b) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	noise := make([]byte, blockSize)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	if c := cap(e.AppendFrame(nil, noise)); c > 2*blockSize {
		t.Errorf("a frame of noise of %d bytes took %d", len(noise), c)
	}
	if n := unsafe.Sizeof(*e); n != 32<<10 {
		t.Errorf("an encoder takes %d bytes, want 32 KiB", n)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte(nil), uint8(0))
	f.Add([]byte("abcabcabcabcabcabcabcabcabcabc"), uint8(3))
	f.Add(events(f)[:4000], uint8(40))
	f.Add(bytes.Repeat([]byte{0}, 300), uint8(255))
	e := new(Encoder) // used again, as in a producer
	f.Fuzz(func(t *testing.T, b []byte, times uint8) {
		// More of the same reaches far matches and the ends of blocks.
		long := make([]byte, 0, len(b)*(int(times)+1))
		for range int(times) + 1 {
			long = append(long, b...)
		}
		roundTrip(t, e, b)
		roundTrip(t, e, long[:min(len(long), 2<<20)])
	})
}

func ExampleEncoder() {
	var e Encoder
	frame := e.AppendFrame(nil, bytes.Repeat([]byte("again "), 100))
	text, err := io.ReadAll(lz4.NewReader(bytes.NewReader(frame)))
	fmt.Println(len(frame), len(text), err)
	// Output: 33 600 <nil>
}
