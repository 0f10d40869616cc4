// Package keptform keeps a form that was posted after its user's session had ended,
// until the user has signed in again and confirms that it may be sent.
//
// The form is encrypted (AES-256-GCM) with a key derived from the refresh token of
// the session that ended. Only the user's browser has that token, so nobody who reads
// the auth service's store can decrypt the form, and the auth service returns it to
// the same account only. One request at a time sends it, and it stays until the
// application has responded. Forms are never logged.
package keptform

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/authclient"
)

const (
	// MaxBytes is the maximum size of a form: its body, target and content type.
	MaxBytes = 64 << 10
	// purpose separates the key from others derived from the same token (HKDF info).
	purpose = "lilypad kept form v1"
)

// ErrNone reports that no form is kept for this browser and account: it was sent or
// discarded, it has expired, or it is another account's.
var ErrNone = errors.New("keptform: none is kept")

// ErrClaimed reports that the form is being sent, perhaps from another tab.
var ErrClaimed = authclient.ErrFormClaimed

// ErrUnavailable reports that the auth service did not answer; a form may be kept.
var ErrUnavailable = authclient.ErrUnavailable

// ErrNotKept reports that a form could not be kept.
var ErrNotKept = errors.New("keptform: not kept")

// A Form is a posted form.
type Form struct {
	Target      string // path and query, as received
	ContentType string
	Body        []byte
}

// Path returns the path of the form's target.
func (f *Form) Path() string {
	path, _, _ := strings.Cut(f.Target, "?")
	return path
}

// BelongsTo reports whether the form was posted to target. The percent-encoding may
// differ, because the page and the browser rewrite it.
func (f *Form) BelongsTo(target string) bool {
	was, err1 := url.PathUnescape(f.Target)
	is, err2 := url.PathUnescape(target)
	return err1 == nil && err2 == nil && was == is
}

// Is reports whether contentType is one that browsers use for forms.
func Is(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data")
}

// seal encrypts f with a key derived from token.
func (f *Form) seal(token string) ([]byte, error) {
	c, err := newCipher(token)
	if err != nil {
		return nil, err
	}
	// Neither a target nor a field value contains a line end.
	plain := fmt.Appendf(nil, "%s\n%s\n", f.Target, f.ContentType)
	if len(plain)+len(f.Body) > MaxBytes {
		return nil, fmt.Errorf("%w: too large", ErrNotKept)
	}
	return c.Seal(nil, nil, append(plain, f.Body...), nil), nil //nolint:gosec // this cipher makes a random nonce for each
}

// open decrypts what seal returned for the same token.
func open(token string, sealed []byte) (*Form, error) {
	c, err := newCipher(token)
	if err != nil {
		return nil, err
	}
	plain, err := c.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, err
	}
	target, rest, ok1 := bytes.Cut(plain, []byte("\n"))
	contentType, body, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok1 || !ok2 {
		return nil, errors.New("keptform: malformed plaintext")
	}
	return &Form{Target: string(target), ContentType: string(contentType), Body: body}, nil
}

func newCipher(token string) (cipher.AEAD, error) {
	// The token contains a secret of 256 bits, so that no salt is needed.
	key, err := hkdf.Key(sha256.New, []byte(token), nil, purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Auth is the auth service; see authclient.Client for the methods and their errors.
type Auth interface {
	KeepForm(ctx context.Context, refreshToken string, sealed []byte) error
	Form(ctx context.Context, authorization, sid string) ([]byte, error)
	ClaimForm(ctx context.Context, authorization, sid, claim string) ([]byte, error)
	SettleForm(ctx context.Context, authorization, sid, claim string, sent bool) error
	DiscardForm(ctx context.Context, authorization, sid string) error
}

// Keeper keeps forms at the auth service.
type Keeper struct{ auth Auth }

// NewKeeper returns a Keeper.
func NewKeeper(auth Auth) *Keeper { return &Keeper{auth} }

// Keep keeps f for the user of the refresh token former. It fails with ErrNotKept.
func (k *Keeper) Keep(ctx context.Context, former string, f Form) error {
	sealed, err := f.seal(former)
	if err != nil {
		return err
	}
	if err := k.auth.KeepForm(ctx, former, sealed); err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

// Look returns the form that is kept for a browser with the refresh token former and
// the account of authorization. It fails with ErrNone or ErrUnavailable.
func (k *Keeper) Look(ctx context.Context, authorization, former string) (*Form, error) {
	return opened(former, func(sid string) ([]byte, error) { return k.auth.Form(ctx, authorization, sid) })
}

// A Claim is a form that is being sent. Nobody else can claim it until Settle, or for
// two minutes.
type Claim struct {
	Form

	auth               Auth
	authorization, sid string
	id                 string
}

// Claim is Look for a request that sends the form. It also fails with ErrClaimed.
func (k *Keeper) Claim(ctx context.Context, authorization, former string) (*Claim, error) {
	c := &Claim{auth: k.auth, authorization: authorization, sid: api.SessionIDOf(former), id: rand.Text()}
	f, err := opened(former, func(sid string) ([]byte, error) { return k.auth.ClaimForm(ctx, authorization, sid, c.id) })
	if err != nil {
		return nil, err
	}
	c.Form = *f
	return c, nil
}

// Settle ends the claim. A form that was sent is deleted; otherwise it can be claimed
// again.
func (c *Claim) Settle(ctx context.Context, sent bool) error {
	return c.auth.SettleForm(ctx, c.authorization, c.sid, c.id, sent)
}

// Discard deletes the form that Look would return.
func (k *Keeper) Discard(ctx context.Context, authorization, former string) error {
	if former == "" {
		return nil
	}
	return k.auth.DiscardForm(ctx, authorization, api.SessionIDOf(former))
}

func opened(former string, get func(sid string) ([]byte, error)) (*Form, error) {
	if former == "" {
		return nil, ErrNone
	}
	sealed, err := get(api.SessionIDOf(former))
	if errors.Is(err, authclient.ErrNoForm) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	f, err := open(former, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err) // encrypted with another token of the session, or tampered with
	}
	return f, nil
}

// ConfirmationField is the name of the only field of a Confirmation.
const ConfirmationField = "lilypad-form"

// ConfirmationValue returns its value: the ID of the session, which other forms do
// not contain.
func ConfirmationValue(former string) string { return api.SessionIDOf(former) }

// Confirmation returns the body that the offering page posts to the kept form's
// target to have it sent.
func Confirmation(former string) string {
	return ConfirmationField + "=" + ConfirmationValue(former)
}
