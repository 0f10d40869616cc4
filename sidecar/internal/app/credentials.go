package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/session"
)

// credentials are what an upstream gets to know about a signed-in user.
type credentials struct {
	authorization string
	fields        []http1.Field
}

// credentials returns what r's upstream gets to know about v. A stranger has none. If the auth service
// refuses v's access token, the session may have ended before the feed reported it, so the token is
// renewed once; v.Ended then says whether the session is over.
//
// If r passes Authorization on, that of the client takes the place of ours.
func (h *handler) credentials(c caller, q *http1.Request, r *route.Route, v *visit) (credentials, error) {
	made, err := h.renewCredentials(c, r.To(), v)
	if err == nil && r.PassesAuthorization() {
		if own, once := single(q.Header, "Authorization"); once && own != "" {
			made.authorization, v.passed = own, true
		}
	}
	return made, err
}

func (h *handler) renewCredentials(c caller, to *route.Upstream, v *visit) (credentials, error) {
	made, err := h.tryCredentials(c, to, v)
	if err == nil || !session.Rejected(err) {
		return made, err
	}
	ctx, err := c.mayWait(v.Session.SessionID)
	if err != nil {
		return credentials{}, err
	}
	if err := h.visitors.Renew(ctx, &v.Visitor); err != nil {
		return credentials{}, err
	}
	return h.tryCredentials(c, to, v)
}

func (h *handler) tryCredentials(c caller, to *route.Upstream, v *visit) (credentials, error) {
	if !v.SignedIn() {
		return credentials{}, nil
	}
	var made credentials
	if to.Token != route.NoToken {
		made.authorization = v.Session.Authorization
	}
	if len(to.Fields()) == 0 {
		return made, nil
	}
	var err error
	made.fields, err = h.fields(c, to, v)
	return made, err
}

// fields returns the header fields that tell an upstream who v is.
func (h *handler) fields(c caller, to *route.Upstream, v *visit) ([]http1.Field, error) {
	var who account
	if asks(to.Fields()) {
		var err error
		if who, err = h.account(c, v); err != nil {
			return nil, err
		}
	}
	fields := make([]http1.Field, 0, len(to.Fields()))
	for _, f := range to.Fields() {
		value := ""
		switch f.Claim {
		case route.Subject:
			value = who.subject
		case route.Email:
			value = who.email
		case route.Name:
			value = who.name
		case route.Roles:
			value = strings.Join(v.Session.Roles, ",")
		case route.SessionID:
			value = v.Session.SessionID
		}
		fields = append(fields, http1.Field{Name: f.Name, Value: value})
	}
	return fields, nil
}

// asks reports whether a field has a claim that is not known with the session: access tokens carry
// no personal data.
func asks(fields []route.Field) bool {
	for _, f := range fields {
		if f.Claim != route.Roles && f.Claim != route.SessionID {
			return true
		}
	}
	return false
}

// account is what the auth service knows about a user, as values of header fields.
type account struct{ subject, email, name string }

// account returns v's account. The auth service is asked once for each access token.
func (h *handler) account(c caller, v *visit) (account, error) {
	const key = "account"
	if who, ok := session.Recall[account](h.sessions, v.Session, key); ok {
		return who, nil
	}
	ctx, err := c.mayWait(v.Session.SessionID)
	if err != nil {
		return account{}, err
	}
	return session.Derive(ctx, h.sessions, v.Session, key, func(ctx context.Context, authorization string) (account, time.Time, error) {
		user, err := h.auth.Me(ctx, authorization)
		if err != nil {
			return account{}, time.Time{}, err
		}
		who := account{user.Sub, user.Email, printable(user.Name)}
		for _, value := range []string{who.subject, who.email} {
			if value != printable(value) || value == "" {
				return account{}, time.Time{}, fmt.Errorf("%w: %w", authclient.ErrUnavailable, errNoField)
			}
		}
		return who, time.Time{}, nil
	})
}

// errNoField is about an identifier: changed, it might be that of somebody else.
var errNoField = errors.New("the subject or e-mail address of the account cannot be sent in a header")

// printable replaces what a header field must not have in it by spaces, and trims those at the
// ends, which receivers ignore. Letters beyond ASCII stay as they are, in UTF-8.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " ")))
}
