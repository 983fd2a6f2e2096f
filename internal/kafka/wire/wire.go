// Package wire speaks Kafka's frames: on a connection that somebody else has made,
// secured and logged in, and about record batches as they travel, without a copy and
// an allocation for each record. It decides nothing: who leads what, what is tried
// again and what is committed is for package kafka.
package wire

import (
	"encoding/binary"
	"errors"
)

var be = binary.BigEndian

// ErrBroken is what bytes are that do not follow the protocol.
var ErrBroken = errors.New("bytes that are not as the protocol has them")

// readVarint reads a zigzag varint; n is its length, or not above zero if there is none.
func readVarint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		u := uint(b[0]&0x7f) | uint(b[1])<<7
		return int64(u>>1) ^ -int64(u&1), 2
	}
	return binary.Varint(b)
}

// appendVarint appends a zigzag varint.
func appendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

// ErrTooLarge: to be read, it needs more memory than it may have.
var ErrTooLarge = errors.New("needs more memory than the limit for one record")

// ErrOldFormat: a batch of before Kafka 0.11, which this package does not read.
var ErrOldFormat = errors.New("batch has a format of before Kafka 0.11")

// ErrFraming: where batches begin and end cannot be told.
var ErrFraming = errors.New("batches cannot be told apart")
