package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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

func TestMaskKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"rk_abcdefghijklmnopqrstuvwxyz0123456789": "rk_abcd…",
		"ATATT3xFfGF0abcdefgh":                    "ATAT…",
		"rk_short":                                "…",
		"short":                                   "…",
		"":                                        "…",
	} {
		if got := maskKey(key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

// TestConnectionFiles_RoundTrip holds for any texts: what is kept is what is read.
func TestConnectionFiles_RoundTrip(t *testing.T) {
	t.Parallel()
	files := connectionFiles{filepath.Join(t.TempDir(), "roster", "connections")}
	text := rapid.StringMatching(`[ -~]{1,20}`)
	rapid.Check(t, func(rt *rapid.T) {
		want := &savedConnection{Name: "a", URL: text.Draw(rt, "url"), Directory: text.Draw(rt, "directory"), RuleSet: "strict", Key: text.Draw(rt, "key")}
		if err := files.save(want); err != nil {
			rt.Fatal(err)
		}
		got, err := files.load("a")
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			rt.Fatal(diff)
		}
	})
	entries, err := os.ReadDir(files.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want the one file", entries, err)
	}
	for _, name := range []string{"", ".", "..", "../a", "a/b", ".a", strings.Repeat("a", 65)} {
		if _, err := files.load(name); exitCode(err) != exitUsage {
			t.Errorf("%q: got %v, want a usage error", name, err)
		}
	}
}
