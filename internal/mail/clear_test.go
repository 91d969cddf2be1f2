package mail

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/wneessen/go-mail/smtp"

	"github.com/roster-scim/roster/internal/mail/sink"
)

// A farConn says that the other end is not on this machine.
type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

// A password goes to another machine in the clear only where that was said.
func TestLogin_InTheClear(t *testing.T) {
	t.Parallel()
	s, err := sink.Start(sink.Options{User: "roster", Password: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for params, want := range map[string]string{"?tls=opportunistic": "is not sent in the clear", "?tls=opportunistic&insecure-auth=true": "", "?tls=none&insecure-auth=true": ""} {
		opened, err := Open("smtp://roster:canary@mail.corp.example"+params, Options{From: "roster@corp.example"})
		if err != nil {
			t.Fatal(err)
		}
		nc, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{smtpTransport: opened.(*sender).to.(*smtpTransport), conn: &boundConn{Conn: farConn{nc}, left: maxSaid}}
		var c *smtp.Client
		if c, err = x.greet(t.Context()); err == nil {
			err = errors.Join(x.encrypt(c), x.login(c))
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", params, err, want)
		}
		_ = nc.Close()
	}
}
