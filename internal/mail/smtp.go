package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// maxConnections is how many mails a sender sends at once: what the strictest of
	// the large providers allows one account.
	maxConnections = 3
	// maxSaid bounds what a server may say in one exchange, in bytes.
	maxSaid = 1 << 20
	// quitTimeout is how long a server may take to say good-bye when it has taken the
	// mail.
	quitTimeout = 2 * time.Second
)

// errSlow is why an exchange ends that takes longer than Options.Timeout.
var errSlow = errors.New("the time for one mail is over")

// smtpTransport sends each mail on a connection of its own.
//
// It goes through the exchange itself, on the library's SMTP client, because the
// library's own Send keeps one reply of many refused recipients, and calls a mail
// not sent when the server took it and then hung up.
type smtpTransport struct {
	o            Options
	from         address
	host, port   string
	implicit     bool // TLS from the first byte
	startTLS     startTLS
	user         string // empty: no login
	password     password
	insecureAuth bool          // in the clear too
	slots        chan struct{} // one for each connection
}

func (t *smtpTransport) deliver(ctx context.Context, e *envelope) error {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return interrupted("while it waited for another one to be sent", ctx.Err())
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.o.Timeout, errSlow)
	defer cancel()
	x := &exchange{smtpTransport: t, e: e, stage: StageConnect}
	err := x.run(limited)
	if err == nil {
		t.o.Log.DebugContext(ctx, "mail sent", "id", e.id, "recipients", len(e.recipients))
		return nil
	}
	return x.failed(limited, err)
}

// An exchange is the sending of one mail.
type exchange struct {
	*smtpTransport
	e     *envelope
	stage Stage
	doing string     // for an error: what it waited for
	conn  *boundConn // below the encryption
	sent  bool       // the whole mail, so that the server may have it
}

func (x *exchange) trace(name, format string, args ...any) {
	x.o.Trace(Step{name, shown(fmt.Sprintf(format, args...))})
}

// run sends the mail. Its errors are those of the library, of the network, or an
// *Error.
func (x *exchange) run(ctx context.Context) error {
	if err := x.dial(ctx); err != nil {
		return err
	}
	// Whatever the server does or does not do: when ctx ends, so does the exchange.
	defer context.AfterFunc(ctx, func() { _ = x.conn.Close() })()
	defer func() { _ = x.conn.Close() }()
	c, err := x.greet(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(*smtp.Client) error{x.encrypt, x.login, x.sender, x.recipients, x.content} {
		if err = step(c); err != nil {
			break
		}
	}
	// What comes of the leave-taking changes nothing.
	_ = x.conn.SetDeadline(time.Now().Add(quitTimeout))
	_ = c.Quit()
	return err
}

func (x *exchange) dial(ctx context.Context) error {
	x.doing = "a connection"
	began := time.Now()
	d := net.Dialer{Timeout: x.o.ConnectTimeout}
	nc, err := d.DialContext(ctx, "tcp", x.address())
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Addr != nil {
		x.trace("resolved", "%s is %s", x.host, op.Addr)
	}
	if err != nil {
		// The dialler may see that the time is over before the context does, which is
		// asked then why that was.
		if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
			<-ctx.Done()
		}
		return err
	}
	x.conn = &boundConn{Conn: nc, left: maxSaid}
	x.trace("resolved", "%s is %s", x.host, nc.RemoteAddr())
	x.trace("connected", "in %v", time.Since(began).Round(time.Millisecond))
	return nil
}

// greet reads the server's greeting and returns it, on TLS where that comes
// first.
func (x *exchange) greet(ctx context.Context) (*smtp.Client, error) {
	var nc net.Conn = x.conn
	if x.implicit {
		x.stage, x.doing = StageTLS, "TLS"
		tc := tls.Client(nc, x.tlsConfig())
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		nc = tc
	}
	x.stage, x.doing = StageConnect, "its greeting"
	c, err := smtp.NewClient(nc, x.host)
	if err != nil {
		return nil, err
	}
	return c, c.Hello(x.from.domain())
}

func (x *exchange) tlsConfig() *tls.Config {
	config := x.o.TLS.Clone() // nil stays nil
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.ServerName = x.host
	return config
}

// encrypt turns TLS on with STARTTLS (RFC 3207), or says why not.
func (x *exchange) encrypt(c *smtp.Client) error {
	x.stage, x.doing = StageTLS, "STARTTLS"
	if offered, _ := c.Extension("STARTTLS"); !x.implicit && x.startTLS != startTLSNever {
		switch {
		case offered:
			if err := c.StartTLS(x.tlsConfig()); err != nil {
				return err
			}
		case x.startTLS == startTLSRequired:
			return &Error{Stage: StageTLS, What: "the mail server " + x.address() + " offers no encryption (STARTTLS)",
				Next: "use its port for that, often 587, or smtps:// on port 465; ?tls=opportunistic sends without"}
		}
	}
	state, ok := c.TLSConnectionState()
	if !ok {
		x.trace("unencrypted", "the server can be anybody, and anybody on the way can read the mail")
		return nil
	}
	text := tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		text += ", certificate for " + x.host + " until " + state.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
	}
	x.trace("encrypted", "%s", text)
	return nil
}

// login gives user name and password (RFC 4954), if there are any.
func (x *exchange) login(c *smtp.Client) error {
	x.stage, x.doing = StageLogin, "the login"
	if x.user == "" {
		return nil
	}
	fault := func(what, next string) error {
		return &Error{Stage: StageLogin, What: "the mail server " + x.address() + " " + what, Next: next}
	}
	if _, encrypted := c.TLSConnectionState(); !encrypted && !x.insecureAuth && !x.conn.isLoopback() {
		return fault("offers no encryption, and the password is not sent in the clear", "use a port with STARTTLS or smtps://; ?insecure-auth=true sends it all the same")
	}
	_, offered := c.Extension("AUTH")
	mechanisms := strings.Fields(offered)
	var auth smtp.Auth
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		auth = smtp.PlainAuth("", x.user, string(x.password), x.host, true) // where that may be was decided above
	case slices.Contains(mechanisms, "LOGIN"):
		auth = smtp.LoginAuth(x.user, string(x.password), x.host, true)
	case len(mechanisms) == 0:
		return fault("takes no user name and password", "leave them out of --mail, or use the port for that, often 587 or 465")
	default:
		return fault("takes no login of the kinds PLAIN and LOGIN, but "+shown(offered), "use another port or an account with a password")
	}
	if err := c.Auth(auth); err != nil {
		return err
	}
	x.trace("authenticated", "as %s", x.user)
	return nil
}

func (x *exchange) sender(c *smtp.Client) error {
	x.stage, x.doing = StageSender, "its word on the sender"
	if x.e.utf8 {
		if ok, _ := c.Extension("SMTPUTF8"); !ok {
			return &Error{Stage: StageRecipients, What: "the mail server " + x.address() + " takes no addresses beyond ASCII, and this mail has one",
				Next: "write a domain such as bücher.example as xn--bcher-kva.example"}
		}
	}
	if _, text := c.Extension("SIZE"); text != "" {
		if most, err := strconv.Atoi(text); err == nil && most > 0 && len(x.e.data) > most {
			return &Error{Stage: StageContent, What: fmt.Sprintf("the mail has %d bytes, and the mail server %s takes %d", len(x.e.data), x.address(), most), Next: "leave attachments out"}
		}
	}
	c.SkipSMTPUTF8(!x.e.utf8) // asked for in vain, it makes servers further on refuse the mail
	return c.Mail("<" + x.from.addr + ">")
}

// recipients names all recipients. When the server refuses one, nobody gets the
// mail: so a second attempt sends nobody a second mail.
func (x *exchange) recipients(c *smtp.Client) error {
	x.stage = StageRecipients
	refused := &Error{Stage: StageRecipients, Temporary: true}
	var said []string
	for _, addr := range x.e.recipients {
		x.doing = "its word on " + addr
		err := c.Rcpt("<" + addr + ">")
		if err == nil {
			continue
		}
		reply, ok := errors.AsType[*textproto.Error](err)
		if !ok || reply.Code == 421 { // it hangs up
			return err
		}
		if reply.Code >= 500 {
			refused.Temporary = false
		}
		if refused.Code == 0 || refused.Code < 500 {
			refused.Code, refused.Err = reply.Code, err
		}
		refused.Refused = append(refused.Refused, Refusal{addr, reply.Code, shown(reply.Msg)})
		said = append(said, fmt.Sprintf("%s (%d %s)", addr, reply.Code, shown(reply.Msg)))
	}
	if len(said) == 0 {
		return nil
	}
	refused.What = "the mail server " + x.address() + " refused " + strings.Join(said, ", ")
	if len(said) < len(x.e.recipients) {
		refused.What += "; the others did not get the mail either"
	}
	if !refused.Temporary {
		refused.Next = "are the addresses right, and may this account send to them?"
	}
	return refused
}

func (x *exchange) content(c *smtp.Client) error {
	x.stage, x.doing = StageContent, "its word on the mail"
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, werr := w.Write(x.e.data)
	x.sent = werr == nil
	// After a failed write nothing is written any more, the end of the mail least of
	// all; but the server may have said why it hung up.
	err = w.Close()
	if _, ok := errors.AsType[*textproto.Error](err); werr != nil && !ok {
		return werr
	}
	if err != nil {
		return err
	}
	if d, ok := w.(interface{ ServerResponse() string }); ok {
		x.trace("accepted", "%s", d.ServerResponse())
	}
	return nil
}

// A boundConn bounds what is read of a server.
type boundConn struct {
	net.Conn
	left int64
}

var errTooMuch = errors.New("it says more than any mail server has to")

func (c *boundConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// isLoopback reports whether the other end is on this machine.
func (c *boundConn) isLoopback() bool {
	addr, err := netip.ParseAddrPort(c.RemoteAddr().String())
	return err == nil && addr.Addr().Unmap().IsLoopback()
}
