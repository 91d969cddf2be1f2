// Package sink is a small SMTP server that keeps the mails it is given and
// passes none on. The demo shows a workflow's mail with it, and tests receive
// with it what was sent; so it is part of the program and knows no test.
package sink

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	// maxMessage bounds one mail: the largest that package mail sends, encoded.
	maxMessage = 16 << 20
	// maxKept is how many mails wait for a reader; then no more are taken.
	maxKept = 2000
)

// A Stage is a point of an exchange at which a sink may refuse.
type Stage string

// The stages, with the value that Options.Refuse gets of each.
const (
	Login     Stage = "login"     // the user name
	Sender    Stage = "sender"    // the address of the sender
	Recipient Stage = "recipient" // the address of one recipient
	Content   Stage = "content"   // the whole mail, which has been read
)

// A Reply is an error by which Options.Refuse says how the sink answers.
type Reply struct {
	Code int // 400 to 599
	Text string
}

func (r *Reply) Error() string { return r.Text }

// Options say what a sink is like.
type Options struct {
	Addr string // to listen on. Empty: a free port of this machine
	// TLS is what a sink that speaks TLS has its certificate in: by STARTTLS, or from
	// the first byte with Implicit. Nil: no TLS.
	TLS      *tls.Config
	Implicit bool
	// User and Password are what a sender must log in with. Empty: no login.
	User, Password string
	Mechanisms     []string // of the login. Nil: PLAIN and LOGIN
	// Refuse says at each stage whether to go on: nil, or a *Reply. It may be called
	// by several connections at once. Nil: everything is taken.
	Refuse func(stage Stage, value string) error
}

// A Message is a mail that was taken.
type Message struct {
	From string   // of the envelope
	To   []string // of the envelope, blind copies too
	User string   // that logged in; empty: nobody
	TLS  bool     // whether it came encrypted
	Data []byte   // the mail as it came
}

// A Sink is an SMTP server that listens.
type Sink struct {
	o        Options
	addr     string
	listener net.Listener
	server   *smtp.Server
	received chan *Message
	done     sync.WaitGroup
}

// Start starts a sink, which Close ends.
func Start(o Options) (*Sink, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Mechanisms == nil {
		o.Mechanisms = []string{sasl.Plain, sasl.Login}
	}
	if o.Refuse == nil {
		o.Refuse = func(Stage, string) error { return nil }
	}
	ln, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	s := &Sink{o: o, addr: ln.Addr().String(), listener: ln, received: make(chan *Message, maxKept)}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		in := &session{s: s, conn: c}
		if o.User == "" {
			return in, nil
		}
		return &loginSession{in}, nil
	}))
	s.server.Domain = "sink.localhost"
	s.server.MaxMessageBytes = maxMessage
	s.server.MaxRecipients = 100
	s.server.AllowInsecureAuth = true // whether to log in without TLS is for the sender to refuse
	s.server.EnableSMTPUTF8 = true
	s.server.ErrorLog = log.New(io.Discard, "", 0) // of peers that go away
	if s.server.TLSConfig = o.TLS; o.Implicit {
		ln, s.server.TLSConfig = tls.NewListener(ln, o.TLS), nil
	}
	s.done.Go(func() { _ = s.server.Serve(ln) }) // it ends with Close
	return s, nil
}

// Addr is the host and port that the sink listens on.
func (s *Sink) Addr() string { return s.addr }

// Received gives each mail once, in the order in which they were taken.
func (s *Sink) Received() <-chan *Message { return s.received }

// Close ends the sink and its connections.
func (s *Sink) Close() error {
	err := s.server.Close()
	// The server may not have begun to serve, and then knows nothing of its listener.
	_ = s.listener.Close()
	s.done.Wait()
	return err
}

// refuse returns the reply of a stage in the library's form.
func (s *Sink) refuse(stage Stage, value string) error {
	err := s.o.Refuse(stage, value)
	if r, ok := errors.AsType[*Reply](err); ok {
		return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.NoEnhancedCode, Message: r.Text}
	}
	return err
}

// A session is one connection.
type session struct {
	s    *Sink
	conn *smtp.Conn
	user string
	from string
	to   []string
}

func (in *session) Reset()        { in.from, in.to = "", nil }
func (in *session) Logout() error { return nil }

func (in *session) Mail(from string, _ *smtp.MailOptions) error {
	if in.s.o.User != "" && in.user == "" {
		return smtp.ErrAuthRequired
	}
	in.from = from
	return in.s.refuse(Sender, from)
}

func (in *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := in.s.refuse(Recipient, to); err != nil {
		return err
	}
	in.to = append(in.to, to)
	return nil
}

func (in *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := in.s.refuse(Content, string(data)); err != nil {
		return err
	}
	_, encrypted := in.conn.TLSConnectionState()
	select {
	case in.s.received <- &Message{From: in.from, To: in.to, User: in.user, TLS: encrypted, Data: data}:
		return nil
	default:
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "too many mails that nobody has read"}
	}
}

// A loginSession is one connection to a sink with a login.
type loginSession struct{ *session }

func (in *loginSession) AuthMechanisms() []string { return in.s.o.Mechanisms }

func (in *loginSession) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return in.login(user, password) }), nil
	case sasl.Login:
		return &loginServer{in: in}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (in *loginSession) login(user, password string) error {
	if err := in.s.refuse(Login, user); err != nil {
		return err
	}
	if user != in.s.o.User || password != in.s.o.Password {
		return smtp.ErrAuthFailed
	}
	in.user = user
	return nil
}

// A loginServer is the server's end of LOGIN, which asks for a user name and then
// for a password.
type loginServer struct {
	in   *loginSession
	user string
	step int
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.in.login(l.user, string(response))
}
