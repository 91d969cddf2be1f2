// Package mail sends mails: plain transactional ones, to few recipients, with
// words for every failure.
//
// A Sender is opened by a DSN and has the address that all its mails come from.
// Send checks a Message (nothing in it can become a header of its own), composes
// it, and hands it to an SMTP server, a folder or the log. Whether an error is
// worth another attempt is told by Error.Temporary; who attempts again, and that
// one Message keeps its ID then, is the caller's.
package mail

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"
)

// The limits of a mail.
const (
	// MaxRecipients is how many addresses a mail has at the most in To, Cc and Bcc
	// together.
	MaxRecipients = 50
	// MaxMessage bounds the subject, the bodies and the attachments together, in
	// bytes, before they are encoded.
	MaxMessage = 10 << 20
	// MaxAttachments is how many attachments a mail has at the most.
	MaxAttachments = 20
)

// A Message is one mail. All texts are UTF-8. A header (everything but the bodies
// and the contents) is one line: control characters in it are refused.
type Message struct {
	// ID is the Message-ID up to its @, as "run.step"; the domain of the sender's
	// address follows. It is the same each time that this mail is sent, so that a
	// reader's mailbox knows a mail that comes twice. At most 200 characters: A-Z a-z
	// 0-9 . _ - + =.
	ID string
	// From is the sender, as "Roster <roster@corp.example>". Empty: Options.From. Its
	// address is that of Options.From in any case; only the name may differ.
	From        string
	To, Cc, Bcc []string // addresses, with a name or without; at least one in all
	ReplyTo     string   // empty: none
	Subject     string   // at most 500 bytes; runs of spaces become one space
	Text, HTML  string   // the bodies; one of them may be empty
	Attachments []Attachment
}

// An Attachment is a file in a mail.
type Attachment struct {
	Name    string // of the file: no path, at most 200 bytes
	Type    string // its media type, as "application/json"; empty: application/octet-stream
	Content []byte
}

// A Sender sends mails.
type Sender interface {
	// Send sends m, or returns an *Error. It has been sent when Send returns nil;
	// where it returns a temporary error at the very end of an exchange, the server
	// may have taken it all the same.
	Send(ctx context.Context, m *Message) error
	// Close lets go of what the sender holds. No Send may be under way.
	Close() error
}

// Options are the settings of a Sender.
type Options struct {
	// From is the address that mails come from, with a name or without. It is needed
	// for every DSN but the empty one.
	From string
	// AllowDomains are the domains that mails may go to, without regard to case and
	// without those below them. Nil: any.
	AllowDomains []string
	// MaxRecipients lowers the limit of that name. 0: MaxRecipients.
	MaxRecipients int
	// ConnectTimeout bounds the making of a connection. 0: 10 seconds.
	ConnectTimeout time.Duration
	// Timeout bounds the sending of one mail, from the connection to the server's
	// last word. 0: 2 minutes.
	Timeout time.Duration
	// TLS is what connections are encrypted with; the name of the server is put in.
	// Nil: the roots of the system, TLS 1.2 or newer.
	TLS *tls.Config
	// Trace is told what Send has done, step by step. Nil: nobody.
	Trace func(Step)
	// Log takes the mails of the DSN log:, and one line for each mail that an SMTP
	// server has taken. Nil: nowhere.
	Log *slog.Logger
}

// A Step is one thing that Send has done: resolved, connected, encrypted,
// unencrypted, authenticated, accepted, written or logged; and what it found.
type Step struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// transport takes a composed mail to where it goes.
type transport interface {
	deliver(ctx context.Context, e *envelope) error
	String() string // where, without a password
}

// sender is a Sender with a transport.
type sender struct {
	o    Options
	from address
	to   transport
}

// Open returns the sender that dsn names:
//
//	smtp://USER:PASSWORD@HOST:587   STARTTLS, without which nothing is sent
//	smtps://USER:PASSWORD@HOST:465  TLS from the first byte
//	file:FOLDER                     each mail as a file ID.eml
//	log:                            headers and sizes, to Options.Log
//	(empty)                         no mail: Send returns an error that says so
//
// USER and PASSWORD may be left out, and a port. Parameters of smtp:// are
// tls=opportunistic (without TLS where the server has none), tls=none, and
// insecure-auth=true, which sends the password even then. An error never has the
// password in it.
func Open(dsn string, o Options) (Sender, error) {
	if dsn == "" {
		return off{}, nil
	}
	s := &sender{o: o}
	if s.o.Log == nil {
		s.o.Log = slog.New(slog.DiscardHandler)
	}
	if s.o.Trace == nil {
		s.o.Trace = func(Step) {}
	}
	if s.o.MaxRecipients <= 0 || s.o.MaxRecipients > MaxRecipients {
		s.o.MaxRecipients = MaxRecipients
	}
	if s.o.ConnectTimeout <= 0 {
		s.o.ConnectTimeout = 10 * time.Second
	}
	if s.o.Timeout <= 0 {
		s.o.Timeout = 2 * time.Minute
	}
	if err := s.checkOptions(); err != nil {
		return nil, err
	}
	var err error
	s.to, err = openTransport(dsn, s)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *sender) Send(ctx context.Context, m *Message) error {
	e, err := s.check(m)
	if err != nil {
		return err
	}
	if e.data, err = compose(m, e); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return interrupted("before anything was sent", err)
	}
	return s.to.deliver(ctx, e)
}

func (s *sender) Close() error { return nil }

// String says where mails go, without a password.
func (s *sender) String() string { return s.to.String() }

// off is the sender where no mail server is set.
type off struct{}

// IsOff reports whether s is that of the empty DSN, which sends nothing.
func IsOff(s Sender) bool { return s == Sender(off{}) }

func (off) Send(context.Context, *Message) error {
	return &Error{Stage: StageSettings, What: "no mail is sent: no mail server is set", Next: "give --mail and --mail-from"}
}

func (off) Close() error   { return nil }
func (off) String() string { return "off" }
