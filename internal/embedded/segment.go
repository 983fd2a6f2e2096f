package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition of kfake is a directory of segments, each a file of record batches
// (<base>.dat) and beside it 15 bytes for each batch (<base>.idx), written after the
// batch and before its acknowledgement. kill -9 can leave two things behind that kfake
// does not mend, and that would lose or double records later:
//
//   - a batch without its index entry: all later entries are then off by one, and the
//     batch counts as one outside of any transaction. It was never acknowledged: cut it off.
//   - an open transaction without a marker. kfake tells readers that it was aborted, but a
//     reader drops what follows from the same producer id until it meets an abort marker:
//     write the marker.
//   - half an entry at the end of groups.log or pids.log. kfake reads up to it and appends
//     after it, where it will not read the next time: cut it off.
//
// The start of a record batch, big endian:
//
//	0        8       12          16     17    21      23       27     35     43   51     53   57      61
//	+--------+-------+-----------+------+-----+-------+--------+------+------+----+------+----+-------+
//	| base   | rest  | leader    | magic| crc | attr  | last   | first| max  | pid| pid  | seq| count |
//	| offset | length| epoch     |      |     |       | delta  | time | time |    | epoch|    |       |
//	+--------+-------+-----------+------+-----+-------+--------+------+------+----+------+----+-------+
const (
	batchHeader     = 61
	indexEntry      = 15
	transactional   = 0x10
	controlBatch    = 0x20
	sessionState    = "session_state.json" // only a clean stop leaves it; kfake then knows its open transactions
	partitionsDir   = "partitions"
	segmentSuffix   = ".dat"
	segmentIndexExt = ".idx"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type batchInfo struct {
	base, size  int64
	leaderEpoch int32
	attributes  int16
	lastDelta   int32
	pid         int64
	pidEpoch    int16
}

// mendLogs mends the partitions of a cluster that is not running.
func mendLogs(dir string, now time.Time) error {
	if _, err := os.Stat(filepath.Join(dir, sessionState)); err == nil {
		return nil
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		if err := cutTorn(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("mend %s: %w", name, err)
		}
	}
	parts, err := os.ReadDir(filepath.Join(dir, partitionsDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		if !p.IsDir() {
			continue
		}
		if err := mendPartition(filepath.Join(dir, partitionsDir, p.Name()), now); err != nil {
			return fmt.Errorf("mend partition %s: %w", p.Name(), err)
		}
	}
	return nil
}

// cutTorn makes a log of entries end after its last whole one. An entry is 4 bytes of
// length and 4 of CRC-32C, little endian, and as many bytes as the length says.
func cutTorn(path string) error {
	const header, least = 8, 2
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	whole := 0
	for rest := b; len(rest) >= header; rest = b[whole:] {
		size := int64(binary.LittleEndian.Uint32(rest))
		if size < least || size > int64(len(rest)-header) ||
			crc32.Checksum(rest[header:header+size], castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			break
		}
		whole += header + int(size)
	}
	if whole == len(b) {
		return nil
	}
	return os.Truncate(path, int64(whole))
}

func mendPartition(dir string, now time.Time) error {
	bases, err := segmentBases(dir)
	if err != nil || len(bases) == 0 {
		return err
	}
	open := map[int64]batchInfo{} // last batch of each transaction without an end, by producer id
	var last batchInfo
	for i, base := range bases {
		name := filepath.Join(dir, strconv.FormatInt(base, 10))
		batches, err := readBatches(name + segmentSuffix)
		if err != nil {
			return err
		}
		if i == len(bases)-1 {
			if batches, err = cutUnindexed(name, batches); err != nil {
				return err
			}
		}
		for _, b := range batches {
			last = b
			switch {
			case b.attributes&controlBatch != 0:
				delete(open, b.pid)
			case b.attributes&transactional != 0:
				open[b.pid] = b
			}
		}
	}
	name := filepath.Join(dir, strconv.FormatInt(bases[len(bases)-1], 10))
	next := last.base + int64(last.lastDelta) + 1
	for _, b := range open {
		if err := appendAbort(name, b, next, last.leaderEpoch, now); err != nil {
			return err
		}
		next++
	}
	return nil
}

func segmentBases(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		if base, err := strconv.ParseInt(name, 10, 64); err == nil {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// readBatches reads the headers of the whole batches of a segment.
func readBatches(path string) ([]batchInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var batches []batchInfo
	var h [batchHeader]byte
	for pos := int64(0); ; {
		if _, err := f.ReadAt(h[:], pos); err == io.EOF {
			return batches, nil
		} else if err != nil {
			return nil, err
		}
		b := parseBatchHeader(&h)
		if b.size < batchHeader || pos+b.size > info.Size() {
			return batches, nil
		}
		batches = append(batches, b)
		pos += b.size
	}
}

func parseBatchHeader(h *[batchHeader]byte) batchInfo {
	be := binary.BigEndian
	return batchInfo{
		base:        int64(be.Uint64(h[0:])),
		size:        12 + int64(int32(be.Uint32(h[8:]))),
		leaderEpoch: int32(be.Uint32(h[12:])),
		attributes:  int16(be.Uint16(h[21:])),
		lastDelta:   int32(be.Uint32(h[23:])),
		pid:         int64(be.Uint64(h[43:])),
		pidEpoch:    int16(be.Uint16(h[51:])),
	}
}

// cutUnindexed makes both files of a segment end after the same batch, the last one
// that is whole in both.
func cutUnindexed(name string, batches []batchInfo) ([]batchInfo, error) {
	var entries int64
	if info, err := os.Stat(name + segmentIndexExt); err == nil {
		entries = info.Size() / indexEntry
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	batches = batches[:min(len(batches), int(entries))]
	var size int64
	for _, b := range batches {
		size += b.size
	}
	if err := os.Truncate(name+segmentSuffix, size); err != nil {
		return nil, err
	}
	if entries == 0 {
		return batches, nil // kfake makes a missing index itself
	}
	return batches, os.Truncate(name+segmentIndexExt, int64(len(batches))*indexEntry)
}

// appendAbort writes the marker that ends the transaction of open at offset.
func appendAbort(name string, open batchInfo, offset int64, leaderEpoch int32, now time.Time) error {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	rec := kmsg.Record{Key: key.AppendTo(nil), Value: (&kmsg.EndTxnMarker{}).AppendTo(nil)}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // without the length itself, one byte here
	b := kmsg.RecordBatch{
		FirstOffset:          offset,
		PartitionLeaderEpoch: leaderEpoch,
		Magic:                2,
		Attributes:           transactional | controlBatch,
		FirstTimestamp:       now.UnixMilli(),
		MaxTimestamp:         now.UnixMilli(),
		ProducerID:           open.pid,
		ProducerEpoch:        open.pidEpoch,
		FirstSequence:        -1,
		NumRecords:           1,
		Records:              rec.AppendTo(nil),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	if err := appendFile(name+segmentSuffix, raw); err != nil {
		return err
	}
	// version, low byte of the sum of what follows, leader epoch, largest earlier time
	// (recomputed at start), flags: outside of a transaction
	entry := make([]byte, indexEntry)
	entry[0] = 1
	binary.LittleEndian.PutUint32(entry[2:], uint32(leaderEpoch))
	binary.LittleEndian.PutUint64(entry[6:], uint64(now.UnixMilli()))
	entry[1] = byte(crc32.Checksum(entry[2:], castagnoli))
	return appendFile(name+segmentIndexExt, entry)
}

func appendFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
