package mail

import (
	"fmt"
	"mime"
	netmail "net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of single headers, in bytes. A line of a mail has 998 at the most,
// and what has no space in it cannot be folded.
const (
	maxID      = 200
	maxSubject = 500
	maxAddress = 254 // RFC 5321 section 4.5.3.1.3, without the angle brackets
	maxName    = 200
)

// An address is one that was checked.
type address struct {
	name string // may be empty
	addr string // local@domain
}

func (a address) domain() string { return a.addr[strings.LastIndexByte(a.addr, '@')+1:] }

// header is the form of net/mail, which quotes and encodes the name.
func (a address) header() *netmail.Address { return &netmail.Address{Name: a.name, Address: a.addr} }

// An envelope is a message that was checked, with what a transport needs of it.
type envelope struct {
	id         string // before the @
	from       address
	to, cc     []address
	replyTo    *address
	subject    string
	recipients []string // of To, Cc and Bcc, each once
	utf8       bool     // an address is not ASCII
	data       []byte   // the composed mail
	sizes      []any    // of the bodies and attachments, for the log
}

// checkOptions checks the sender's address and domains.
func (s *sender) checkOptions() error {
	if s.o.From == "" {
		return badSetting("a sender address is needed: --mail-from roster@corp.example")
	}
	var err error
	if s.from, err = parseAddress("--mail-from", s.o.From); err != nil {
		return badSetting("%v", err)
	}
	if !isASCII(s.from.addr) {
		return badSetting("--mail-from must be an ASCII address: write a domain such as bücher.example as xn--bcher-kva.example")
	}
	for _, d := range s.o.AllowDomains {
		if !isDomain(d) {
			return badSetting("--mail-allow-domain %q: expected a domain such as corp.example", d)
		}
	}
	return nil
}

// check returns the envelope of a message, or an *Error with what is wrong with
// the message.
func (s *sender) check(m *Message) (*envelope, error) {
	e, err := s.envelope(m)
	if err != nil {
		return nil, &Error{Stage: StageMessage, What: "the mail cannot be sent: " + err.Error(), Err: err}
	}
	return e, nil
}

func (s *sender) envelope(m *Message) (*envelope, error) {
	e := &envelope{id: m.ID, from: s.from}
	if !isID(m.ID) {
		return nil, fmt.Errorf("the message id %q is not one: it is at most %d characters of A-Z a-z 0-9 . _ - + = and no two dots in a row", shown(m.ID), maxID)
	}
	if m.From != "" {
		from, err := parseAddress("the sender", m.From)
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(from.addr, s.from.addr) {
			return nil, fmt.Errorf("it would come from %s, and mails of this server come from %s (--mail-from)", from.addr, s.from.addr)
		}
		e.from.name = from.name
	}
	if err := s.checkRecipients(m, e); err != nil {
		return nil, err
	}
	if m.ReplyTo != "" {
		a, err := parseAddress("the reply-to address", m.ReplyTo)
		if err != nil {
			return nil, err
		}
		e.replyTo = &a
		e.utf8 = e.utf8 || !isASCII(a.addr)
	}
	if err := checkLine("the subject", m.Subject, maxSubject); err != nil {
		return nil, err
	}
	e.subject = oneSpace(m.Subject)
	return e, checkContent(m, e)
}

func (s *sender) checkRecipients(m *Message, e *envelope) error {
	n := len(m.To) + len(m.Cc) + len(m.Bcc)
	switch {
	case n == 0:
		return fmt.Errorf("it has no recipient")
	case n > s.o.MaxRecipients:
		return fmt.Errorf("it has %d recipients, %d are allowed: send several mails", n, s.o.MaxRecipients)
	}
	for _, list := range []struct {
		name string
		in   []string
		out  *[]address
	}{{"the recipient", m.To, &e.to}, {"the copy's recipient", m.Cc, &e.cc}, {"the blind copy's recipient", m.Bcc, nil}} {
		for _, text := range list.in {
			a, err := parseAddress(list.name, text)
			if err != nil {
				return err
			}
			if !s.allows(a) {
				return fmt.Errorf("%s %s is in a domain that mails may not go to: allowed are %s (--mail-allow-domain)",
					list.name, a.addr, strings.Join(s.o.AllowDomains, ", "))
			}
			if list.out != nil {
				*list.out = append(*list.out, a)
			}
			if !slices.Contains(e.recipients, a.addr) {
				e.recipients = append(e.recipients, a.addr)
			}
			e.utf8 = e.utf8 || !isASCII(a.addr)
		}
	}
	return nil
}

func (s *sender) allows(a address) bool {
	return len(s.o.AllowDomains) == 0 || slices.ContainsFunc(s.o.AllowDomains, func(d string) bool { return strings.EqualFold(d, a.domain()) })
}

// checkContent checks the bodies and attachments.
func checkContent(m *Message, e *envelope) error {
	if m.Text == "" && m.HTML == "" {
		return fmt.Errorf("it has no body: its text came out empty, or there is none")
	}
	if !utf8.ValidString(m.Text) || !utf8.ValidString(m.HTML) {
		return fmt.Errorf("its body is not UTF-8")
	}
	size := len(m.Subject) + len(m.Text) + len(m.HTML)
	e.sizes = []any{"text", len(m.Text), "html", len(m.HTML)}
	if len(m.Attachments) > MaxAttachments {
		return fmt.Errorf("it has %d attachments, %d are allowed", len(m.Attachments), MaxAttachments)
	}
	for _, a := range m.Attachments {
		size += len(a.Content)
		if err := checkLine("the name of an attachment", a.Name, maxName); err != nil {
			return err
		}
		if a.Name == "" || strings.ContainsAny(a.Name, `/\`) {
			return fmt.Errorf("the name of an attachment, %q, is not that of a file: it is needed, and has no path", a.Name)
		}
		if a.Type != "" && !isMediaType(a.Type) {
			return fmt.Errorf("the type of the attachment %s, %q, is no media type such as text/csv", a.Name, shown(a.Type))
		}
		e.sizes = append(e.sizes, "attachment", fmt.Sprintf("%s: %d", a.Name, len(a.Content)))
	}
	if size > MaxMessage {
		return fmt.Errorf("it has %d bytes, %d are allowed: leave attachments out", size, MaxMessage)
	}
	return nil
}

// parseAddress reads one address, with a name or without. It is stricter than
// RFC 5322: no group, comment, quoted local part or address literal, because
// none of them is meant by somebody who writes one.
func parseAddress(what, text string) (address, error) {
	if err := checkLine(what, text, maxName+maxAddress+10); err != nil {
		return address{}, err
	}
	text = strings.TrimSpace(text)
	a, err := netmail.ParseAddress(text)
	bad := fmt.Errorf("%s %q is not an address such as ada@corp.example or Ada Lovelace <ada@corp.example>", what, shown(text))
	if err != nil || text != a.Address && !strings.HasSuffix(text, "<"+a.Address+">") {
		return address{}, bad
	}
	at := strings.LastIndexByte(a.Address, '@')
	if at < 1 || len(a.Address) > maxAddress || !isLocal(a.Address[:at]) || !isDomain(a.Address[at+1:]) {
		return address{}, bad
	}
	if err := checkLine(what, a.Name, maxName); err != nil {
		return address{}, err
	}
	return address{name: oneSpace(a.Name), addr: a.Address}, nil
}

// checkLine refuses what cannot stand in a header.
func checkLine(what, s string, most int) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", what)
	}
	if len(s) > most {
		return fmt.Errorf("%s has %d bytes, %d are allowed", what, len(s), most)
	}
	for i, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("%s has a control character (%U) at byte %d, which could begin another header: it must be one line of plain text", what, r, i)
		}
	}
	if strings.Contains(s, "=?") {
		return fmt.Errorf("%s has =? in it, by which mail programs take it for encoded text", what)
	}
	return nil
}

// isID reports whether s can be a message id, and the name of a file too.
func isID(s string) bool {
	return len(s) <= maxID && isDotted(s, isIDChar)
}

func isIDChar(r rune) bool { return isAlnum(r) || strings.ContainsRune("_-+=", r) }

func isLocal(s string) bool {
	return isDotted(s, func(r rune) bool { return isAlnum(r) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r) || isOther(r) })
}

func isDomain(s string) bool {
	return isDotted(s, func(r rune) bool { return isAlnum(r) || r == '-' || isOther(r) })
}

// isDotted reports whether s is one or more parts of such runes with dots between
// them.
func isDotted(s string, ok func(rune) bool) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return !ok(r) }) {
			return false
		}
	}
	return true
}

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// isOther reports whether r is a letter, digit or mark beyond ASCII.
func isOther(r rune) bool {
	return r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// isMediaType reports whether s is type/subtype without parameters.
func isMediaType(s string) bool {
	kind, params, err := mime.ParseMediaType(s)
	return err == nil && len(params) == 0 && strings.EqualFold(kind, s) && isASCII(s) && len(s) <= 100 &&
		strings.Count(s, "/") == 1 && !strings.HasPrefix(kind, "multipart/") && !strings.HasPrefix(kind, "message/") // which may not be encoded
}

// oneSpace makes runs of spaces one, as the folding of headers may in any case.
func oneSpace(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}
