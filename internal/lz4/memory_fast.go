//go:build (386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64 || wasm) && !purego

package lz4

import "unsafe"

// memory is the bytes of a slice without checks of bounds: the encoder's loop proves
// where it reads and writes (see block.go). Built on machines that keep the low byte
// first; all others, and -tags purego, use memory_plain.go, which makes the same bytes.
type memory struct{ at unsafe.Pointer }

func memoryOf(b []byte) memory { return memory{unsafe.Pointer(unsafe.SliceData(b))} }

func (m memory) u8(i int) byte    { return *(*byte)(unsafe.Add(m.at, i)) }
func (m memory) u32(i int) uint32 { return *(*uint32)(unsafe.Add(m.at, i)) }
func (m memory) u64(i int) uint64 { return *(*uint64)(unsafe.Add(m.at, i)) }

func (m memory) put8(i int, v byte)    { *(*byte)(unsafe.Add(m.at, i)) = v }
func (m memory) put16(i int, v uint16) { *(*uint16)(unsafe.Add(m.at, i)) = v }

// copy16 and copy64 copy so many bytes from another place.
func (m memory) copy16(i int, from memory, j int) {
	*(*[16]byte)(unsafe.Add(m.at, i)) = *(*[16]byte)(unsafe.Add(from.at, j))
}

func (m memory) copy64(i int, from memory, j int) {
	*(*[64]byte)(unsafe.Add(m.at, i)) = *(*[64]byte)(unsafe.Add(from.at, j))
}

func (m memory) copyN(i int, from memory, j, n int) {
	copy(unsafe.Slice((*byte)(unsafe.Add(m.at, i)), n), unsafe.Slice((*byte)(unsafe.Add(from.at, j)), n))
}
