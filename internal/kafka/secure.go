package kafka

import (
	"fmt"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/tlsconf"
)

// secure sets what the cluster's tls and sasl keys ask for. Errors name the key and
// never hold a secret.
func (c *Cluster) secure(conf *sarama.Config, d *dialer) error {
	if t := c.Config.TLS; t.Enabled {
		client, err := tlsconf.New(t)
		if err != nil {
			return fmt.Errorf("kafka.%s.tls.%w", c.Name, err)
		}
		d.tls = client
	}
	if err := authenticate(conf, c.Config.SASL); err != nil {
		return fmt.Errorf("kafka.%s.sasl.%w", c.Name, err)
	}
	return nil
}
