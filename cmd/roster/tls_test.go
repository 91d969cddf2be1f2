package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServe_TLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	cert, key := ca.issue(t, 100)
	place(t, certFile, cert)
	place(t, keyFile, key)
	s := serve(t, nil, "--data", t.TempDir(), "--tls-cert", certFile, "--tls-key", keyFile)
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Errorf("it listens on %s", s.url)
	}
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}, ForceAttemptHTTP2: true}
	s.useDefault(t)
	a := s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer"))
	if got := a.header.Get("Location"); !strings.HasPrefix(got, s.url+"/scim/") {
		t.Errorf("Location: %s", got)
	}

	t.Run("clients", func(t *testing.T) {
		resp, err := http.Get("http" + strings.TrimPrefix(s.url, "https") + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP is answered with %d", resp.StatusCode)
		}
		if _, err := tls.Dial("tcp", s.url[len("https://"):], &tls.Config{RootCAs: ca.pool(), MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("TLS 1.1 is spoken")
		}
		env := []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + processKey}
		code, stdout, stderr := rosterCommand(t, env, "user", "list")
		if code != exitUnavailable || stdout != "" || !strings.HasPrefix(stderr, "roster: no answer: ") ||
			!strings.Contains(stderr, "x509: certificate signed by unknown authority\n") || !strings.HasSuffix(stderr, "\n  try: SSL_CERT_FILE, with the certificate of the CA that has signed the service's\n") ||
			strings.Contains(stderr, "attempts:") {
			t.Errorf("a CA that is not trusted: %d, %q, %q", code, stdout, stderr)
		}
		bundle := filepath.Join(t.TempDir(), "ca.pem")
		place(t, bundle, ca.pem)
		if stdout, _ := succeed(t, append(env, "SSL_CERT_FILE="+bundle), "user", "list"); !strings.Contains(stdout, " ada ") {
			t.Errorf("a CA that is trusted: %q", stdout)
		}
	})

	// A renewal is two files, and a handshake may find the first of them alone.
	const kept, renewed = "the renewed certificate cannot be read; the old one is still served", "serving the renewed certificate"
	cert, key = ca.issue(t, 200)
	place(t, certFile, cert)
	s.handshakesUntil(t, ca, 100, func(log string) bool { return strings.Contains(log, kept) })
	place(t, keyFile, key)
	s.handshakesUntil(t, ca, 0, func(log string) bool { return strings.Contains(log, renewed) })
	if got := s.handshake(t, ca); got != 200 {
		t.Errorf("after the renewal it serves certificate %d", got)
	}
	before := strings.Count(s.log.String(), kept)
	place(t, certFile, []byte("-----BEGIN CERTIFICATE-----\nbroken"))
	s.handshakesUntil(t, ca, 200, func(log string) bool { return strings.Count(log, kept) > before })
	cert, key = ca.issue(t, 300)
	place(t, keyFile, key)
	place(t, certFile, cert)
	s.handshakesUntil(t, ca, 0, func(log string) bool { return strings.Count(log, renewed) == 2 })
	if got := s.handshake(t, ca); got != 300 {
		t.Errorf("after the second renewal it serves certificate %d", got)
	}
	if strings.Contains(s.log.String(), "PRIVATE KEY") {
		t.Errorf("the log has a key: %s", s.log)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
}

func TestServe_TLSThatCannotBe(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile, otherKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	cert, key := ca.issue(t, 1)
	_, other := ca.issue(t, 2)
	place(t, certFile, cert)
	place(t, keyFile, key)
	place(t, otherKey, other)
	for _, tt := range []struct {
		cert, key string
		code      int
		want      string
	}{
		{certFile, "", exitUsage, "--tls-cert and --tls-key go together"},
		{"", keyFile, exitUsage, "--tls-cert and --tls-key go together"},
		{certFile, filepath.Join(dir, "none.pem"), exitError, "none.pem: no such file"},
		{filepath.Join(dir, "none.pem"), keyFile, exitError, "none.pem: no such file"},
		{certFile, otherKey, exitError, "private key does not match public key"},
		{keyFile, certFile, exitError, "failed to find certificate PEM data"},
	} {
		refuse(t, nil, tt.code, tt.want, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--tls-cert", tt.cert, "--tls-key", tt.key)
	}
}

// handshake returns the serial number of the certificate that is served.
func (s *served) handshake(t *testing.T, ca *authority) int64 {
	t.Helper()
	ctx := t.Context()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: processPatience}, Config: &tls.Config{RootCAs: ca.pool()}}
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(s.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// handshakesUntil shakes hands until the log has what is waited for. Until then
// the certificate must be that one; 0: it may change.
func (s *served) handshakesUntil(t *testing.T, ca *authority, serial int64, done func(log string) bool) {
	t.Helper()
	deadline := time.Now().Add(processPatience)
	for !done(s.log.String()) {
		if got := s.handshake(t, ca); serial != 0 && got != serial {
			t.Fatalf("it serves certificate %d, want %d still", got, serial)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say it: %s", s.log)
		}
	}
}

// place writes a file as one step, as those do that renew certificates.
func place(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// An authority issues certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	ca := &authority{key: newECKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Roster test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.cert, ca.pem = sign(t, template, template, ca.key, ca.key)
	return ca
}

func (ca *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// issue returns a certificate of that serial number and its key, in PEM.
func (ca *authority) issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k := newECKey(t)
	_, cert = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "roster"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.cert, k, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
