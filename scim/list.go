package scim

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

func (p *parser) list(a *Attr, kind jsontext.Kind) (Value, error) {
	if kind != '[' {
		return Value{}, p.mismatch(a, kind, "an array")
	}
	most := MaxValues
	if a.linked {
		most = MaxPatchMembers
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Value{}, p.syntax(err)
	}
	var buf [4]Value
	items := buf[:0]
	for n := 0; p.dec.PeekKind() != ']'; n++ {
		if n >= most && !p.stored {
			return Value{}, p.invalid(InvalidValue, "%s has more than %d values", a.Path, most)
		}
		kind := p.dec.PeekKind()
		if kind == 'n' && (p.stored || !a.linked) {
			if _, err := p.dec.ReadToken(); err != nil {
				return Value{}, p.syntax(err)
			}
			continue
		}
		it, err := p.item(a, kind)
		if err != nil {
			return Value{}, err
		}
		if p.stored || !it.unset() {
			items = append(items, it)
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Value{}, p.syntax(err)
	}
	if !p.stored {
		items = distinct(items)
	}
	return listValue(slices.Clone(items)), nil
}

// item reads one value of a list.
func (p *parser) item(a *Attr, kind jsontext.Kind) (Value, error) {
	v, err := p.single(a, kind)
	if err == nil && !p.stored && a.linked && v.Sub("value").unset() {
		// Passed over, it could leave an empty list, which empties a group.
		err = p.invalid(InvalidValue, "a value of %s has no value: send the id of the member", a.Path)
	}
	return v, err
}

// distinct drops from items what is there already: the same value twice is one
// (RFC 7643 section 2.4).
func distinct(items []Value) []Value {
	if len(items) <= 8 {
		kept := items[:0]
		for _, it := range items {
			if !slices.ContainsFunc(kept, it.Equal) {
				kept = append(kept, it)
			}
		}
		return kept
	}
	seen := make(map[string]bool, len(items))
	var key []byte
	return slices.DeleteFunc(items, func(it Value) bool {
		key = it.AppendJSON(key[:0])
		if seen[string(key)] {
			return true
		}
		seen[string(key)] = true
		return false
	})
}
