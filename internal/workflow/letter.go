package workflow

import (
	"context"
	"fmt"
	netmail "net/mail"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/mail"
)

// maxMessageID is the longest local part of a Message-ID.
const maxMessageID = 120

// mail is the effect of an email step. The secret inputs are not among what it
// evaluates. A mail that is sent again has the same Message-ID.
func (w *work) mail(ctx context.Context, rec *record) error {
	m, err := w.message()
	if err != nil {
		return err
	}
	rec.Input, err = encode(map[string]any{"to": texts(m.To), "cc": texts(m.Cc), "bcc": texts(m.Bcc), "subject": m.Subject})
	if err != nil {
		return err
	}
	if w.Suppressed != nil {
		off, err := w.Suppressed(ctx, w.in.Directory)
		if err != nil {
			return err
		}
		if off {
			rec.Status = roster.RunSkipped
			rec.Output = quote("mail is suppressed in this directory")
			return nil
		}
	}
	if err := w.Mail.Send(ctx, m); err != nil {
		return err
	}
	rec.Output, err = encode(map[string]any{"messageId": "<" + m.ID + ">", "recipients": len(m.To) + len(m.Cc) + len(m.Bcc)})
	return err
}

// texts returns a list for JSON.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// message returns the mail of the step.
func (w *work) message() (*mail.Message, error) {
	s, env := w.step.Email, w.shown(w.frame.env)
	m := &mail.Message{ID: boundedKey(w.id(), maxMessageID)}
	for _, list := range []struct {
		name string
		from []*Value
		to   *[]string
	}{{"to", s.To, &m.To}, {"cc", s.Cc, &m.Cc}, {"bcc", s.Bcc, &m.Bcc}} {
		for _, v := range list.from {
			out, _, err := v.Eval(env)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", list.name, err)
			}
			if *list.to, err = appendAddresses(*list.to, out); err != nil {
				return nil, fmt.Errorf("%s: %w", list.name, err)
			}
		}
	}
	for _, text := range []struct {
		name string
		from *Value
		to   *string
	}{{"reply-to", s.ReplyTo, &m.ReplyTo}, {"subject", s.Subject, &m.Subject}} {
		if text.from == nil {
			continue
		}
		v, err := text.from.Text(env)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text.name, err)
		}
		*text.to = w.redact.text(v)
	}
	for _, body := range []struct {
		name string
		from *Template
		to   *string
	}{{"text", s.Text, &m.Text}, {"html", s.HTML, &m.HTML}} {
		if body.from == nil {
			continue
		}
		v, err := body.from.Render(env)
		if err != nil {
			return nil, err
		}
		*body.to = w.redact.text(v)
	}
	for _, a := range s.Attach {
		v, _, err := a.Content.Eval(env)
		if err != nil {
			return nil, fmt.Errorf("attachment %s: %w", a.Name, err)
		}
		content, media, err := w.content(v)
		if err != nil {
			return nil, fmt.Errorf("attachment %s: %w", a.Name, err)
		}
		m.Attachments = append(m.Attachments, mail.Attachment{Name: a.Name, Type: media, Content: content})
	}
	return m, nil
}

// content returns what an attachment holds: a text as it is, anything else as
// indented JSON.
func (w *work) content(v any) ([]byte, string, error) {
	if s, ok := v.(string); ok {
		return []byte(w.redact.text(s)), "text/plain", nil
	}
	data, err := encode(v)
	if err != nil {
		return nil, "", err
	}
	data = w.redact.json(data)
	if err := data.Indent(jsontext.WithIndent("  ")); err != nil {
		return nil, "", err
	}
	return append(data, '\n'), "application/json", nil
}

// appendAddresses appends the addresses in a value: a text, a text with commas, or
// a list of them. What is no address is for the mail's own check to name.
func appendAddresses(list []string, v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return list, nil
	case string:
		parsed, err := netmail.ParseAddressList(v)
		if err != nil {
			if v = strings.TrimSpace(v); v == "" {
				return list, nil
			}
			return append(list, v), nil
		}
		for _, a := range parsed {
			if a.Name == "" {
				list = append(list, a.Address)
			} else {
				list = append(list, a.String())
			}
		}
		return list, nil
	case []any:
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("expected addresses, not %s", nameOf(one))
			}
			var err error
			if list, err = appendAddresses(list, s); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("expected an address or a list of them, not %s", nameOf(v))
}
