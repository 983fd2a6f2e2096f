package kafka

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/sluicelog/sluice/config"
)

// authenticate sets the SASL part; its errors begin with the key that is wrong.
func authenticate(conf *sarama.Config, s config.SASL) error {
	n := &conf.Net.SASL
	switch strings.ToLower(s.Mechanism) {
	case "", "none":
		return nil
	case "plain":
		n.Mechanism = sarama.SASLTypePlaintext
	case "scram-sha-256":
		n.Mechanism = sarama.SASLTypeSCRAMSHA256
		n.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
	case "scram-sha-512":
		n.Mechanism = sarama.SASLTypeSCRAMSHA512
		n.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA512} }
	case "oauthbearer":
		if s.TokenFile == "" {
			return errors.New("token_file: oauthbearer needs one")
		}
		n.Enable, n.Mechanism, n.TokenProvider = true, sarama.SASLTypeOAuth, tokenFile(s.TokenFile)
		return nil
	default:
		return fmt.Errorf("mechanism: %s is none of none, plain, scram-sha-256, scram-sha-512, oauthbearer", strconv.Quote(s.Mechanism))
	}
	if s.Username == "" {
		return fmt.Errorf("username: %s needs one", s.Mechanism)
	}
	if s.Password == "" {
		return fmt.Errorf("password: %s needs one", s.Mechanism)
	}
	n.Enable, n.User, n.Password = true, s.Username, s.Password.Reveal()
	return nil
}

// tokenFile is a file that holds an OAuth token; something else keeps it fresh. It is
// read at each connect, so sarama needs no more than to connect again.
type tokenFile string

// Token reads the file.
func (f tokenFile) Token() (*sarama.AccessToken, error) {
	b, err := os.ReadFile(string(f))
	if err != nil {
		return nil, fmt.Errorf("read sasl token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return nil, fmt.Errorf("read sasl token: %s is empty", string(f))
	}
	return &sarama.AccessToken{Token: token}, nil
}

// scramClient is one SCRAM conversation.
type scramClient struct {
	hash scram.HashGeneratorFcn
	conv *scram.ClientConversation
}

// Begin starts it.
func (c *scramClient) Begin(user, password, authz string) error {
	client, err := c.hash.NewClient(user, password, authz)
	if err != nil {
		return err
	}
	c.conv = client.NewConversation()
	return nil
}

// Step answers a challenge.
func (c *scramClient) Step(challenge string) (string, error) { return c.conv.Step(challenge) }

// Done says whether it is over.
func (c *scramClient) Done() bool { return c.conv.Done() }
