package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/extauthz"
	"lilypad.example/sidecar/internal/http1"
)

// newExtAuthz returns the server of Envoy's external authorization: verify over gRPC.
func newExtAuthz(c *Config, h *handler, budget *http1.Budget) *extauthz.Server {
	return extauthz.New(extauthz.Config{
		Limits:      extauthz.Limits{Fields: c.MaxHeaders, Bytes: c.MaxHeaderBytes},
		IdleTimeout: c.IdleTimeout, Log: h.log, Trusts: h.forwarder.Trusts,
		Reserve: func(size int) (func(), error) {
			hold := budget.Hold()
			if err := hold.Read(int64(size)); err != nil {
				return nil, err
			}
			return hold.Release, nil
		},
		Check: func(ctx context.Context, peer netip.Addr, check *extauthz.Check) extauthz.Answer {
			hold := budget.Hold()
			defer hold.Release()
			return h.extAuthz(remote{ctx, hold}, peer, check) //nolint:contextcheck // in remote
		},
		Refuse: func(ctx context.Context, err error) extauthz.Answer {
			q := new(http1.Request)
			return h.conclude(ctx, q, rand.Text(), time.Now(), h.unusable(q, err))
		},
	})
}

// remote is a caller whose proxy asks over gRPC.
type remote struct {
	ctx  context.Context //nolint:containedctx // of one call
	hold *http1.Holding
}

func (r remote) mayWait(session string) (context.Context, error) {
	return r.ctx, r.hold.Reserve(session)
}

// extAuthz answers a check request. Its attributes name the client's request. Envoy
// sets X-Forwarded-For and -Proto, but passes on a client's X-Forwarded-Host.
func (h *handler) extAuthz(c remote, peer netip.Addr, check *extauthz.Check) extauthz.Answer {
	start, id := time.Now(), rand.Text()
	q := &http1.Request{Host: check.Host, Header: slices.DeleteFunc(check.Header, func(f http1.Field) bool {
		return http1.SameName(f.Name, "X-Forwarded-Host")
	})}
	if err := name(q, check.Method, check.Target); err != nil {
		return h.conclude(c.ctx, q, id, start, h.unusable(q, err))
	}
	a, err := h.ask(c, q, h.forwarder.ClientOf(q, peer), start)
	switch {
	case err == nil:
	case c.ctx.Err() != nil: // nobody gets this answer
		a = answer{status: http1.StatusClientGone, reason: http1.ReasonClientGone}
	default:
		a = h.undecided(q, id, err)
	}
	return h.conclude(c.ctx, q, id, start, a)
}

// unusable returns the answer to a check request that could not be read.
func (h *handler) unusable(q *http1.Request, err error) answer {
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		return h.failed(q, busy(), fault.Reason)
	}
	if errors.Is(err, extauthz.ErrTooLarge) {
		p := problem.New(http.StatusRequestHeaderFieldsTooLarge, problem.TooLarge, "The request's header is larger than is accepted here.")
		return h.failed(q, p, http1.ReasonHeadTooLarge)
	}
	return h.failed(q, malformed(err), http1.ReasonBadRequest)
}

// undecided returns the answer after an error of ask.
func (h *handler) undecided(q *http1.Request, id string, err error) answer {
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		return h.failed(q, busy(), fault.Reason)
	}
	return h.failed(q, h.outage(err, id), http1.ReasonNone)
}

func (h *handler) failed(q *http1.Request, p *problem.Problem, reason http1.Reason) answer {
	a := h.turnAway(q, nil, p)
	a.reason = reason
	return a
}

// conclude logs a check request, and returns a in Envoy's terms.
func (h *handler) conclude(ctx context.Context, q *http1.Request, id string, start time.Time, a answer) extauthz.Answer {
	if a.pass {
		a.status = http.StatusOK
	}
	f := http1.Facts{Status: a.status, Reason: a.reason, Start: start, Took: time.Since(start)}
	h.count(&f)
	if h.isLogged(&f) {
		h.logRequest(ctx, q, id, &f)
	}
	if !a.pass {
		return extauthz.Answer{Status: a.status, Header: a.header, Body: a.body, SetCookies: a.setCookies}
	}
	out := extauthz.Answer{Pass: true, Set: a.header, SetCookies: a.setCookies}
	for _, name := range a.strip {
		if count(a.header, name) == 0 {
			out.Remove = append(out.Remove, name)
		}
	}
	return out
}
