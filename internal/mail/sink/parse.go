package sink

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// A Mail is a message taken apart, decoded.
type Mail struct {
	Header      mail.Header // as it came; see Get
	Text, HTML  string      // with LF at the ends of lines
	Attachments []Attachment
}

// An Attachment is a file of a mail.
type Attachment struct {
	Name    string
	Type    string
	Content []byte
}

// Get returns a header, decoded.
func (m *Mail) Get(name string) (string, error) {
	return new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
}

// Parse takes the message apart.
func (m *Message) Parse() (*Mail, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		return nil, err
	}
	out := &Mail{Header: msg.Header}
	return out, out.part(msg.Header, msg.Body, 0)
}

// header is what a message and a part have in common.
type header interface{ Get(name string) string }

// maxDepth bounds parts within parts.
const maxDepth = 8

func (m *Mail) part(h header, body io.Reader, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("more than %d parts within each other", maxDepth)
	}
	kind, params, err := mime.ParseMediaType(cmp.Or(h.Get("Content-Type"), "text/plain")) // RFC 2045 section 5.2
	if err != nil {
		return fmt.Errorf("content type: %w", err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := m.part(p.Header, p, depth+1); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(h.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	disposition, file, _ := mime.ParseMediaType(h.Get("Content-Disposition")) // none, mostly
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	switch {
	case disposition == "attachment":
		m.Attachments = append(m.Attachments, Attachment{Name: file["filename"], Type: kind, Content: data})
	case kind == "text/html":
		m.HTML = text
	default:
		m.Text = text
	}
	return nil
}
