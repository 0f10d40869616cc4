package signin

import "lilypad.example/services/auth/api"

// A Code says why somebody was not signed in: an api.RefusalCode.
type Code string

// The codes.
const (
	Denied              = Code(api.RefusalDenied)
	ProviderUnavailable = Code(api.RefusalUnavailable)
	Failed              = Code(api.RefusalFailed)
	NotAllowed          = Code(api.RefusalNotAllowed)
	EmailUnverified     = Code(api.RefusalEmailUnverified)
	EmailMissing        = Code(api.RefusalEmailMissing)
	EmailHasPassword    = Code(api.RefusalEmailHasPassword)
	AccountDisabled     = Code(api.RefusalAccountDisabled)
	GroupsOverage       = Code(api.RefusalGroupsOverage)
	StepUpFailed        = Code(api.RefusalStepUpFailed)
)

// Valid reports whether c is one of the codes.
func (c Code) Valid() bool { return api.RefusalCode(c).Valid() }

// Detail returns a sentence for the person who was refused.
func (c Code) Detail() string {
	switch c {
	case Denied:
		return "The sign-in was cancelled."
	case ProviderUnavailable:
		return "The provider does not answer at the moment. Please try again later, or sign in another way."
	case Failed:
		return "The sign-in did not work because of a problem with its setup. Please tell the people who run this site."
	case NotAllowed:
		return "This account is not allowed to sign in here."
	case EmailUnverified:
		return "The provider has not verified the e-mail address of this account."
	case EmailMissing:
		return "The provider did not tell the e-mail address of this account."
	case EmailHasPassword:
		return "An account with this e-mail address has a password. Sign in with the password, then connect the provider on the account page."
	case AccountDisabled:
		return "This account is closed."
	case GroupsOverage:
		return "This account is in so many groups that the provider does not tell them. Please tell the people who run this site."
	case StepUpFailed:
		return "The provider did not confirm the same account as strictly as this page needs."
	}
	return ""
}

// A Refusal is the error of a sign-in that was refused.
type Refusal struct { //nolint:errname // named for what it is
	Code Code
	// UserID is the account that was refused, if it is known.
	UserID string
	err    error
}

func (r *Refusal) Error() string {
	if r.err == nil {
		return "signin: " + string(r.Code)
	}
	return "signin: " + string(r.Code) + ": " + r.err.Error()
}

// Unwrap returns the cause, or nil.
func (r *Refusal) Unwrap() error { return r.err }
