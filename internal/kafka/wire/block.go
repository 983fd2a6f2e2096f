package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	blockLeast = 14 // log2 of the smallest block
	blockUsual = 20 // log2 of the greatest one that is made without need
	blockMost  = 24 // log2 of the greatest one that is kept for later, which holds an answer of many partitions
)

// Block is memory that records are views of. Each who was given it gives it back with
// Free; after the last one it is used again. It is safe for concurrent use.
type Block struct {
	mem  []byte
	used int
	refs atomic.Int32
	kept atomic.Bool // views of it outlive it
	big  func(n int) // told when a block that is not kept is given up; nil: nobody
}

var blocks [blockMost + 1]sync.Pool // by log2 of the size

// blockSize is the size of a block with room for n bytes.
func blockSize(n int) int {
	if class := max(blockLeast, bits.Len(uint(max(1, n)-1))); class <= blockMost {
		return 1 << class
	}
	return n
}

// newBlock is a block with room for n bytes at least, held by the caller.
func newBlock(n int) *Block {
	size := blockSize(n)
	var b *Block
	if class := bits.Len(uint(size - 1)); class <= blockMost {
		b, _ = blocks[class].Get().(*Block)
	}
	if b == nil {
		b = &Block{mem: make([]byte, size)}
	}
	b.used = 0
	b.refs.Store(1)
	return b
}

// Size is the memory of the block in bytes.
func (b *Block) Size() int { return len(b.mem) }

// NewBlock is a block with room for n bytes, for what will be read.
func NewBlock(n int) *Block { return newBlock(n) }

// Bytes is its first n bytes.
func (b *Block) Bytes(n int) []byte { return b.mem[:n:n] }

// Hold is for one more who gives it back.
func (b *Block) Hold() { b.refs.Add(1) }

// Keep leaves the memory to the garbage collector: views of it stay valid after Free.
func (b *Block) Keep() { b.kept.Store(true) }

// Free gives the block back. The views of it must not be used any more, unless Keep was
// called.
func (b *Block) Free() {
	if b.refs.Add(-1) != 0 {
		return
	}
	if b.big != nil {
		b.big(len(b.mem))
		b.big = nil
	}
	if class := bits.Len(uint(len(b.mem) - 1)); class <= blockMost && 1<<class == len(b.mem) && !b.kept.Load() {
		blocks[class].Put(b)
	}
}

// room is what is not used yet.
func (b *Block) room() []byte { return b.mem[b.used:] }
