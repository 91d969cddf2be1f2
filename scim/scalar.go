package scim

import (
	"bytes"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func (p *parser) boolean(a *Attr, kind jsontext.Kind) (Value, error) {
	switch kind {
	case 't', 'f':
		if _, err := p.dec.ReadToken(); err != nil {
			return Value{}, p.syntax(err)
		}
		return BoolValue(kind == 't'), nil
	case '"':
		if !p.typ.Rules.Tolerant || p.stored {
			break
		}
		raw, err := p.dec.ReadValue()
		if err != nil {
			return Value{}, p.syntax(err)
		}
		word := strings.ToLower(string(raw))
		if word != `"true"` && word != `"false"` {
			return Value{}, p.invalid(InvalidValue, "%s must be true or false", a.Path)
		}
		note(&p.notes.Coerced, a.Path+" (a string)")
		return BoolValue(word == `"true"`), nil
	}
	return Value{}, p.mismatch(a, kind, "true or false")
}

func (p *parser) number(a *Attr, kind jsontext.Kind) (Value, error) {
	if kind != '0' {
		return Value{}, p.mismatch(a, kind, "a number")
	}
	raw, err := p.dec.ReadValue()
	if err != nil {
		return Value{}, p.syntax(err)
	}
	// RFC 7643 section 2.3.4: an integer has no fraction and no exponent.
	if a.Type == TypeInteger && bytes.ContainsAny(raw, ".eE") {
		return Value{}, p.invalid(InvalidValue, "%s must be an integer", a.Path)
	}
	return Value{kind: Number, text: p.read(raw)}, nil
}

// read returns raw, which was read last, as a part of the input.
func (p *parser) read(raw jsontext.Value) string {
	end := int(p.dec.InputOffset())
	return p.text[end-len(raw) : end]
}

// string reads a string and what is written as one.
func (p *parser) string(a *Attr) (Value, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return Value{}, p.syntax(err)
	}
	var s string
	if bytes.IndexByte(raw, '\\') < 0 {
		s = p.read(raw)
		s = s[1 : len(s)-1]
	} else if s, err = unquote(raw); err != nil {
		return Value{}, p.syntax(err)
	}
	switch {
	case p.stored:
	case s == "" && !p.typ.Rules.KeepEmptyStrings:
		if p.patch {
			return Value{kind: Null}, nil
		}
		return Value{}, nil
	case len(s) > MaxText:
		return Value{}, p.invalid(InvalidValue, "%s is longer than %d bytes", a.Path, MaxText)
	case strings.IndexByte(s, 0) >= 0:
		return Value{}, p.invalid(InvalidValue, "%s holds U+0000, which no value may", a.Path)
	}
	switch a.Type {
	case TypeDateTime:
		if _, ok := parseDateTime(s); !ok {
			return Value{}, p.invalid(InvalidValue, "%s must be a date and time such as 2008-01-23T04:56:22Z", a.Path)
		}
	case TypeBinary:
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return Value{}, p.invalid(InvalidValue, "%s must be base64 (RFC 4648 section 4)", a.Path)
		}
	}
	return StringValue(s), nil
}

// parseDateTime reads an xsd:dateTime with a date and a time (RFC 7643 section
// 2.3.5); the zone may be missing, as there: then it is read as UTC.
func parseDateTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// unquote returns the text of a JSON string that the decoder has accepted.
func unquote(raw jsontext.Value) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err
}
