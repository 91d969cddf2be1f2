package scim

// A binder makes the operations of a Patch of requests.
type binder struct {
	patch *Patch
	data  []byte
	p     *parser
	delta memberDelta
}

// bind checks a request, reads its value by the attribute that its path names,
// and adds it to the Patch.
func (b *binder) bind(r *request) error {
	t := b.patch.typ
	fail := func(err error) error {
		if e, ok := err.(*Error); ok {
			return atOperation(e, r.at)
		}
		return err
	}
	if r.op == opNone {
		return fail(Errorf(400, InvalidSyntax, "op is missing: it must be add, remove or replace"))
	}
	o := operation{at: r.at, op: r.op, path: Path{typ: t, attr: t.root}}
	if r.hasPath {
		var err error
		if o.path, err = t.path(r.path); err != nil {
			return fail(err)
		}
		if o.path.attr == nil {
			return b.unknown(r)
		}
		if o.path.filter != nil {
			for _, c := range o.path.filter.coerced {
				note(&b.p.notes.Coerced, c)
			}
		}
	}
	switch given := r.end > 0; {
	case r.op == opRemove && o.path.attr == t.root:
		return fail(Errorf(400, NoTarget, "a remove needs a path: name what to remove"))
	case r.op != opRemove && !given:
		return fail(Errorf(400, InvalidValue, "%s needs a value", patchOps[r.op]))
	case o.path.target().readOnly():
		return b.bindReadOnly(&o, r, fail)
	case given:
		if err := b.value(&o, r); err != nil {
			return err
		}
	}
	if a := o.path.attr; a.linked {
		if err := b.delta.bind(&o); err != nil {
			return fail(err)
		}
		return nil
	}
	if o.path.attr == t.root && t.linked != nil {
		members := o.value.Members()
		for i := range members {
			if members[i].Attr == t.linked {
				whole := operation{at: o.at, op: o.op, path: Path{typ: t, attr: t.linked}, value: members[i].Value}
				if err := b.delta.bind(&whole); err != nil {
					return fail(err)
				}
			}
		}
	}
	if a := o.path.target(); a.parent != nil && (a.never() || a.parent.never()) {
		return nil // checked, and forgotten
	}
	b.patch.ops = append(b.patch.ops, o)
	return nil
}

// unknown passes over an operation on an attribute that no schema knows.
func (b *binder) unknown(r *request) error {
	_, err := b.patch.typ.ParsePath(r.path)
	if e, ok := err.(*Error); ok && b.patch.typ.Rules.RefuseUnknown {
		e.Detail += ": correct the path, or leave the operation out"
		return atOperation(e, r.at)
	}
	note(&b.p.notes.Ignored, pathName(r.path))
	return nil
}

// bindReadOnly refuses an operation on a readOnly attribute. Outside the strict
// rules Apply lets one pass that sets the value which the document has already.
func (b *binder) bindReadOnly(o *operation, r *request, fail func(error) error) error {
	a := o.path.attr
	beside := a.linked || a.Name == "id" || a.Name == "meta" || a.Name == "schemas"
	if !b.patch.typ.Rules.Tolerant || o.op == opRemove || o.path.filter != nil || o.path.sub != nil || a.Type == TypeComplex || beside {
		return fail(readOnly(o.path.target()))
	}
	if err := b.value(o, r); err != nil {
		return err
	}
	b.patch.ops = append(b.patch.ops, *o)
	return nil
}

// value reads the value of o, of which the decoder has seen that it is JSON.
func (b *binder) value(o *operation, r *request) error {
	p := parsers.Get().(*parser)
	defer p.release()
	p.resetText(b.patch.typ, b.data[r.start:r.end], b.p.text[r.start:r.end])
	p.patch, p.op, p.notes = true, r.at, b.p.notes
	var err error
	if o.op == opRemove {
		err = p.removeValue(o)
	} else {
		o.value, err = p.pathValue(&o.path, o.op)
	}
	b.p.notes = p.notes
	return err
}

func (p *parser) pathValue(path *Path, op patchOp) (Value, error) {
	a, kind := path.target(), p.dec.PeekKind()
	switch {
	case path.attr == p.typ.root:
		if kind != '{' {
			return Value{}, p.syntaxMismatch(kind, "the value of an operation without a path", "an object")
		}
		members, err := p.object(a)
		if err == nil {
			members, err = p.place(members)
		}
		return objectValue(members), err
	case a.Extension || kind == 'n':
		return p.value(a)
	case a.never() || a.parent.never():
		_, err := p.member(a)
		return Value{}, err
	case path.filter != nil && path.sub == nil:
		return p.item(a, kind)
	case a.MultiValued && kind != '[':
		if op == opReplace {
			if !p.typ.Rules.Tolerant {
				return Value{}, p.mismatch(a, kind, "an array")
			}
			note(&p.notes.Coerced, a.Path+" (not a list)")
		}
		v, err := p.item(a, kind)
		if err != nil || v.unset() {
			return Value{kind: Null}, err
		}
		return listValue([]Value{v}), nil
	}
	return p.value(a)
}

// removeValue reads the value of a remove, of which the RFC knows none. With a
// list as its path it names what to remove.
func (p *parser) removeValue(o *operation) error {
	a, kind := o.path.target(), p.dec.PeekKind()
	whole := a.MultiValued && o.path.filter == nil && (a.linked || kind != 'n')
	switch {
	case kind == 'n' && !whole: // none
		return nil
	case !p.typ.Rules.Tolerant:
		return p.invalid(InvalidSyntax, "a remove has no value: say in the path what of %s to remove", a.Path)
	case !whole:
		note(&p.notes.Coerced, o.path.name()+" (value of a remove)")
		return nil
	}
	note(&p.notes.Coerced, o.path.name()+" (remove by value)")
	var err error
	if o.value, err = p.pathValue(&o.path, opAdd); err == nil && o.value.kind != List {
		o.value = listValue(nil) // null names nobody
	}
	return err
}
