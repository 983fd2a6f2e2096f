package kafka

import (
	"errors"
	"fmt"
	"net"

	"github.com/IBM/sarama"
)

// What no try can mend; a Result with one of them holds a single record.
var (
	// ErrTooLarge: the broker's limit for one batch is below this one record.
	ErrTooLarge = errors.New("record is larger than the broker takes")
	// ErrInvalidRecord: the broker refuses the record as it is, such as one without
	// a key in a compacted topic, or with a time out of range.
	ErrInvalidRecord = errors.New("broker refuses the record")
)

// remedy is what is to be done about the answer to a batch.
type remedy int

const (
	accept  remedy = iota // stored
	again                 // try later
	slowly                // an operator has to mend it: try with the longest pause
	halve                 // too large: send it in two halves, return a single record
	single                // a record of it is refused: find it by halving, return it
	epoch                 // the broker lost our sequence: start one with the next epoch
	renew                 // our producer id is no good any more: ask for another
	fenced                // another producer has our transactional id
	aborted               // the transaction can only be aborted
)

// corruptTries is how often a batch is sent again that arrived damaged, before the
// damage is held to be in the record: once is a bad cable, five times is not.
const corruptTries = 5

// judge decides by the broker's answer. What is not known is tried again: only what
// is sure to be hopeless may be returned. tries is how often this batch was sent.
func judge(err error, tries int) remedy {
	var code sarama.KError
	if err == nil {
		return accept
	}
	if !errors.As(err, &code) {
		var encoding sarama.PacketEncodingError
		if errors.As(err, &encoding) { // larger than any request
			return halve
		}
		return again
	}
	switch code {
	case sarama.ErrNoError, sarama.ErrDuplicateSequenceNumber:
		return accept
	case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge:
		return halve
	case sarama.ErrInvalidRecord, sarama.ErrInvalidTimestamp, sarama.ErrUnsupportedForMessageFormat, sarama.ErrInvalidTopic:
		return single
	case sarama.ErrInvalidMessage:
		if tries >= corruptTries {
			return single
		}
		return again
	case sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID:
		return epoch
	case sarama.ErrInvalidProducerEpoch, sarama.ErrInvalidProducerIDMapping:
		return renew
	case sarama.ErrProducerFenced, sarama.ErrTransactionCoordinatorFenced:
		return fenced
	case sarama.ErrInvalidTxnState:
		return aborted
	case sarama.ErrUnknownTopicOrPartition, sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed,
		sarama.ErrTransactionalIDAuthorizationFailed, sarama.ErrGroupAuthorizationFailed, sarama.ErrSASLAuthenticationFailed,
		sarama.ErrUnsupportedSASLMechanism, sarama.ErrUnsupportedCompressionType, sarama.ErrPolicyViolation, sarama.ErrInvalidRequiredAcks,
		sarama.ErrUnsupportedVersion, sarama.ErrSecurityDisabled, sarama.ErrInvalidConfig:
		return slowly
	}
	return again
}

// moved says whether the error may mean that another broker leads the partition now.
func moved(err error) bool {
	var code sarama.KError
	if !errors.As(err, &code) {
		return true // the connection
	}
	switch code {
	case sarama.ErrNotLeaderForPartition, sarama.ErrLeaderNotAvailable, sarama.ErrUnknownTopicOrPartition, sarama.ErrReplicaNotAvailable,
		sarama.ErrKafkaStorageError, sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch, sarama.ErrBrokerNotAvailable,
		sarama.ErrNetworkException, sarama.ErrRequestTimedOut, sarama.ErrTopicAuthorizationFailed:
		return true
	}
	return false
}

// kind is an error's text without what differs from try to try, such as the port of
// our end: two errors of one kind are told once.
func kind(err error) string {
	var code sarama.KError
	var all *unreachable
	var op *net.OpError
	var consumer *sarama.ConsumerError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &consumer): // names a partition
		return kind(consumer.Err)
	case errors.As(err, &code):
		return code.Error()
	case errors.As(err, &all):
		return all.kind
	case errors.As(err, &op):
		return fmt.Sprint(op.Op, " ", op.Addr, ": ", op.Err)
	}
	return err.Error()
}

// name of an error for a metric's label: a few dozen at most.
func name(err error) string {
	var code sarama.KError
	switch {
	case errors.As(err, &code):
		if n, ok := codeNames[code]; ok {
			return n
		}
		return "other"
	default:
		return "connection"
	}
}

var codeNames = map[sarama.KError]string{
	sarama.ErrUnknown:                            "unknown_server_error",
	sarama.ErrInvalidMessage:                     "corrupt_message",
	sarama.ErrUnknownTopicOrPartition:            "unknown_topic_or_partition",
	sarama.ErrLeaderNotAvailable:                 "leader_not_available",
	sarama.ErrNotLeaderForPartition:              "not_leader_or_follower",
	sarama.ErrRequestTimedOut:                    "request_timed_out",
	sarama.ErrBrokerNotAvailable:                 "broker_not_available",
	sarama.ErrReplicaNotAvailable:                "replica_not_available",
	sarama.ErrMessageSizeTooLarge:                "message_too_large",
	sarama.ErrNetworkException:                   "network_exception",
	sarama.ErrInvalidTopic:                       "invalid_topic",
	sarama.ErrMessageSetSizeTooLarge:             "record_list_too_large",
	sarama.ErrNotEnoughReplicas:                  "not_enough_replicas",
	sarama.ErrNotEnoughReplicasAfterAppend:       "not_enough_replicas_after_append",
	sarama.ErrTopicAuthorizationFailed:           "topic_authorization_failed",
	sarama.ErrClusterAuthorizationFailed:         "cluster_authorization_failed",
	sarama.ErrTransactionalIDAuthorizationFailed: "transactional_id_authorization_failed",
	sarama.ErrInvalidTimestamp:                   "invalid_timestamp",
	sarama.ErrUnsupportedVersion:                 "unsupported_version",
	sarama.ErrPolicyViolation:                    "policy_violation",
	sarama.ErrOutOfOrderSequenceNumber:           "out_of_order_sequence",
	sarama.ErrInvalidProducerEpoch:               "invalid_producer_epoch",
	sarama.ErrInvalidProducerIDMapping:           "invalid_producer_id_mapping",
	sarama.ErrUnknownProducerID:                  "unknown_producer_id",
	sarama.ErrKafkaStorageError:                  "storage_error",
	sarama.ErrSASLAuthenticationFailed:           "sasl_authentication_failed",
	sarama.ErrUnsupportedCompressionType:         "unsupported_compression",
	sarama.ErrInvalidRecord:                      "invalid_record",
	sarama.ErrThrottlingQuotaExceeded:            "throttling_quota_exceeded",
	sarama.ErrProducerFenced:                     "producer_fenced",
}
