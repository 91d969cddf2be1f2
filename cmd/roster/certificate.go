package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// newTLS returns the configuration that serves a certificate and its key, or
// nil for none. The files are read again when they change; a pair that cannot
// be read is logged, and the old one stays.
func newTLS(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, usagef("--tls-cert and --tls-key go together")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}, nil
}

type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	written time.Time // when the certificate's file was written
	checked time.Time
}

func (c *certificate) load() error {
	info, err := os.Stat(c.certFile)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair, c.written = &pair, info.ModTime()
	return nil
}

// get looks at the file once a second at the most.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= time.Second {
		c.checked = now
		if info, err := os.Stat(c.certFile); err != nil || !info.ModTime().Equal(c.written) {
			if err := c.load(); err != nil {
				c.log.Error("the renewed certificate cannot be read; the old one is still served", "err", err)
			} else {
				c.log.Info("serving the renewed certificate")
			}
		}
	}
	return c.pair, nil
}
