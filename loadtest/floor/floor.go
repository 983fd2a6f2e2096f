// Package floor has loops that move lines and do no work on them: what a stage costs above
// its floor is what its work costs.
package floor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/loadtest/topic"
	"github.com/sluicelog/sluice/schemas"
)

// Floor is a loop that moves lines and does no work on them: no positions, no ids, no
// metadata, no retries of its own. What a stage costs above it is what the stage's
// work costs. It runs in a process of its own, so that it is measured like a stage.
type Floor struct {
	Kind        string // produce: lines of files to Kafka; copy: Kafka to Kafka; consume: Kafka to _bulk
	Client      string // franz-go or sarama
	Files       string // produce: glob
	From        string // copy, consume: broker
	To          string // produce, copy: broker; consume: URL
	In, Out     string // topics; Out is the index for consume
	Partitions  int    // of Out
	Compression string
	Lines       int64 // end after so many
	BulkCount   int   // consume: documents a bulk
	BulkBytes   int64 // consume: a bulk is full at this size as well; 0: by count alone
}

// Run returns once all lines are acknowledged.
func (f Floor) Run(ctx context.Context) error {
	switch f.Kind {
	case "produce", "copy":
		send, flush, err := f.producer()
		if err != nil {
			return err
		}
		if f.Kind == "produce" {
			err = f.read(send)
		} else {
			err = f.consume(ctx, send)
		}
		if err != nil {
			return err
		}
		return flush()
	case "consume":
		b := &bulker{f: f, full: make(chan *bytes.Buffer), body: &bytes.Buffer{}}
		for range 3 {
			b.wg.Go(b.post)
		}
		err := f.consume(ctx, b.add)
		if ended := b.end(); err == nil {
			err = ended
		}
		return err
	}
	return fmt.Errorf("floor %q is none of produce, copy, consume", f.Kind)
}

// sender takes one record; it may keep key and value.
type sender func(partition int32, key, value []byte, headers []kgo.RecordHeader, at time.Time) error

// read sends the files' lines as they are; a file is a partition's.
func (f Floor) read(send sender) error {
	files, err := filepath.Glob(f.Files)
	if err != nil || len(files) == 0 {
		return fmt.Errorf("files %s: %d found (%v)", f.Files, len(files), err)
	}
	var chunk []byte
	r := bufio.NewReaderSize(nil, 1<<20)
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		h := fnv.New32a()
		h.Write([]byte(filepath.Dir(name) + "/" + filepath.Base(name)[:min(12, len(filepath.Base(name)))]))
		partition, key := int32(h.Sum32()%uint32(f.Partitions)), []byte(filepath.Base(name))
		r.Reset(file)
		for {
			line, err := r.ReadSlice('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			if cap(chunk)-len(chunk) < len(line) {
				chunk = make([]byte, 0, max(1<<20, len(line)))
			}
			at := len(chunk)
			chunk = append(chunk, line[:len(line)-1]...)
			if err := send(partition, key, chunk[at:len(chunk):len(chunk)], nil, time.Now()); err != nil {
				return err
			}
		}
		file.Close()
	}
	return nil
}

func (f Floor) consume(ctx context.Context, send sender) error {
	if f.Client == "sarama" {
		return f.consumeSarama(ctx, send)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.From), kgo.ConsumeTopics(f.In), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(16<<20), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for n := int64(0); n < f.Lines; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			if err := send(r.Partition%int32(f.Partitions), r.Key, r.Value, r.Headers, r.Timestamp); err != nil {
				return err
			}
		}
		n += int64(fetches.NumRecords())
	}
	return nil
}

func (f Floor) saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.ChannelBufferSize = 4096
	c.Consumer.Fetch.Default = 1 << 20
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.MaxProcessingTime = 10 * time.Second
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Flush.Bytes = 512 << 10
	c.Producer.Flush.Frequency = 20 * time.Millisecond
	c.Producer.Return.Successes = true
	c.Producer.MaxMessageBytes = 4 << 20
	c.Producer.Compression = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "snappy": sarama.CompressionSnappy, "zstd": sarama.CompressionZSTD, "gzip": sarama.CompressionGZIP}[f.Compression]
	if f.Compression == "" || f.Compression == "lz4" {
		c.Producer.Compression = sarama.CompressionLZ4
	}
	return c
}

func (f Floor) consumeSarama(ctx context.Context, send sender) error {
	c, err := sarama.NewConsumer([]string{f.From}, f.saramaConfig())
	if err != nil {
		return err
	}
	defer c.Close()
	partitions, err := c.Partitions(f.In)
	if err != nil {
		return err
	}
	var mu sync.Mutex // send is for one goroutine
	n, done, errs := int64(0), make(chan struct{}), make(chan error, len(partitions))
	for _, p := range partitions {
		pc, err := c.ConsumePartition(f.In, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		go func() {
			for m := range pc.Messages() {
				var headers []kgo.RecordHeader
				for _, h := range m.Headers {
					headers = append(headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
				}
				mu.Lock()
				err := send(m.Partition%int32(f.Partitions), m.Key, m.Value, headers, m.Timestamp)
				if n++; n == f.Lines {
					close(done)
				}
				mu.Unlock()
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	select {
	case <-done:
		return nil
	case err := <-errs:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// producer waits for acknowledgement of all in-sync replicas, with idempotence, as
// sluice does.
func (f Floor) producer() (send sender, flush func() error, err error) {
	if f.Client == "sarama" {
		return f.producerSarama()
	}
	codec, err := topic.Codec(f.Compression)
	if err != nil {
		return nil, nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.To), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(1<<20),
		kgo.MaxBufferedRecords(100_000), kgo.MaxBufferedBytes(32<<20), kgo.ProducerLinger(10*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	var failed error
	var once sync.Once
	send = func(partition int32, key, value []byte, headers []kgo.RecordHeader, at time.Time) error {
		cl.Produce(context.Background(), &kgo.Record{Topic: f.Out, Partition: partition, Key: key, Value: value, Headers: headers, Timestamp: at}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
		return nil
	}
	return send, func() error {
		err := cl.Flush(context.Background())
		cl.Close()
		if failed != nil {
			return failed
		}
		return err
	}, nil
}

func (f Floor) producerSarama() (send sender, flush func() error, err error) {
	p, err := sarama.NewAsyncProducer([]string{f.To}, f.saramaConfig())
	if err != nil {
		return nil, nil, err
	}
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for range p.Successes() {
		}
	})
	wg.Go(func() {
		for e := range p.Errors() {
			failed = e
		}
	})
	send = func(partition int32, key, value []byte, headers []kgo.RecordHeader, at time.Time) error {
		m := &sarama.ProducerMessage{Topic: f.Out, Partition: partition, Key: sarama.ByteEncoder(key), Value: sarama.ByteEncoder(value), Timestamp: at}
		for _, h := range headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		p.Input() <- m
		return nil
	}
	return send, func() error {
		p.AsyncClose()
		wg.Wait()
		return failed
	}, nil
}

// bulker posts documents without looking into them. add is for one goroutine.
type bulker struct {
	f     Floor
	body  *bytes.Buffer
	count int
	full  chan *bytes.Buffer
	wg    sync.WaitGroup

	mu  sync.Mutex
	err error
}

const headLen = len(`{"@metadata":{"_id":"`) + schemas.IDLen + len(`"},`)

func (b *bulker) add(_ int32, _, value []byte, _ []kgo.RecordHeader, _ time.Time) error {
	h, ok := schemas.ParseHead(value)
	if !ok {
		return fmt.Errorf("no event of sluice: %.100s", value)
	}
	b.body.WriteString(`{"create":{"_id":"`)
	b.body.Write(h.ID)
	b.body.WriteString("\"}}\n{")
	b.body.Write(value[headLen:])
	b.body.WriteByte('\n')
	if b.count++; b.count >= b.f.BulkCount || b.f.BulkBytes > 0 && int64(b.body.Len()) >= b.f.BulkBytes {
		b.flush()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *bulker) flush() {
	if b.count > 0 {
		b.full <- b.body
		b.body, b.count = &bytes.Buffer{}, 0
	}
}

func (b *bulker) end() error {
	b.flush()
	close(b.full)
	b.wg.Wait()
	return b.err
}

func (b *bulker) post() {
	for body := range b.full {
		err := postOK(b.f.To+"/"+b.f.Out+"/_bulk?filter_path=errors", body.Bytes())
		if err != nil {
			b.mu.Lock()
			b.err = err
			b.mu.Unlock()
		}
	}
}

// postOK wants status 200 and no errors.
func postOK(url string, body []byte) error {
	resp, err := http.Post(url, "application/x-ndjson", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"errors":true`)) {
		return fmt.Errorf("POST %s: %s: %.300s", url, resp.Status, text)
	}
	return nil
}

// Args is the floor as arguments of the command that runs it.
func (f Floor) Args() []string {
	return []string{"--kind", f.Kind, "--client", f.Client, "--files", f.Files, "--from", f.From, "--to", f.To, "--in", f.In, "--out", f.Out,
		"--partitions", fmt.Sprint(f.Partitions), "--compression", f.Compression, "--lines", fmt.Sprint(f.Lines), "--bulk-count", fmt.Sprint(f.BulkCount), "--bulk-bytes", fmt.Sprint(f.BulkBytes)}
}
