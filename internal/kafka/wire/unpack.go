package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// unpacker reads what was packed, in pieces as large as the reader has room for: what
// comes out is never longer than what was asked for, however small it was packed. Beside
// that it holds a block of its format (lz4 4 MiB, snappy and the window of zstd up to
// the limit for one record), and only while it needs it.
type unpacker interface {
	io.Reader
	close() // it is not used any more
}

// unpack is the unpacker of a batch's records; limit bounds what must be in memory at
// once, and big, if any, is asked before more than 1 MiB is taken.
func unpack(codec Codec, packed []byte, limit int, big func(int) error) (unpacker, error) {
	switch codec {
	case None:
		return &plain{packed}, nil
	case Gzip:
		return newGunzip(packed)
	case Snappy:
		return newUnsnap(packed, limit), nil
	case LZ4:
		return newUnlz4(packed)
	case Zstd:
		return &unzstd{packed: packed, limit: limit, big: big}, nil
	}
	return nil, fmt.Errorf("codec %d: %w", codec, ErrBroken)
}

type plain struct{ b []byte }

func (p *plain) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b)
	p.b = p.b[n:]
	return n, nil
}

func (p *plain) close() {}

// gunzip

type gunzip struct {
	*gzip.Reader
	in bytes.Reader
}

var gunzips sync.Pool

func newGunzip(packed []byte) (*gunzip, error) {
	g, _ := gunzips.Get().(*gunzip)
	if g == nil {
		g = &gunzip{Reader: new(gzip.Reader)}
	}
	g.in.Reset(packed)
	if err := g.Reset(&g.in); err != nil {
		return nil, fmt.Errorf("gzip: %w (%w)", err, ErrBroken)
	}
	return g, nil
}

func (g *gunzip) close() {
	g.in.Reset(nil)
	gunzips.Put(g)
}

// zstd: at once when all of it fits, which is the usual case, and else by a stream.

type unzstd struct {
	packed []byte
	limit  int
	big    func(int) error
	took   int // by big
	in     bytes.Reader
	stream *zstd.Decoder
	over   bool
}

var zstdWhole sync.Pool // decoders that fill what they are given, up to its end

func (z *unzstd) Read(b []byte) (n int, err error) {
	if z.over {
		return 0, io.EOF
	}
	if z.stream == nil {
		n, err := z.whole(b)
		if err == nil {
			z.over = true
			return n, nil
		}
		// Either it does not fit, which has several names, or the stream finds out as well.
		if err := z.begin(); err != nil {
			return 0, err
		}
	}
	n, err = z.stream.Read(b)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return n, fmt.Errorf("zstd: %w (%w)", err, ErrTooLarge)
	}
	return n, fmt.Errorf("zstd: %w (%w)", err, ErrBroken)
}

func (z *unzstd) whole(b []byte) (int, error) {
	d, _ := zstdWhole.Get().(*zstd.Decoder)
	if d == nil {
		var err error
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(1<<29)); err != nil {
			return 0, err
		}
	}
	defer zstdWhole.Put(d)
	out, err := d.DecodeAll(z.packed, b[:0:len(b)])
	return len(out), err
}

func (z *unzstd) begin() error {
	var h zstd.Header
	if err := h.Decode(z.packed); err != nil {
		return fmt.Errorf("zstd: %w (%w)", err, ErrBroken)
	}
	limit := max(z.limit, 1<<20)
	if h.WindowSize > uint64(limit) {
		return fmt.Errorf("zstd: a window of %d bytes: %w", h.WindowSize, ErrTooLarge)
	}
	if z.big != nil && h.WindowSize > 1<<blockUsual {
		if err := z.big(int(h.WindowSize)); err != nil {
			return err
		}
		z.took = int(h.WindowSize)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(limit)))
	if err != nil {
		return err
	}
	z.stream = d
	z.in.Reset(z.packed)
	if err := z.stream.Reset(&z.in); err != nil {
		return fmt.Errorf("zstd: %w (%w)", err, ErrBroken)
	}
	return nil
}

func (z *unzstd) close() {
	if z.stream != nil {
		z.stream.Close() // its window may be large, and few batches come here
		z.stream = nil
	}
	if z.took > 0 {
		_ = z.big(-z.took)
		z.took = 0
	}
}

// lz4: the frame format, of which Kafka uses blocks that need no other.

type unlz4 struct {
	in    []byte // of the blocks that are left
	block int    // most bytes of one
	sums  bool   // each block has a checksum after it
	spare *[]byte
	ready []byte      // of spare, not read yet
	inner *lz4.Reader // for frames whose blocks need the ones before
}

const lz4Magic = 0x184d2204

var lz4Spares sync.Pool // of *[]byte of 4 MiB

func newUnlz4(packed []byte) (unpacker, error) {
	le := binary.LittleEndian
	if len(packed) < 7 || le.Uint32(packed) != lz4Magic {
		return nil, fmt.Errorf("lz4: no frame: %w", ErrBroken)
	}
	flags, size := packed[4], packed[5]>>4&7
	if flags>>6 != 1 || size < 4 || flags&1 != 0 {
		return nil, fmt.Errorf("lz4: a frame of version %d, block size %d: %w", flags>>6, size, ErrBroken)
	}
	if flags&0x20 == 0 { // blocks refer to those before
		return &unlz4{inner: lz4.NewReader(bytes.NewReader(packed))}, nil
	}
	at := 7
	if flags&8 != 0 {
		at += 8
	}
	if at > len(packed) {
		return nil, fmt.Errorf("lz4: a frame that ends in its header: %w", ErrBroken)
	}
	return &unlz4{in: packed[at:], block: 1 << (8 + 2*size), sums: flags&0x10 != 0}, nil
}

func (u *unlz4) Read(b []byte) (int, error) {
	if u.inner != nil {
		n, err := u.inner.Read(b)
		if err != nil && err != io.EOF {
			err = fmt.Errorf("lz4: %w (%w)", err, ErrBroken)
		}
		return n, err
	}
	if len(u.ready) == 0 {
		n, err := u.next(b)
		if err != nil || n > 0 {
			return n, err
		}
	}
	n := copy(b, u.ready)
	if u.ready = u.ready[n:]; len(u.ready) == 0 {
		u.close()
	}
	return n, nil
}

// next unpacks a block into b, or into spare if it does not fit.
func (u *unlz4) next(b []byte) (int, error) {
	for {
		if len(u.in) < 4 {
			return 0, fmt.Errorf("lz4: a frame without its end: %w", ErrBroken)
		}
		size := binary.LittleEndian.Uint32(u.in)
		if size == 0 {
			return 0, io.EOF
		}
		stored := size>>31 != 0
		size &= 1<<31 - 1
		end := 4 + int(size)
		if int(size) > u.block || end > len(u.in) {
			return 0, fmt.Errorf("lz4: a block of %d bytes: %w", size, ErrBroken)
		}
		block := u.in[4:end]
		if u.sums {
			end += 4
		}
		rest := u.in[min(end, len(u.in)):]
		if stored {
			n := copy(b, block)
			if n < len(block) {
				u.ready = block[n:]
			}
			u.in = rest
			if n > 0 {
				return n, nil
			}
			continue
		}
		n, err := lz4.UncompressBlock(block, b[:min(len(b), u.block)])
		if err != nil && len(b) < u.block {
			if u.spare == nil {
				if u.spare, _ = lz4Spares.Get().(*[]byte); u.spare == nil {
					s := make([]byte, 4<<20)
					u.spare = &s
				}
			}
			n, err = lz4.UncompressBlock(block, (*u.spare)[:u.block])
			u.ready = (*u.spare)[:n]
			if err == nil {
				n = 0
			}
		}
		if err != nil {
			return 0, fmt.Errorf("lz4: %w (%w)", err, ErrBroken)
		}
		u.in = rest
		if n > 0 || len(u.ready) > 0 {
			return n, nil
		}
	}
}

func (u *unlz4) close() {
	if u.spare != nil {
		lz4Spares.Put(u.spare)
		u.spare, u.ready = nil, nil
	}
}

// snappy: the framing of xerial, as Java writes it, or one bare block.

const xerialMagic = "\x82SNAPPY\x00"

type unsnap struct {
	in     []byte
	framed bool
	limit  int
	ready  []byte // unpacked, not read yet
	spare  []byte
}

func newUnsnap(packed []byte, limit int) *unsnap {
	if len(packed) >= 16 && string(packed[:8]) == xerialMagic {
		return &unsnap{in: packed[16:], framed: true, limit: limit}
	}
	return &unsnap{in: packed, limit: limit}
}

func (u *unsnap) Read(b []byte) (int, error) {
	if len(u.ready) == 0 {
		n, err := u.next(b)
		if err != nil || n > 0 {
			return n, err
		}
	}
	n := copy(b, u.ready)
	u.ready = u.ready[n:]
	return n, nil
}

// next unpacks a block into b, or into spare if it does not fit.
func (u *unsnap) next(b []byte) (int, error) {
	for len(u.in) > 0 {
		block := u.in
		if u.framed {
			if len(u.in) < 4 || int64(be.Uint32(u.in)) > int64(len(u.in)-4) {
				return 0, fmt.Errorf("snappy: a block that is longer than what is left: %w", ErrBroken)
			}
			block = u.in[4 : 4+be.Uint32(u.in)]
			u.in = u.in[4+len(block):]
		} else {
			u.in = nil
		}
		n, err := s2.DecodedLen(block)
		switch {
		case err != nil:
			return 0, fmt.Errorf("snappy: %w (%w)", err, ErrBroken)
		case n > u.limit:
			return 0, fmt.Errorf("snappy: a block of %d bytes: %w", n, ErrTooLarge)
		case n > 64*(len(block)+1): // a lie: a byte of a copy makes less than 64
			return 0, fmt.Errorf("snappy: %d bytes that are said to hold %d: %w", len(block), n, ErrBroken)
		}
		to := b
		if n > len(b) {
			if cap(u.spare) < n {
				u.spare = make([]byte, n)
			}
			to = u.spare[:n]
		}
		out, err := s2.Decode(to[:n:n], block)
		if err != nil || len(out) != n {
			return 0, fmt.Errorf("snappy: %w (%w)", errors.Join(err), ErrBroken)
		}
		if n > len(b) {
			u.ready = out
			return 0, nil
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

func (u *unsnap) close() {}
