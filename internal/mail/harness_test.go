package mail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/mail/sink"
)

// The test binary is a mail server of its own process too.
func TestMain(m *testing.M) {
	if os.Getenv("ROSTER_TEST_SINK") != "" {
		if err := sink.Run(sink.Options{}, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func startProcess(t *testing.T) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ROSTER_TEST_SINK=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hangs := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // killed, in some tests
		hangs.Stop()
	})
	lines = bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return cmd, lines
}

func startSink(t *testing.T, o sink.Options) *sink.Sink {
	t.Helper()
	s, err := sink.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// received returns the one mail that a sink has taken.
func received(t *testing.T, s *sink.Sink) (*sink.Message, *sink.Mail) {
	t.Helper()
	select {
	case m := <-s.Received():
		parsed, err := m.Parse()
		if err != nil {
			t.Fatalf("%v in:\n%s", err, m.Data)
		}
		none(t, s)
		return m, parsed
	default: // it is there before Send returns
		t.Fatal("no mail was received")
	}
	return nil, nil
}

func none(t *testing.T, s *sink.Sink) {
	t.Helper()
	select {
	case m := <-s.Received():
		t.Errorf("a mail was received that should not be there:\n%s", m.Data)
	default:
	}
}

const from = "Roster <roster@corp.example>"

func open(t *testing.T, dsn string, o mail.Options) mail.Sender {
	t.Helper()
	if o.From == "" {
		o.From = from
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	s, err := mail.Open(dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func message() *mail.Message {
	return &mail.Message{ID: "run-1.mail", To: []string{"ada@corp.example"}, Subject: "Ada was updated", Text: "Hello\n"}
}

// failure returns the *mail.Error of err.
func failure(t *testing.T, err error) *mail.Error {
	t.Helper()
	e, ok := errors.AsType[*mail.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *mail.Error", err)
	}
	if strings.ContainsAny(e.Error(), "\r\n\x00\x1b") {
		t.Errorf("not on one line, or not printable: %q", e.Error())
	}
	return e
}

// certificate returns the TLS of a server of these names, and of a client that
// trusts it.
func certificate(t *testing.T, names ...string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

// A script is a mail server that answers by the letter. Its lines are a command
// and the reply to it; the first is the greeting and has no command, and the
// command "." is the end of a mail. In the place of a reply, stall answers
// nothing for ever, close hangs up, and stallUnread and closeUnread do it without
// having read the command.
type script struct {
	addr    string
	stalled chan struct{} // closed when it stalls
}

func startScript(t *testing.T, lines ...string) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{addr: ln.Addr().String(), stalled: make(chan struct{})}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		s.play(conn, lines, over)
	}()
	t.Cleanup(func() {
		close(over)
		_ = ln.Close()
		<-done
	})
	return s
}

// await waits until it stalls.
func (s *script) await(t *testing.T) {
	t.Helper()
	select {
	case <-s.stalled:
	case <-time.After(time.Minute):
		t.Fatal("the exchange did not get so far")
	}
}

func (s *script) play(conn net.Conn, lines []string, over chan struct{}) {
	in := bufio.NewReader(conn)
	for i, line := range lines {
		reply := line
		if i > 0 {
			var command string
			command, reply, _ = strings.Cut(line, " ")
			for !strings.HasSuffix(reply, "Unread") {
				got, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if got = strings.TrimSpace(got); strings.HasPrefix(got, command) && (command != "." || got == ".") {
					break
				}
			}
		}
		switch reply {
		case "stall", "stallUnread":
			close(s.stalled)
			<-over
			return
		case "close", "closeUnread":
			return
		}
		if _, err := io.WriteString(conn, strings.ReplaceAll(reply, "|", "\r\n")+"\r\n"); err != nil {
			return
		}
	}
	for line := ""; !strings.HasPrefix(line, "QUIT"); { // or the client hangs up
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return
		}
	}
}

// whole is an exchange in which all goes well, to be cut off.
var whole = []string{"220 ready", "EHLO 250-hi|250 8BITMIME", "MAIL 250 ok", "RCPT 250 ok", "DATA 354 go on", ". 250 queued as 77", "QUIT 221 bye"}

// until is the whole exchange up to the line number n, which it answers in
// another way.
func until(n int, reply string) []string {
	lines := append([]string(nil), whole[:n+1]...)
	command, _, ok := strings.Cut(lines[n], " ")
	if n == 0 || !ok {
		lines[n] = reply
	} else {
		lines[n] = command + " " + reply
	}
	return lines
}

// send sends in the background, and gives what Send returned.
func send(ctx context.Context, s mail.Sender, m *mail.Message) <-chan error {
	out := make(chan error, 1)
	go func() { out <- s.Send(ctx, m) }()
	return out
}
