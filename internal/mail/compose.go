package mail

import (
	"bytes"
	"mime"
	netmail "net/mail"

	gomail "github.com/wneessen/go-mail"
)

// compose returns the bytes of a mail whose envelope was checked: lines of at
// most 998 bytes that end with CRLF, in ASCII unless an address is not.
func compose(m *Message, e *envelope) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.SetMessageIDWithValue(e.id + "@" + e.from.domain())
	msg.FromMailAddress(e.from.header())
	if len(e.to) > 0 {
		msg.ToMailAddress(headers(e.to)...)
	}
	if len(e.cc) > 0 {
		msg.CcMailAddress(headers(e.cc)...)
	}
	if e.replyTo != nil {
		msg.ReplyToMailAddress(e.replyTo.header())
	}
	msg.Subject(e.subject)
	// Nobody's absence is announced to a program: RFC 3834 section 5.1, and what
	// Exchange has in its place.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")

	if m.Text != "" {
		msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	}
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML) // the one part there is, without a text
	}
	for _, a := range m.Attachments {
		kind := a.Type
		if kind == "" {
			kind = "application/octet-stream"
		}
		err := msg.AttachReader(a.Name, bytes.NewReader(a.Content), gomail.WithFileContentType(gomail.ContentType(kind)), func(f *gomail.File) {
			// RFC 2231: the library encodes a name in a form for headers that are no
			// parameters, which strict readers do not decode.
			f.Header.Set("Content-Type", mime.FormatMediaType(kind, map[string]string{"name": a.Name}))
			f.Header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.Name}))
		})
		if err != nil {
			return nil, &Error{Stage: StageMessage, What: "the mail could not be composed: " + err.Error(), Err: err}
		}
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, &Error{Stage: StageMessage, What: "the mail could not be composed: " + err.Error(), Err: err}
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n") // after a lone body
	}
	return b.Bytes(), nil
}

func headers(list []address) []*netmail.Address {
	out := make([]*netmail.Address, len(list))
	for i, a := range list {
		out[i] = a.header()
	}
	return out
}
