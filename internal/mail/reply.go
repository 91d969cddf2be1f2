package mail

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
)

// failed words the error of an exchange.
func (x *exchange) failed(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Stage: x.stage, Err: err}
	server := "the mail server " + x.address()
	var (
		reply     *textproto.Error
		protocol  textproto.ProtocolError
		untrusted *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		dns       *net.DNSError
		op        *net.OpError
	)
	switch {
	case errors.As(err, &reply):
		e.Code, e.Temporary = reply.Code, reply.Code < 500
		e.What, e.Next = x.refused(server, reply)
		e.Err = nil // it has what the server said as it said it
	case errors.Is(context.Cause(ctx), errSlow):
		e.Temporary, e.Err = true, os.ErrDeadlineExceeded
		e.What = fmt.Sprintf("%s was too slow: waited for %s until %v were over", server, x.doing, x.o.Timeout)
		if x.stage == StageConnect && !x.implicit {
			e.Next = "a port such as 465, which wants TLS first, needs smtps:// in the place of smtp://"
		}
	case ctx.Err() != nil:
		e = interrupted("while it waited for "+x.doing+" of "+server, ctx.Err())
		e.Stage = x.stage
	case errors.As(err, &untrusted):
		e.What = "the certificate of " + server + " is not trusted: " + untrusted.Err.Error()
		e.Next = "give the server's name as the certificate has it, or SSL_CERT_FILE with the certificate of the CA that has signed it"
	case errors.As(err, &record):
		e.What = server + " does not speak TLS on this port"
		e.Next = "smtp:// in the place of smtps://, which turns TLS on with STARTTLS"
	case errors.As(err, &alert):
		e.What = server + " refused TLS: " + alert.Error()
	case errors.As(err, &protocol), errors.Is(err, errTooMuch):
		e.What = "what answers at " + x.address() + " is no mail server: " + shown(err.Error())
		e.Next = "is the port right? It is often 587, or 465 with smtps://"
	case errors.As(err, &dns):
		e.Temporary = true
		e.What = "DNS knows no " + x.host
		if !dns.IsNotFound {
			e.What = "DNS does not answer for " + x.host
		}
		e.Next = "is the host in --mail spelt right, and is there a network?"
	case errors.As(err, &op) && op.Op == "dial":
		e.Temporary = true
		e.What = "no connection to " + server + ": " + op.Err.Error()
		e.Next = "is the port right, and does a firewall let it through? Many networks close port 25"
	default:
		e.Temporary = true
		e.What = server + " hung up while it was waited for " + x.doing + ": " + shown(err.Error())
	}
	if x.sent && e.Code == 0 {
		e.What += "; it may have taken the mail all the same"
	}
	return e
}

// refused words a reply that is no.
func (x *exchange) refused(server string, reply *textproto.Error) (what, next string) {
	said := fmt.Sprintf(": %d %s", reply.Code, shown(x.withoutPassword(reply.Msg)))
	switch x.stage {
	case StageConnect:
		return server + " does not talk to this machine" + said, ""
	case StageTLS:
		return server + " did not turn TLS on" + said, ""
	case StageLogin:
		if reply.Code < 500 {
			return server + " could not check the password" + said, ""
		}
		return server + " refused the user name or the password" + said,
			"check both, with characters such as @ : / % in them written as %40 %3A %2F %25; an account with a second factor needs a password for programs"
	case StageSender:
		if reply.Code == 530 || x.user == "" && reply.Code >= 500 {
			return server + " refused the sender " + x.from.addr + said, "it may want a user name and a password in --mail"
		}
		return server + " refused the sender " + x.from.addr + said, "may this account send as the address of --mail-from?"
	case StageRecipients:
		return server + " hung up at the recipients" + said, ""
	}
	return server + " refused the mail" + said, ""
}

// withoutPassword returns what a server said without a password that it repeats.
func (x *exchange) withoutPassword(s string) string {
	if x.password == "" {
		return s
	}
	plain, encode := string(x.password), base64.StdEncoding.EncodeToString
	return strings.NewReplacer(
		encode([]byte("\x00"+x.user+"\x00"+plain)), "(hidden)", encode([]byte(plain)), "(hidden)", plain, "(hidden)",
	).Replace(s)
}
