package fakes

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
)

// Password is the initial password of every account.
const Password = "four words nobody guesses" //nolint:gosec // test data

// SessionID returns a valid session id that is derived from name. The token of a person names the
// session SessionID(sub).
func SessionID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// accounts is the part of the fake auth service for one's own account. World's mutex guards it.
type accounts struct {
	sessions  map[string][]api.SessionInfo // by person
	passwords map[string]string            // by person
	// say overrides the status of responses, by "METHOD /path".
	say    map[string]int
	writes int
}

func newAccounts() accounts {
	return accounts{sessions: make(map[string][]api.SessionInfo), passwords: make(map[string]string), say: make(map[string]int)}
}

// Begin adds a session for a person.
func (w *World) Begin(sub string, s api.SessionInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accounts.sessions[sub] = append(w.accounts.sessions[sub], s)
}

// Sessions returns the ids of a person's sessions.
func (w *World) Sessions(sub string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.accounts.sessions[sub]
	ids := make([]string, 0, len(all))
	for _, s := range all {
		ids = append(ids, s.Sid)
	}
	return ids
}

// PasswordOf returns a person's password.
func (w *World) PasswordOf(sub string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accounts.password(sub)
}

// AccountsSay sets the response status of one endpoint, such as "GET /v1/sessions". Status 200
// restores the normal response.
func (w *World) AccountsSay(endpoint string, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accounts.say[endpoint] = status
}

// AccountWrites returns how many requests to change an account the auth service received, failed
// ones included.
func (w *World) AccountWrites() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accounts.writes
}

func (a *accounts) password(sub string) string {
	if p, ok := a.passwords[sub]; ok {
		return p
	}
	return Password
}

func (a *accounts) serve(out http.ResponseWriter, r *http.Request, who claims) {
	if r.Method != http.MethodGet {
		a.writes++
	}
	endpoint := r.Method + " " + r.URL.Path
	sid, one := strings.CutPrefix(endpoint, "DELETE /v1/sessions/")
	switch status := a.say[endpoint]; {
	case status != 0 && status != http.StatusOK:
		p := problem.New(status, "planted_code", "A planted detail.")
		p.RetryAfter = 17 * time.Second
		problem.Write(out, p)
	case endpoint == "GET /v1/sessions":
		list := slices.Clone(a.sessions[who.Subject])
		for i := range list {
			list[i].Current = list[i].Sid == who.SID
		}
		_ = json.NewEncoder(out).Encode(api.SessionList{Sessions: list})
	case endpoint == "DELETE /v1/sessions":
		a.end(who.Subject, func(s api.SessionInfo) bool { return r.URL.Query().Get("others") != "true" || s.Sid != who.SID })
		out.WriteHeader(http.StatusNoContent)
	case one:
		a.end(who.Subject, func(s api.SessionInfo) bool { return s.Sid == sid })
		out.WriteHeader(http.StatusNoContent)
	case endpoint == "POST /v1/me/password":
		a.change(out, r, who)
	default:
		problem.Write(out, problem.New(http.StatusNotFound, problem.NotFound, "There is nothing at this address."))
	}
}

func (a *accounts) end(sub string, which func(api.SessionInfo) bool) {
	a.sessions[sub] = slices.DeleteFunc(a.sessions[sub], which)
}

// change applies the password rules of the auth service, as far as a page can observe them.
func (a *accounts) change(out http.ResponseWriter, r *http.Request, who claims) {
	var in map[string]string
	d := json.NewDecoder(r.Body)
	if err := d.Decode(&in); err != nil || !slices.Equal(slices.Sorted(maps.Keys(in)), []string{"current_password", "new_password"}) ||
		r.Header.Get("Content-Type") != "application/json" {
		problem.Write(out, problem.New(http.StatusBadRequest, problem.BadRequest, "The request body is not the JSON object that this address takes."))
		return
	}
	field, code := "password", "required"
	switch replacement := in["new_password"]; {
	case in["current_password"] != a.password(who.Subject):
		field, code = "current_password", "wrong"
	case replacement == "": // required
	case utf8.RuneCountInString(replacement) < 15:
		code = "too_short"
	case utf8.RuneCountInString(replacement) > 128:
		code = "too_long"
	case strings.HasPrefix(replacement, "passwordpassword"):
		code = "common"
	default:
		a.passwords[who.Subject] = replacement
		a.end(who.Subject, func(s api.SessionInfo) bool { return s.Sid != who.SID })
		out.WriteHeader(http.StatusNoContent)
		return
	}
	p := problem.New(http.StatusUnprocessableEntity, problem.InvalidFields, "Please correct the marked fields.")
	p.Errors = []problem.FieldError{{Field: field, Code: code, Detail: "A planted detail."}}
	problem.Write(out, p)
}
