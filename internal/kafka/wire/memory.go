package wire

import (
	"math/bits"
	"sync"
)

// Memory of batches is used again, by size: four sizes between a power of two and the
// next, so that at most a fifth of one is spare. What nobody wants the collector takes.
const (
	leastMemory = 4 << 10
	mostMemory  = 16 << 20 // more is not kept
)

var memories [64]sync.Pool

// memoryClass is the pool of slices of at least n bytes, and their size.
func memoryClass(n int) (class, size int) {
	n = max(n, leastMemory)
	step := bits.Len(uint(n-1)) - 3 // a quarter of the power of two below n
	parts := (n-1)>>step + 1        // 5 to 8 of them
	return step*4 + parts - 5 - 39, parts << step
}

// take returns n bytes that hold anything.
func take(n int) []byte {
	if n > mostMemory {
		return make([]byte, n)
	}
	class, size := memoryClass(n)
	if b, _ := memories[class].Get().(*[]byte); b != nil {
		return (*b)[:n]
	}
	return make([]byte, n, size)
}

// give takes back what take returned, grown by append or not.
func give(b []byte) {
	if cap(b) < leastMemory || cap(b) > mostMemory {
		return
	}
	class, size := memoryClass(cap(b))
	if size > cap(b) { // grown by append to a size between two
		if class--; class < 0 {
			return
		}
	}
	memories[class].Put(&b)
}
