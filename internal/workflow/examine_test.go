package workflow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
)

// TestNoAnswer has what a test on one machine cannot bring about: errors as
// package net and crypto/tls wrap them.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	untrusted := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{dial(&net.DNSError{Name: "users.corp.exmaple", IsNotFound: true}), "DNS knows no users.corp.exmaple"},
		{dial(&net.DNSError{Name: "users.corp.example", IsTemporary: true}), "DNS does not answer for users.corp.example: there may be no network"},
		{dial(os.NewSyscallError("connect", errors.New("network is unreachable"))), "no connection to h: connect: network is unreachable"},
		{untrusted(x509.UnknownAuthorityError{}), "TLS: the certificate of h is signed by a CA that is not trusted here"},
		{untrusted(x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example", "b.example"}}, Host: "h"}),
			"TLS: the certificate of h is for another name: a.example, b.example"},
		{untrusted(x509.CertificateInvalidError{Reason: x509.Expired}), "TLS: the certificate of h has expired, or the clock of this machine is wrong"},
		{untrusted(errors.New("odd")), "TLS: tls: failed to verify certificate: odd"},
		{errors.New("http: server gave HTTP response to HTTPS client"), "h does not speak TLS"},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), "no answer from h in time"},
		{dial(os.ErrDeadlineExceeded), "no answer from h in time"},
		{context.Canceled, "interrupted"},
		{errors.New("EOF"), "no answer from h: EOF"},
	} {
		if got, _ := noAnswer("h", tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}
