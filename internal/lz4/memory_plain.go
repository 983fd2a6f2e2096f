//go:build !(386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64 || wasm) || purego

package lz4

import "encoding/binary"

// memory is the bytes of a slice with Go's checks of bounds.
type memory struct{ b []byte }

func memoryOf(b []byte) memory { return memory{b} }

func (m memory) u8(i int) byte    { return m.b[i] }
func (m memory) u32(i int) uint32 { return binary.LittleEndian.Uint32(m.b[i:]) }
func (m memory) u64(i int) uint64 { return binary.LittleEndian.Uint64(m.b[i:]) }

func (m memory) put8(i int, v byte)    { m.b[i] = v }
func (m memory) put16(i int, v uint16) { binary.LittleEndian.PutUint16(m.b[i:], v) }

func (m memory) copy16(i int, from memory, j int) { copy(m.b[i:i+16], from.b[j:j+16]) }
func (m memory) copy64(i int, from memory, j int) { copy(m.b[i:i+64], from.b[j:j+64]) }

func (m memory) copyN(i int, from memory, j, n int) { copy(m.b[i:i+n], from.b[j:j+n]) }
