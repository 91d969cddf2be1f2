package action

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// ValidateUpdateUser returns nil when in can be sent to a directory whose user
// type is t, and else an *InputError with every fault. It asks no service.
func ValidateUpdateUser(t *scim.Type, in Input) error {
	return validate(UpdateUserManifest(), validator{typ: t, in: in, cure: keepCure("user")})
}

// keepCure is what else helps where something must be given to a PUT.
func keepCure(noun string) string { return ", or --keep to keep what the " + noun + " has" }

// ValidateUpdateUserKeep is as ValidateUpdateUser where what in leaves out is
// kept: then nothing but the id must be given.
func ValidateUpdateUserKeep(t *scim.Type, in Input) error {
	return validate(UpdateUserManifest(), validator{typ: t, in: in, keep: true})
}

// ValidateCreateUser is as ValidateUpdateUser, of Create User.
func ValidateCreateUser(t *scim.Type, in Input) error {
	return validate(CreateUserManifest(), validator{typ: t, in: in})
}

func validate(m *Manifest, v validator) error {
	v.unknown(m)
	for _, p := range m.Parameters() {
		if v.present(&p) {
			v.parameter(&p)
		}
		for _, other := range p.ExclusiveWith {
			if p.Name < other && v.in.has(p.Name) && v.in.has(other) {
				v.fault("", p.Name+" and "+other+" exclude each other: give one of them")
			}
		}
	}
	if len(v.faults) > 0 {
		return &InputError{v.faults}
	}
	return nil
}

type validator struct {
	typ    *scim.Type
	in     Input
	keep   bool   // what is left out is kept
	cure   string // what else helps where something must be given
	faults []Fault
}

func (v *validator) fault(parameter, text string) {
	v.faults = append(v.faults, Fault{Parameter: parameter, Text: text})
}

func (v *validator) unknown(m *Manifest) {
	for _, name := range slices.Sorted(maps.Keys(v.in)) {
		if m.Parameter(name) == nil {
			v.fault(name, noParameter(m, name))
		}
	}
}

// noParameter says that m has no such parameter, and which one may be meant.
func noParameter(m *Manifest, name string) string {
	var names []string
	for _, p := range m.Parameters() {
		names = append(names, p.Name)
	}
	if like := Near(name, names); like != "" {
		return "no such parameter: did you mean " + like + "?"
	}
	return "no such parameter; there are " + strings.Join(names, ", ")
}

// present reports whether p was given, after the faults of its absence.
func (v *validator) present(p *Parameter) bool {
	value, ok := v.in[p.Name]
	switch {
	case !ok && v.keep && p.In == InBody:
		return false
	case p.Required && !v.in.has(p.Name), p.Required && value.Kind() == '"' && strings.TrimSpace(v.in.text(p.Name)) == "":
		v.faults = append(v.faults, Fault{p.Name, "is required and not blank: give it", " with --" + p.Flag + v.cure})
		return false
	case p.Required && isEmpty(value):
		v.fault(p.Name, "needs at least one, such as "+p.Example)
		return false
	case p.Name == "emails" && v.typ != nil && v.typ.Rules.RequireEmails && (!v.in.has(p.Name) || isEmpty(value)):
		v.faults = append(v.faults, Fault{p.Name, "this directory demands at least one", ": give --email ADDRESS, or more with --emails" + v.cure})
		return false
	}
	return ok
}

func isEmpty(v jsontext.Value) bool {
	var list []jsontext.Value
	return v.Kind() == '[' && json.Unmarshal(v, &list) == nil && len(list) == 0
}

// parameter checks the value of p: its JSON type, and in the body what the
// directory would say of it.
func (v *validator) parameter(p *Parameter) {
	value := v.in[p.Name]
	if !value.IsValid() {
		text := "is not valid JSON; expected such as " + p.Example
		if p.Type == Boolean {
			text = "must be true or false"
		}
		v.fault(p.Name, text)
		return
	}
	if p.Type == Names || p.Type == List {
		if _, err := v.in.names(p.Name); err != nil {
			v.fault(p.Name, err.Error())
		}
		return
	}
	kind := value.Kind()
	if kind == 'n' {
		return
	}
	if want := wants[p.Type]; !fits(p.Type, value) {
		v.fault(p.Name, "must be "+want+" such as "+p.Example+", not "+kindName(kind))
		return
	}
	text := v.in.text(p.Name)
	switch {
	case len(p.Values) > 0 && !slices.Contains(p.Values, text):
		v.fault(p.Name, "must be one of "+strings.Join(p.Values, ", "))
	case p.In == InPath && (text == "." || text == ".."):
		v.fault(p.Name, "is no id")
	case v.typ != nil && p.In == InBody:
		v.byRules(p)
	default:
		v.parts(p)
	}
}

// wants words the types.
var wants = map[Type]string{String: "a string", Boolean: "true or false", Integer: "an integer", Object: "a JSON object", Array: "a JSON array"}

// fits reports whether a value is of a type.
func fits(t Type, v jsontext.Value) bool {
	switch kind := v.Kind(); t {
	case String:
		return kind == '"'
	case Boolean:
		return kind == 't' || kind == 'f'
	case Integer:
		_, err := strconv.ParseInt(string(v), 10, 32)
		return kind == '0' && err == nil
	case Object:
		return kind == '{'
	case Array:
		return kind == '['
	}
	return true
}

// byRules checks p as the directory would, with everything but p made right, so
// that the fault found is one of p.
func (v *validator) byRules(p *Parameter) {
	body := Input{"userName": jsontext.Value(`"x"`), "emails": jsontext.Value(`[{"value":"x","primary":true}]`)}
	body[p.Name] = v.in[p.Name]
	r, _, err := v.typ.Parse(userBody(body))
	if err == nil {
		_, err = scim.Create(r)
	}
	var se *scim.Error
	if errors.As(err, &se) {
		v.fault(p.Name, se.Detail)
	}
}

// parts checks the types of the members of an object, or of those of an array. One
// that the manifest does not know may well be known to the directory.
func (v *validator) parts(p *Parameter) {
	list, at := []jsontext.Value{v.in[p.Name]}, ""
	if p.Type == Array {
		if json.Unmarshal(v.in[p.Name], &list) != nil {
			return // it is valid JSON, and an array
		}
	} else if p.Type != Object {
		return
	}
	for i, one := range list {
		if p.Type == Array {
			at = "[" + strconv.Itoa(i) + "] "
		}
		o, err := parseObject(one)
		if err != nil {
			v.fault(p.Name, at+"must be an object such as those of "+p.Example+", not "+kindName(one.Kind()))
			return
		}
		for _, part := range p.Parts {
			value := o.get(part.Name)
			loose := part.Type == Boolean && (strings.EqualFold(o.text(part.Name), "true") || strings.EqualFold(o.text(part.Name), "false"))
			if len(value) > 0 && value.Kind() != 'n' && !fits(part.Type, value) && !loose {
				v.fault(p.Name, at+part.Name+" must be "+wants[part.Type]+", not "+kindName(value.Kind()))
				return
			}
		}
	}
}

// markLone marks the one address of emails as primary, unless it says whether it
// is: some directories demand a primary one.
func markLone(emails jsontext.Value) jsontext.Value {
	var list []jsontext.Value
	if json.Unmarshal(emails, &list) != nil || len(list) != 1 || list[0].Kind() != '{' {
		return emails
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(list[0], &members) != nil {
		return emails
	}
	for name := range members {
		if strings.EqualFold(name, "primary") {
			return emails
		}
	}
	members["primary"] = jsontext.Value("true")
	one, err := json.Marshal([]map[string]jsontext.Value{members}, json.Deterministic(true))
	if err != nil {
		return emails
	}
	return one
}
