package mail

import (
	"bytes"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
)

// Whatever the texts of a message are, it is refused, or it becomes a mail with
// the headers that every mail has and no other, whose lines are lines of a mail.
func FuzzCompose(f *testing.F) {
	for _, s := range []string{"Ada", "a\r\nBcc: x@y.example", "=?utf-8?q?=0D=0A?=", "Größe 日本語", `"`, "a\x00b", "  ", "\u2028", strings.Repeat("x ", 200)} {
		f.Add(s, s+" <ada@corp.example>", s, s, "text/"+s, s)
	}
	f.Add("run.step", "ada@corp.example", "Subject", "a.txt", "text/plain", "Hello\r\n.\r\n")
	f.Fuzz(func(t *testing.T, id, to, subject, name, kind, body string) {
		s := &sender{o: Options{From: "roster@corp.example", MaxRecipients: 2}}
		if err := s.checkOptions(); err != nil {
			t.Fatal(err)
		}
		// Each text alone is tried with the others good, so that one bad one does not
		// hide the rest.
		for _, m := range []*Message{
			{ID: id, To: []string{to}, Subject: subject, Text: body, HTML: body, Attachments: []Attachment{{name, kind, []byte(body)}}},
			{ID: "a.b", To: []string{to}, Cc: []string{to}, Text: "x"},
			{ID: "a.b", To: []string{"a@b"}, ReplyTo: to, Subject: subject, Text: "x"},
			{ID: "a.b", From: subject + "<roster@corp.example>", To: []string{"a@b"}, HTML: body},
			{ID: "a.b", To: []string{"a@b"}, Text: "x", Attachments: []Attachment{{Name: name}}},
			{ID: "a.b", To: []string{"a@b"}, Text: "x", Attachments: []Attachment{{Name: "x", Type: kind, Content: []byte(body)}}},
		} {
			e, err := s.check(m)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\r\n\x00") {
					t.Errorf("an error is not on one line: %q", err)
				}
				continue
			}
			data, err := compose(m, e)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(data) {
				text, ok := bytes.CutSuffix(line, []byte("\r\n"))
				if !ok || bytes.ContainsAny(text, "\r\n\x00") || len(text) > 998 {
					t.Fatalf("no line of a mail: %q", line)
				}
			}
			msg, err := netmail.ReadMessage(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			for h, values := range msg.Header {
				if len(values) != 1 || !slices.Contains(known, h) {
					t.Fatalf("header %s: %q", h, values)
				}
			}
			for _, h := range []string{"To", "Cc", "From", "Reply-To"} {
				list, err := msg.Header.AddressList(h)
				if msg.Header.Get(h) != "" && (err != nil || len(list) != 1) {
					t.Fatalf("%s: %q: %v", h, msg.Header.Get(h), err)
				}
			}
		}
	})
}

var known = []string{"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version", "Auto-Submitted",
	"X-Auto-Response-Suppress", "Content-Type", "Content-Transfer-Encoding"}
